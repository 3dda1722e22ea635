/** Applications that speak different versions of HTTP, where a service says which is its own: each sees only its own version. */
import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import {
  connect,
  createServer as createHttp2Server,
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type IncomingHttpHeaders,
  type IncomingHttpStatusHeader,
  type OutgoingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import type { Duplex } from "node:stream";
import { buffer, text } from "node:stream/consumers";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { call, sendPlain } from "./clients.ts";
import { startPair, type Pair } from "./pair.ts";
import { echoFrames, frame, handshake, Opcode, openByHand, sampleAccept, switchToWebSocket } from "./websocket-peer.ts";

const megabyte = Buffer.alloc(1024 * 1024, "0123456789abcdef");

type Http2Handler = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void;
const echo: Http2Handler = (stream, headers) => {
  stream.respond({ ":status": 200, "x-method": headers[":method"], "x-path": headers[":path"] });
  stream.pipe(stream);
};
let onStream: Http2Handler = echo;
const sessions = new Set<ServerHttp2Session>();
const modern = createHttp2Server({ settings: { enableConnectProtocol: true } });
modern.on("session", (session) => sessions.add(session));
modern.on("stream", (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
  stream.on("error", () => undefined);
  onStream(stream, headers);
});

const requests: IncomingMessage[] = [];
const classic = createServer((request, response) => {
  requests.push(request);
  if (request.url === "/hints") response.writeEarlyHints({ link: "</style.css>; rel=preload" });
  void buffer(request).then((body) => {
    response.writeHead(200, { "x-method": request.method, trailer: "x-checksum", "x-trailers": JSON.stringify(request.trailers) });
    response.addTrailers({ "x-checksum": String(body.length) });
    response.end(body);
  });
});
const upgraded = new Set<Duplex>();
let onUpgrade: (request: IncomingMessage, socket: Duplex) => void = () => undefined;
classic.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
  requests.push(request);
  upgraded.add(socket);
  socket.on("error", () => undefined);
  if (head.length > 0) socket.unshift(head);
  onUpgrade(request, socket);
});

let pair: Pair;
let session: ClientHttp2Session;
beforeAll(async () => {
  pair = await startPair(modern, classic);
  session = connect(`http://${pair.outbound}`);
  await once(session, "remoteSettings");
});
afterAll(async () => {
  session?.destroy();
  for (const each of sessions) each.destroy();
  for (const socket of upgraded) socket.destroy();
  await pair?.mesh.stop();
});
beforeEach(() => {
  onStream = echo;
  requests.length = 0;
});

function open(headers: OutgoingHttpHeaders, endStream: boolean): ClientHttp2Stream {
  return session.request({ ":authority": "classic", ...headers }, { endStream });
}

type Head = IncomingHttpHeaders & IncomingHttpStatusHeader;

async function headOf(stream: ClientHttp2Stream): Promise<Head> {
  const [headers] = (await once(stream, "response")) as [Head];
  return headers;
}

describe("a client of HTTP/1.1 and a server of HTTP/2", () => {
  test("a request and its answer", async () => {
    const answer = await call(pair.outbound, { host: "modern", method: "PUT", path: "/a?b=c", body: "the body" });
    expect(answer).toMatchObject({ status: 200, headers: { "x-method": "PUT", "x-path": "/a?b=c" } });
    expect(answer.body.toString()).toBe("the body");
  });

  test("1 MiB both ways, of known length and in chunks", async () => {
    expect((await call(pair.outbound, { host: "modern", method: "POST", body: megabyte })).body.equals(megabyte)).toBe(true);
    const chunks = `${megabyte.length.toString(16)}\r\n${megabyte.toString()}\r\n0\r\n\r\n`;
    const answer = await sendPlain(
      pair.outbound,
      `POST / HTTP/1.1\r\nHost: modern\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n${chunks}`,
    );
    expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(answer.length).toBeGreaterThan(megabyte.length);
  });

  test("trailers both ways, early hints, HEAD", async () => {
    let trailers: IncomingHttpHeaders = {};
    onStream = (stream, headers) => {
      stream.on("trailers", (fields: IncomingHttpHeaders) => (trailers = fields));
      stream.additionalHeaders({ ":status": 103, link: "</a.css>; rel=preload" });
      stream.respond(
        { ":status": 200, "content-length": "4" },
        { waitForTrailers: headers[":method"] !== "HEAD", endStream: headers[":method"] === "HEAD" },
      );
      stream.on("wantTrailers", () => stream.sendTrailers({ "x-answer": "done" }));
      stream.on("end", () => stream.end("body"));
      stream.resume();
    };
    const posted = await sendPlain(
      pair.outbound,
      "POST / HTTP/1.1\r\nHost: modern\r\nTransfer-Encoding: chunked\r\nTrailer: x-checksum, x-never-sent\r\n\r\n4\r\nbody\r\n0\r\nx-checksum: abc\r\n\r\nHEAD / HTTP/1.1\r\nHost: modern\r\nConnection: close\r\n\r\n",
    );
    expect(posted.match(/HTTP\/1\.1 103 /g)).toHaveLength(2);
    expect(posted.match(/HTTP\/1\.1 200 /g)).toHaveLength(2);
    expect(posted).toMatch(/content-length: 4\r\n(?:.*\r\n)*\r\nbodyHTTP/i);
    expect(posted).toMatch(/content-length: 4\r\n(?:.*\r\n)*\r\n$/i);
    expect(trailers).toMatchObject({ "x-checksum": "abc" });
  });

  test("WebSocket becomes an extended CONNECT", async () => {
    let seen: IncomingHttpHeaders = {};
    onStream = (stream, headers) => {
      seen = headers;
      stream.respond({ ":status": 200, "sec-websocket-protocol": "chat" });
      echoFrames(stream, () => undefined);
    };
    const { socket, status, headers } = await openByHand(pair.outbound, handshake("modern", "/chat", ["Sec-WebSocket-Protocol: chat"]));
    expect([status, headers.get("sec-websocket-accept"), headers.get("sec-websocket-protocol")]).toEqual([101, sampleAccept, "chat"]);
    expect(seen).toMatchObject({ ":method": "CONNECT", ":protocol": "websocket", ":path": "/chat", "sec-websocket-version": "13" });
    expect(seen).not.toHaveProperty("sec-websocket-key");
    const answer = once(socket, "data") as Promise<[Buffer]>;
    socket.resume();
    socket.write(frame(Opcode.text, "hello", "client"));
    expect((await answer)[0]).toEqual(frame(Opcode.text, "hello", "server"));
    socket.destroy();
  });
});

