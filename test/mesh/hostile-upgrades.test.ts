/**
 * Upgrades made by hand at a real inbound port: what a client sends for a tunnel that there is not yet must never be read by
 * the application as a request of its own, which nobody would have judged.
 */
import { once } from "node:events";
import type { ClientHttp2Session, IncomingHttpHeaders } from "node:http2";
import { createServer, type Socket } from "node:net";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { AssumeRoleResponse } from "../../common/gen/mesh/v1/token.ts";
import { signByHand, type HandmadeRequest } from "../../examples/shop/intruder.ts";
import type { Identity } from "../../sidecar/tls/profile.ts";
import { openHttp2, sendTls, tlsOptions } from "./clients.ts";
import { serviceLinkedRole, until } from "./harness.ts";
import { startPair, type Pair } from "./pair.ts";

const smuggled = "GET /smuggled HTTP/1.1\r\nHost: target\r\nX-Countersign-Principal: admin\r\n\r\n";
const switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: custom\r\n\r\n";

/** All that came, by connection. */
const heard: string[] = [];
let answer = switching;
let release = Promise.resolve();
const sockets = new Set<Socket>();
const application = createServer((socket) => {
  const index = heard.push("") - 1;
  let answered = false;
  sockets.add(socket);
  socket.on("error", () => undefined);
  socket.on("data", (chunk: Buffer) => {
    heard[index] += chunk.toString("latin1");
    if (answered || !heard[index]?.includes("\r\n\r\n")) return;
    answered = true;
    void release.then(() => socket.write(answer));
  });
});

let pair: Pair;
let caller: Identity;
let session: AssumeRoleResponse;
let http2: ClientHttp2Session;
beforeAll(async () => {
  pair = await startPair(application);
  caller = await pair.mesh.identityOf("caller");
  session = await pair.mesh.sessionOf(caller, serviceLinkedRole("caller"));
  http2 = openHttp2(pair.mesh.sidecar("target").inbound, caller);
  await once(http2, "remoteSettings");
});
afterAll(async () => {
  http2?.destroy();
  for (const socket of sockets) socket.destroy();
  await pair?.mesh.stop();
});
beforeEach(() => {
  heard.length = 0;
  release = Promise.resolve();
});

function signed(method: string): HandmadeRequest {
  return signByHand(
    { method, host: "target", path: "/upgrade", body: "" },
    { credentials: session, region: pair.mesh.region, scopeService: "target.shop", date: Date.now() },
  );
}

function connect() {
  const { headers } = signed("CONNECT");
  const pseudo = { ":method": "CONNECT", ":protocol": "custom", ":scheme": "https", ":authority": "target", ":path": "/upgrade" };
  const stream = http2.request({ ...pseudo, ...headers }, { endStream: false });
  stream.on("error", () => undefined);
  return stream;
}

/** Resolves when the sidecar has read what was written so far, and the application's loopback has had its turn. */
async function taken(): Promise<void> {
  for (let round = 0; round < 3; round++) {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    http2.ping((error) => (error ? reject(error) : resolve()));
    await promise;
  }
}

describe.each([
  ["is refused", "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", 403],
  ["is not taken up", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 501],
])("bytes for a tunnel that %s", (_, refusal, status) => {
  test("by HTTP/2: none reaches the application", async () => {
    answer = refusal;
    const held = Promise.withResolvers<void>();
    release = held.promise;
    const stream = connect();
    stream.write(smuggled);
    await until("the application has the offer", () => heard.length > 0);
    stream.write(smuggled);
    await taken();
    const response = once(stream, "response") as Promise<[IncomingHttpHeaders]>;
    held.resolve();
    expect((await response)[0][":status"]).toBe(status);
    stream.close();
    expect(heard).toHaveLength(1);
    expect(heard[0]).toMatch(/^GET \/upgrade HTTP\/1\.1\r\n/);
    expect(heard.join("")).not.toContain("smuggled");
  });

  test("by HTTP/1.1: they are the next request, to be judged as any other", async () => {
    answer = refusal;
    const { headers } = signed("GET");
    const lines = Object.entries({ ...headers, connection: "upgrade", upgrade: "custom" }).map(([name, value]) => `${name}: ${value}\r\n`);
    const next = "GET /smuggled HTTP/1.1\r\nhost: target\r\nconnection: close\r\n\r\n";
    const bytes = `GET /upgrade HTTP/1.1\r\nhost: target\r\n${lines.join("")}\r\n${next}`;
    const text = await sendTls(pair.mesh.sidecar("target").inbound, tlsOptions(caller), bytes);
    expect([...text.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, each]) => each)).toEqual([refusal.slice(9, 12), "401"]);
    expect(heard.join("")).not.toContain("smuggled");
  });
});

test("bytes for a tunnel that is taken up wait for it", async () => {
  answer = switching;
  const held = Promise.withResolvers<void>();
  release = held.promise;
  const stream = connect();
  stream.write("first, ");
  await until("the application has the offer", () => heard.length > 0);
  stream.write("second");
  await taken();
  const response = once(stream, "response") as Promise<[IncomingHttpHeaders]>;
  expect(heard[0]).not.toContain("first");
  held.resolve();
  expect((await response)[0][":status"]).toBe(200);
  await until("the application has them", () => heard[0]?.endsWith("\r\n\r\nfirst, second"));
  expect(heard[0]).toMatch(/^GET \/upgrade HTTP\/1\.1\r\n/);
  stream.close();
});

test("a signature of a GET does not open a tunnel over HTTP/2, nor one of a CONNECT make a GET", async () => {
  const { headers } = signed("GET");
  const pseudo = { ":method": "CONNECT", ":protocol": "custom", ":scheme": "https", ":authority": "target", ":path": "/upgrade" };
  const tunnel = http2.request({ ...pseudo, ...headers }, { endStream: false });
  const [refused] = (await once(tunnel, "response")) as [IncomingHttpHeaders];
  expect(refused).toMatchObject({ ":status": 403, "x-countersign-reason": "signature-mismatch" });
  tunnel.close();
  const get = http2.request({ ":method": "GET", ":authority": "target", ":path": "/upgrade", ...signed("CONNECT").headers });
  const [alsoRefused] = (await once(get, "response")) as [IncomingHttpHeaders];
  expect(alsoRefused).toMatchObject({ ":status": 403, "x-countersign-reason": "signature-mismatch" });
  get.close();
  expect(heard).toEqual([]);
});
