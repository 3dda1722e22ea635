/** WebSocket and other upgrades of HTTP/1.1 through both sidecars: Node's own client, and handshakes by hand. */
import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import { connect, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { buffer, text } from "node:stream/consumers";
import { Agent } from "undici";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { addressOf, sendPlain } from "./clients.ts";
import { until } from "./harness.ts";
import { startPair, type Pair } from "./pair.ts";
import {
  closeFrame,
  echoFrames,
  frame,
  handshake,
  Opcode,
  openByHand,
  readFrames,
  sampleAccept,
  sampleKey,
  switchToWebSocket,
  type Frame,
} from "./websocket-peer.ts";

let pair: Pair;
let dispatcher: Agent;
/** Of the application. */
const frames: Frame[] = [];
const upgrades: IncomingMessage[] = [];
const requests: IncomingMessage[] = [];
const sockets = new Set<Duplex>();

function echo(request: IncomingMessage, socket: Duplex): void {
  const offered = request.headers["sec-websocket-protocol"];
  socket.write(switchToWebSocket(request, offered === undefined ? [] : [`Sec-WebSocket-Protocol: ${offered.split(",")[0] ?? ""}`]));
  echoFrames(socket, (received) => frames.push(received));
}
let onUpgrade: (request: IncomingMessage, socket: Duplex, head: Buffer) => void = echo;

const application = createServer((request, response) => {
  requests.push(request);
  void buffer(request).then((body) => response.end(`plain ${request.method} ${body.toString()}`));
});
application.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
  upgrades.push(request);
  sockets.add(socket);
  socket.on("error", () => undefined);
  if (head.length > 0) socket.unshift(head);
  onUpgrade(request, socket, head);
});

beforeAll(async () => {
  pair = await startPair(application);
  const { host, port } = addressOf(pair.outbound);
  // The URL names the service; the connection goes to the outbound port, as a redirected one would.
  dispatcher = new Agent({
    connect: (_options, done) =>
      void connect({ host, port }).once("connect", function connected(this: Socket) {
        done(null, this);
      }),
  });
});
afterAll(async () => {
  await dispatcher?.close();
  for (const socket of sockets) socket.destroy();
  await pair?.mesh.stop();
});
beforeEach(() => {
  onUpgrade = echo;
  frames.length = upgrades.length = requests.length = 0;
});

/** Unlike an iterator's, this end leaves the other direction alone. */
async function readToEnd(stream: Duplex): Promise<string> {
  let all = "";
  stream.on("data", (chunk: Buffer) => (all += chunk.toString()));
  await once(stream, "end");
  return all;
}

/** The package's types and Node's name two versions of one class. */
function routed(): WebSocketInit {
  return { dispatcher: dispatcher as unknown as NonNullable<WebSocketInit["dispatcher"]> };
}

/** Node's own. */
async function open(path: string, protocols: string[] = []): Promise<WebSocket> {
  const socket = new WebSocket(`ws://target${path}`, { protocols, ...routed() });
  socket.binaryType = "arraybuffer";
  await once(socket, "open");
  return socket;
}

async function said(socket: WebSocket): Promise<string | Buffer> {
  const [event] = (await once(socket, "message")) as [MessageEvent];
  const data = event.data as string | ArrayBuffer;
  return typeof data === "string" ? data : Buffer.from(data);
}

describe("Node's WebSocket", () => {
  test("text and binary, from nothing to 1 MiB, come back as they were sent", async () => {
    const socket = await open("/chat?room=1");
    expect(upgrades[0]).toMatchObject({ method: "GET", url: "/chat?room=1" });
    expect(upgrades[0]?.headers).toMatchObject({ host: "target", "x-countersign-peer": "spiffe://test.example/ns/shop/sa/caller" });
    for (const message of ["", "hello", "grüße ".repeat(20_000)]) {
      const answer = said(socket);
      socket.send(message);
      expect(await answer).toBe(message);
    }
    for (const size of [1, 65_535, 65_536, 1024 * 1024]) {
      const message = Buffer.alloc(size, "binary");
      const answer = said(socket);
      socket.send(message);
      expect(((await answer) as Buffer).equals(message)).toBe(true);
    }
    socket.close();
    await once(socket, "close");
  });

  test("a close code and its reason reach the server", async () => {
    const socket = await open("/");
    socket.close(4001, "bye");
    const [closed] = (await once(socket, "close")) as [CloseEvent];
    expect(closed).toMatchObject({ code: 4001, wasClean: true });
    expect(frames.at(-1)).toEqual({ opcode: Opcode.close, payload: Buffer.concat([Buffer.from([0x0f, 0xa1]), Buffer.from("bye")]) });
  });

  test("a close code and its reason reach the client", async () => {
    onUpgrade = (request, socket) => {
      socket.write(switchToWebSocket(request));
      socket.write(closeFrame(4002, "no more", "server"));
      readFrames(socket, () => socket.end());
    };
    const socket = new WebSocket("ws://target/", routed());
    const [closed] = (await once(socket, "close")) as [CloseEvent];
    expect(closed).toMatchObject({ code: 4002, reason: "no more", wasClean: true });
  });

  test("a ping of the server is answered by the client", async () => {
    onUpgrade = (request, socket) => {
      echo(request, socket);
      socket.write(frame(Opcode.ping, "are you there", "server"));
    };
    const socket = await open("/");
    await until("the pong has come", () => frames.length > 0);
    expect(frames[0]).toEqual({ opcode: Opcode.pong, payload: Buffer.from("are you there") });
    socket.close();
    await once(socket, "close");
  });

  test("a subprotocol is agreed on", async () => {
    const socket = await open("/", ["chat.v2", "chat.v1"]);
    expect(socket.protocol).toBe("chat.v2");
    expect(upgrades[0]?.headers["sec-websocket-protocol"]).toBe("chat.v2, chat.v1");
    socket.close();
    await once(socket, "close");
  });
});