describe("a client of HTTP/2 and a server of HTTP/1.1", () => {
  test("a request and its answer, with trailers both ways", async () => {
    const stream = session.request(
      { ":authority": "classic", ":method": "POST", ":path": "/a?b=c", cookie: ["a=1", "b=2"] },
      { waitForTrailers: true },
    );
    stream.on("wantTrailers", () => stream.sendTrailers({ "x-sum": "abc" }));
    let trailers: IncomingHttpHeaders = {};
    stream.on("trailers", (fields: IncomingHttpHeaders) => (trailers = fields));
    stream.end("the body");
    const headers = await headOf(stream);
    expect(headers).toMatchObject({ ":status": 200, "x-method": "POST", "x-trailers": '{"x-sum":"abc"}' });
    expect(headers).not.toHaveProperty("transfer-encoding");
    expect(await text(stream)).toBe("the body");
    expect(trailers).toMatchObject({ "x-checksum": "8" });
    expect(requests[0]).toMatchObject({ httpVersion: "1.1", url: "/a?b=c" });
    expect(requests[0]?.headers).toMatchObject({ host: "classic", cookie: "a=1; b=2" });
  });

  test("1 MiB both ways, and early hints", async () => {
    const stream = open({ ":method": "POST", ":path": "/hints" }, false);
    const informed: Head[] = [];
    stream.on("headers", (fields: Head) => informed.push(fields));
    stream.end(megabyte);
    expect((await headOf(stream))[":status"]).toBe(200);
    expect((await buffer(stream)).equals(megabyte)).toBe(true);
    expect(informed).toMatchObject([{ ":status": 103, link: "</style.css>; rel=preload" }]);
  });

  test("an extended CONNECT becomes an upgrade", async () => {
    onUpgrade = (request, socket) => {
      socket.write(switchToWebSocket(request, ["Sec-WebSocket-Protocol: chat"]));
      echoFrames(socket, () => undefined);
    };
    const stream = open(
      { ":method": "CONNECT", ":protocol": "websocket", ":scheme": "http", ":path": "/chat", "sec-websocket-version": "13" },
      false,
    );
    expect(await headOf(stream)).toMatchObject({ ":status": 200, "sec-websocket-protocol": "chat" });
    expect(requests[0]?.headers).toMatchObject({ upgrade: "websocket", "sec-websocket-version": "13" });
    const answer = once(stream, "data") as Promise<[Buffer]>;
    stream.write(frame(Opcode.text, "hello", "client"));
    expect((await answer)[0]).toEqual(frame(Opcode.text, "hello", "server"));
    stream.close();
  });

  test("one that is not taken up is 501 with the application's answer, for over HTTP/2 a 200 would say that it was", async () => {
    onUpgrade = (_request, socket) => socket.end("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nplain");
    const stream = open({ ":method": "CONNECT", ":protocol": "websocket", ":scheme": "http", ":path": "/" }, false);
    expect((await headOf(stream))[":status"]).toBe(501);
    expect(await text(stream)).toBe("plain");
  });
});

describe("HTTP/2 on both sides", () => {
  test("an extended CONNECT arrives as one; each side ends on its own", async () => {
    let seen: IncomingHttpHeaders = {};
    onStream = (stream, headers) => {
      seen = headers;
      stream.respond({ ":status": 200 });
      stream.write("hello ");
      let heard = "";
      stream.on("data", (chunk: Buffer) => (heard += chunk.toString()));
      stream.on("end", () => stream.end(`you said ${heard}`));
    };
    const stream = open({ ":authority": "target", ":method": "CONNECT", ":protocol": "custom", ":scheme": "http", ":path": "/x?y" }, false);
    expect((await headOf(stream))[":status"]).toBe(200);
    expect(seen).toMatchObject({ ":method": "CONNECT", ":protocol": "custom", ":path": "/x?y", ":authority": "target" });
    stream.end("goodbye");
    expect(await text(stream)).toBe("hello you said goodbye");
  });

  test("an application that takes none is 501", async () => {
    for (const each of sessions) each.close();
    modern.updateSettings({ enableConnectProtocol: false });
    const stream = open({ ":authority": "target", ":method": "CONNECT", ":protocol": "custom", ":scheme": "http", ":path": "/" }, false);
    expect(await headOf(stream)).toMatchObject({ ":status": 501, "x-countersign-reason": "upgrade-unsupported" });
    stream.close();
  });
});
