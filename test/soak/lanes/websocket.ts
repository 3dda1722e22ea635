/** Upgraded connections: opened, talked over for a while, closed by the client. What was said has to come back, in order. */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { request, type IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { addressOf } from "../../mesh/clients.ts";
import { acceptOf } from "../websocket-accept.ts";
import { callLimitMs, nextNumber, repeat, type Lane } from "./lane.ts";

const messages = 20;
const pauseMs = 50;

/** A masked text frame of at most 125 bytes (RFC 6455 5.2), as a client sends it. The other side gives the bytes back. */
function frame(text: string): Buffer {
  const payload = Buffer.from(text);
  const mask = Buffer.from([1, 2, 3, 4]);
  const masked = payload.map((byte, index) => byte ^ (mask[index % 4] ?? 0));
  return Buffer.concat([Buffer.from([0x81, 0x80 | payload.length]), mask, masked]);
}

async function upgrade(outbound: string, path: string, signal: AbortSignal): Promise<Duplex> {
  const { promise, resolve, reject } = Promise.withResolvers<Duplex>();
  const key = randomBytes(16).toString("base64");
  const headers = {
    host: "app",
    connection: "Upgrade",
    upgrade: "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": key,
  };
  const sent = request({ ...addressOf(outbound), path, headers, agent: false, signal });
  sent.on("upgrade", (response, socket) => {
    if (response.headers["sec-websocket-accept"] === acceptOf(key)) resolve(socket);
    else reject(new Error("upgraded by somebody who has not read the request"));
  });
  sent.on("response", (response: IncomingMessage) => {
    response.resume();
    reject(new Error(`not upgraded: status ${response.statusCode} ${String(response.headers["x-countersign-reason"] ?? "")}`));
  });
  sent.on("error", reject);
  sent.end();
  return await promise;
}

export const websocket: Lane = (context, stop) =>
  repeat("websocket", context, stop, 10, async () => {
    const number = nextNumber();
    const limit = AbortSignal.timeout(callLimitMs);
    const socket = await upgrade(context.outbound, `/socket/${number}`, limit);
    try {
      for (let index = 0; index < messages; index++) {
        const expected = frame(`message ${index} of ${number}`);
        socket.write(expected);
        const parts: Buffer[] = [];
        for (let length = 0; length < expected.length;) {
          const [chunk] = (await once(socket, "data", { signal: limit })) as [Buffer];
          parts.push(chunk);
          length += chunk.length;
        }
        if (!Buffer.concat(parts).equals(expected)) return `message ${index} came back as ${Buffer.concat(parts).toString("hex")}`;
        await delay(pauseMs);
      }
      return undefined;
    } finally {
      socket.destroy();
    }
  });