describe("by hand", () => {
  test("the client's proof is of its own key; offers and agreements of extensions pass", async () => {
    onUpgrade = (request, socket) => {
      socket.write(switchToWebSocket(request, ["Sec-WebSocket-Extensions: permessage-deflate", "X-Answer: yes"]));
      echoFrames(socket, (received) => frames.push(received));
    };
    const { socket, status, headers } = await openByHand(
      pair.outbound,
      handshake("target", "/", ["Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits", "Origin: http://target"]),
    );
    expect(status).toBe(101);
    expect(headers.get("sec-websocket-accept")).toBe(sampleAccept);
    expect(headers.get("upgrade")).toBe("websocket");
    expect(headers.get("sec-websocket-extensions")).toBe("permessage-deflate");
    expect(headers.get("x-answer")).toBe("yes");
    expect(upgrades[0]?.headers).toMatchObject({
      "sec-websocket-version": "13",
      "sec-websocket-extensions": "permessage-deflate; client_max_window_bits",
      origin: "http://target",
    });
    // The key concerns one connection.
    expect(upgrades[0]?.headers["sec-websocket-key"]).not.toBe(sampleKey);
    const answer = once(socket, "data") as Promise<[Buffer]>;
    socket.resume();
    socket.write(frame(Opcode.ping, "ping", "client"));
    expect((await answer)[0]).toEqual(frame(Opcode.pong, "ping", "server"));
    socket.destroy();
  });

  test("frames right behind the offer, and right behind its acceptance, arrive", async () => {
    onUpgrade = (request, socket) => {
      socket.write(Buffer.concat([Buffer.from(switchToWebSocket(request)), frame(Opcode.text, "welcome", "server")]));
      echoFrames(socket, (received) => frames.push(received));
    };
    const early = Buffer.concat([frame(Opcode.text, "early", "client"), closeFrame(1000, "", "client")]);
    const { socket } = await openByHand(pair.outbound, handshake("target"), early);
    const got = await buffer(socket);
    expect(got).toEqual(
      Buffer.concat([frame(Opcode.text, "welcome", "server"), frame(Opcode.text, "early", "server"), closeFrame(1000, "", "server")]),
    );
    socket.end();
  });

  test("an application that breaks off cuts its client", async () => {
    const { socket } = await openByHand(pair.outbound, handshake("target"));
    const failed = once(socket, "error");
    socket.resume();
    for (const each of sockets) (each as Socket).resetAndDestroy();
    expect((await failed)[0]).toMatchObject({ code: "ECONNRESET" });
  });

  test("a client that breaks off cuts its application", async () => {
    const { socket } = await openByHand(pair.outbound, handshake("target"));
    const failed = once([...sockets].at(-1) as Duplex, "error");
    socket.resetAndDestroy();
    expect((await failed)[0]).toMatchObject({ code: "ECONNRESET" });
  });
});

describe("refusals", () => {
  test("of the application, with its answer", async () => {
    onUpgrade = (_request, socket) => {
      socket.end("HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: 9\r\nX-Why: because\r\n\r\nnot today");
    };
    const { socket, status, headers } = await openByHand(pair.outbound, [...handshake("target"), "Connection: close"]);
    expect(status).toBe(403);
    expect(headers.get("x-why")).toBe("because");
    socket.end();
    expect(await text(socket)).toBe("not today");
  });

  test.each([
    ["of known length", "Content-Length: 8\r\n\r\nordinary"],
    ["in chunks", "Transfer-Encoding: chunked\r\n\r\n8\r\nordinary\r\n0\r\n\r\n"],
  ])("by an ordinary answer %s: the request is one as any other, and so is the connection", async (_, rest) => {
    onUpgrade = (_request, socket) => void socket.write(`HTTP/1.1 200 OK\r\nX-Kind: plain\r\n${rest}`);
    const requestText = `${handshake("target", "/declined").join("\r\n")}\r\n\r\nGET /next HTTP/1.1\r\nHost: target\r\nConnection: close\r\n\r\n`;
    const answer = await sendPlain(pair.outbound, requestText);
    expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(answer).toMatch(/x-kind: plain/i);
    expect(answer).not.toContain("x-countersign");
    expect(answer).toContain("ordinary");
    expect(answer.match(/HTTP\/1\.1 200/g)).toHaveLength(2);
    expect(answer).toContain("plain GET");
  });

  test("of a policy", async () => {
    const { socket, status, headers } = await openByHand(pair.outbound, handshake("guarded"));
    expect([status, headers.get("x-countersign-reason")]).toEqual([403, "no-allow"]);
    expect(upgrades).toHaveLength(0);
    socket.destroy();
  });

  test.each([
    ["nobody", 502, "unknown-destination"],
    ["absent", 503, "upstream-refused"],
  ])("of an upgrade at %s", async (service, expected, reason) => {
    const { socket, status, headers } = await openByHand(pair.outbound, handshake(service));
    expect([status, headers.get("x-countersign-reason")]).toEqual([expected, reason]);
    socket.destroy();
  });

  test("of a server that cannot prove that it meant WebSocket", async () => {
    onUpgrade = (request, socket) => {
      request.headers["sec-websocket-key"] = sampleKey;
      socket.end(switchToWebSocket(request));
    };
    const { socket, status, headers } = await openByHand(pair.outbound, handshake("target"));
    expect([status, headers.get("x-countersign-reason")]).toEqual([502, "upstream-failed"]);
    socket.destroy();
  });
});

describe("other upgrades", () => {
  test("any protocol that the application agrees to: bytes both ways, each side ended on its own", async () => {
    onUpgrade = (_request, socket) => {
      socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: custom\r\n\r\nhello ");
      void readToEnd(socket).then((heard) => socket.end(`you said ${heard}`));
    };
    const { socket, status, headers } = await openByHand(pair.outbound, [
      "GET /custom HTTP/1.1",
      "Host: target",
      "Connection: upgrade",
      "Upgrade: custom",
    ]);
    expect([status, headers.get("upgrade")]).toEqual([101, "custom"]);
    expect(headers.has("sec-websocket-accept")).toBe(false);
    expect(upgrades[0]?.headers.upgrade).toBe("custom");
    socket.end("goodbye");
    expect(await text(socket)).toBe("hello you said goodbye");
  });

  test("a client that ends its side with the offer still gets what follows", async () => {
    onUpgrade = (_request, socket) => {
      socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: custom\r\n\r\n");
      void readToEnd(socket).then((heard) => socket.end(`all of it: ${heard}`));
    };
    const { host, port } = addressOf(pair.outbound);
    const socket = connect({ host, port, allowHalfOpen: true });
    socket.end("GET / HTTP/1.1\r\nHost: target\r\nConnection: upgrade\r\nUpgrade: custom\r\n\r\none breath");
    expect(await text(socket)).toMatch(/all of it: one breath$/);
  });

  test.each([
    ["h2c", "GET", ["Connection: upgrade, http2-settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"], ""],
    ["several at once", "GET", ["Connection: upgrade", "Upgrade: websocket, custom"], ""],
    ["with a body", "POST", ["Connection: upgrade", "Upgrade: websocket", "Content-Length: 4"], "body"],
    ["that Connection does not name", "GET", ["Upgrade: websocket"], ""],
  ])("an offer that nobody has to take is not passed on: %s", async (_, method, lines, body) => {
    const bytes = [`${method} / HTTP/1.1`, "Host: target", ...lines, "", body].join("\r\n");
    const answer = await sendPlain(pair.outbound, `${bytes}GET /last HTTP/1.1\r\nHost: target\r\nConnection: close\r\n\r\n`);
    expect(answer).toContain(`plain ${method} ${body}`);
    expect(answer.match(/HTTP\/1\.1 200/g)).toHaveLength(2);
    expect(upgrades).toHaveLength(0);
    for (const name of ["upgrade", "http2-settings"]) expect(requests[0]?.headers).not.toHaveProperty(name);
  });
});
