/** CONNECT (RFC 9113 section 8.5) and extended CONNECT (RFC 8441) between two connections of ours. */
import { describe, expect, it } from "vitest";
import { createField } from "../../../common/http/field.ts";
import { Http2ErrorCode } from "../../../sidecar/http2/error.ts";
import { FrameFlag, FrameType } from "../../../sidecar/http2/frames.ts";
import type { Http2Stream } from "../../../sidecar/http2/connection.ts";
import { block, data, fresh, headers, openClient, openServer, settings, settingsAck, streamErrors, type Conversation } from "./wire.ts";

const tcp = { method: "CONNECT", scheme: "", authority: "db:5432", path: "" };
const webSocket = { method: "CONNECT", scheme: "https", authority: "chat.shop", path: "/room?id=1", protocol: "websocket" };

interface Pair {
  readonly client: Conversation;
  readonly server: Conversation;
  /** Carries output to and fro until there is none. */
  readonly settle: () => void;
}

function pair(limits: Parameters<typeof openServer>[0] = {}): Pair {
  const client = fresh("client", limits);
  const server = fresh("server", limits);
  const settle = (): void => {
    for (;;) {
      const there = client.connection.takeOutput();
      if (there !== undefined) server.connection.receive(there);
      const back = server.connection.takeOutput();
      if (back !== undefined) client.connection.receive(back);
      if (there === undefined && back === undefined) return;
    }
  };
  return { client, server, settle };
}

/** A tunnel that the server has accepted; nothing recorded yet. */
function open(
  head: typeof tcp | typeof webSocket,
  limits: Parameters<typeof openServer>[0] = {},
): Pair & { near: Http2Stream; far: Http2Stream } {
  const both = pair(limits);
  both.settle();
  const near = both.client.connection.request(head, [], false);
  both.settle();
  const far = both.server.streams.get(1)!;
  both.server.connection.respond(far, 200, [], false);
  both.settle();
  expect(both.client.events.at(-1)).toMatchObject({ event: "response", status: 200, contentLength: -1, end: false });
  both.client.events.length = 0;
  both.server.events.length = 0;
  return { ...both, near, far };
}

describe("extended CONNECT", () => {
  it("waits for the server's SETTINGS", () => {
    const { client, server, settle } = pair();
    expect(client.connection.hasPeerSettings()).toBe(false);
    expect(client.connection.peerAllowsExtendedConnect()).toBe(false);
    expect(() => client.connection.request(webSocket, [], false)).toThrow(expect.objectContaining({ code: "PROTOCOL_ERROR" }));
    settle();
    expect(client.events).toEqual([{ event: "settings" }]);
    expect(client.connection.hasPeerSettings()).toBe(true);
    expect(client.connection.peerAllowsExtendedConnect()).toBe(true);
    client.connection.request(webSocket, [createField("sec-websocket-version", "13")], false);
    settle();
    expect(server.events.at(-1)).toMatchObject({
      event: "request",
      method: "CONNECT",
      target: "/room?id=1",
      authority: "chat.shop",
      scheme: "https",
      fields: ["sec-websocket-version: 13"],
      contentLength: -1,
    });
    expect(server.streams.get(1)!.protocol).toBe("websocket");
  });

  it("is not for a server that does not announce it", () => {
    const { client, settle } = pair({ extendedConnect: false });
    settle();
    expect(client.connection.hasPeerSettings()).toBe(true);
    expect(client.connection.peerAllowsExtendedConnect()).toBe(false);
  });

  it("may be announced later", () => {
    const client = openClient();
    expect(client.connection.peerAllowsExtendedConnect()).toBe(false);
    client.send(settings([8, 1]));
    expect(client.connection.peerAllowsExtendedConnect()).toBe(true);
    expect(client.connection.request(webSocket, [], false).id).toBe(1);
  });
});

describe.each([
  ["CONNECT", tcp],
  ["extended CONNECT", webSocket],
])("a tunnel by %s", (_, head) => {
  it("carries bytes both ways and is closed half by half, the client's first", () => {
    const { client, server, settle, near, far } = open(head);
    client.connection.sendData(near, Buffer.from("hello"), false);
    server.connection.sendData(far, Buffer.from("welcome"), false);
    settle();
    client.connection.sendData(near, Buffer.alloc(0), true);
    settle();
    server.connection.sendData(far, Buffer.from("still here"), false);
    settle();
    expect(server.connection.streamCount()).toBe(1);
    server.connection.sendData(far, Buffer.from("bye"), true);
    settle();
    expect(server.events).toEqual([
      { event: "data", id: 1, body: "hello", end: false },
      { event: "data", id: 1, body: "", end: true },
    ]);
    expect(client.events).toEqual([
      { event: "data", id: 1, body: "welcome", end: false },
      { event: "data", id: 1, body: "still here", end: false },
      { event: "data", id: 1, body: "bye", end: true },
    ]);
    expect([client.connection.streamCount(), server.connection.streamCount()]).toEqual([0, 0]);
  });

  it("is closed half by half, the server's first", () => {
    const { client, server, settle, near, far } = open(head);
    server.connection.sendData(far, Buffer.from("bye"), true);
    settle();
    client.connection.sendData(near, Buffer.from("late"), false);
    settle();
    client.connection.sendData(near, Buffer.from("r"), true);
    settle();
    expect(client.events).toEqual([{ event: "data", id: 1, body: "bye", end: true }]);
    expect(server.events).toEqual([
      { event: "data", id: 1, body: "late", end: false },
      { event: "data", id: 1, body: "r", end: true },
    ]);
    expect([client.connection.streamCount(), server.connection.streamCount()]).toEqual([0, 0]);
  });

  it("holds back what the far side does not consume, and goes on when it does", () => {
    const { client, server, settle, near, far } = open(head, { streamWindow: 70_000 });
    expect(client.connection.sendData(near, Buffer.alloc(100_000, "x"), false)).toBe(false);
    settle();
    const received = (): number => server.events.reduce((sum, event) => sum + (event.event === "data" ? event.body.length : 0), 0);
    expect(received()).toBe(70_000);
    expect(client.events).toEqual([]);
    server.connection.consumed(far, 70_000);
    settle();
    expect(received()).toBe(100_000);
    expect(client.events).toEqual([{ event: "writable", id: 1 }]);
  });

  it("is torn down by a reset of either side", () => {
    const first = open(head);
    first.client.connection.reset(first.near, Http2ErrorCode.CANCEL);
    first.settle();
    expect(first.server.events).toEqual([{ event: "reset", id: 1, code: "CANCEL", byPeer: true }]);
    const second = open(head);
    second.server.connection.reset(second.far, Http2ErrorCode.CONNECT_ERROR);
    second.settle();
    expect(second.client.events).toEqual([{ event: "reset", id: 1, code: "CONNECT_ERROR", byPeer: true }]);
  });

  it("sends no trailers", () => {
    const { client, server, near, far } = open(head);
    const trailers = [createField("x-a", "b")];
    expect(() => client.connection.sendTrailers(near, trailers)).toThrow(expect.objectContaining({ code: "PROTOCOL_ERROR" }));
    expect(() => server.connection.sendTrailers(far, trailers)).toThrow(expect.objectContaining({ code: "PROTOCOL_ERROR" }));
  });
});

describe("a peer in a tunnel", () => {
  it("that sends trailers to the server has its stream reset, before the answer and behind it", () => {
    for (const answered of [false, true]) {
      const server = openServer();
      server.send(headers(1, block([":method", "CONNECT"], [":authority", "db:5432"]), FrameFlag.END_HEADERS));
      if (answered) server.connection.respond(server.streams.get(1)!, 200, [], false);
      server.output();
      expect(streamErrors(server, server.send(headers(1, block(["x", "y"]))))).toEqual([[1, "PROTOCOL_ERROR"]]);
      expect(server.events.at(-1)).toEqual({ event: "reset", id: 1, code: "PROTOCOL_ERROR", byPeer: false });
    }
  });

  it("that sends trailers to the client has its stream reset, but a refusal may have them", () => {
    const accepted = openClient();
    accepted.connection.request(tcp, [], false);
    accepted.output();
    accepted.send(headers(1, block([":status", "200"]), FrameFlag.END_HEADERS));
    expect(streamErrors(accepted, accepted.send(headers(1, block(["x", "y"]))))).toEqual([[1, "PROTOCOL_ERROR"]]);
    const refused = openClient();
    refused.connection.request(tcp, [], false);
    refused.send(headers(1, block([":status", "403"]), FrameFlag.END_HEADERS), data(1, "no"), headers(1, block(["x", "y"])));
    expect(refused.events.map(({ event }) => event)).toEqual(["response", "data", "trailers"]);
  });

  it("may answer any 2xx, with a body that is the tunnel", () => {
    const client = openClient();
    client.connection.request(tcp, [], false);
    client.send(headers(1, block([":status", "204"]), FrameFlag.END_HEADERS), data(1, "abc"));
    expect(client.events).toMatchObject([
      { event: "response", status: 204, contentLength: -1, end: false },
      { event: "data", body: "abc" },
    ]);
  });
});

describe("a head that may not state a length (RFC 9110 section 8.6)", () => {
  const length = createField("content-length", "5");
  const other = createField("x-a", "b");

  it.each<[string, number, typeof tcp | undefined]>([
    ["2xx to CONNECT", 200, tcp],
    ["1xx", 103, undefined],
    ["204", 204, undefined],
  ])("is sent without it: %s", (_, status, connect) => {
    const { client, server, settle } = pair();
    settle();
    client.connection.request(connect ?? { ...tcp, method: "POST", scheme: "https", path: "/" }, [], false);
    settle();
    server.connection.respond(server.streams.get(1)!, status, [length, other], false);
    settle();
    expect(client.events.at(-1)).toMatchObject({ status, fields: ["x-a: b"] });
  });

  it("is no rule for HEAD, 304 and a refused CONNECT", () => {
    const { client, server, settle } = pair();
    settle();
    client.connection.request({ ...tcp, method: "HEAD", scheme: "https", path: "/" }, [], true);
    client.connection.request({ ...tcp, method: "GET", scheme: "https", path: "/" }, [], true);
    client.connection.request(tcp, [], false);
    settle();
    server.connection.respond(server.streams.get(1)!, 200, [length], true);
    server.connection.respond(server.streams.get(3)!, 304, [length], true);
    server.connection.respond(server.streams.get(5)!, 403, [length], false);
    server.connection.sendData(server.streams.get(5)!, Buffer.from("denied").subarray(0, 5), true);
    settle();
    expect(client.events.slice(1)).toMatchObject([
      { event: "response", id: 1, fields: ["content-length: 5"], contentLength: 0 },
      { event: "response", id: 3, fields: ["content-length: 5"], contentLength: 0 },
      { event: "response", id: 5, status: 403, fields: ["content-length: 5"], contentLength: 5 },
      { event: "data", id: 5, body: "denie", end: true },
    ]);
  });
});

describe("forEachStream", () => {
  it("visits what is open, and lets a visit end it and others", () => {
    const server = openServer();
    for (let id = 1; id < 3000; id += 2) {
      server.send(headers(id, block([":method", "CONNECT"], [":authority", `${id % 4 === 1 ? "kept" : "cut"}:1`]), FrameFlag.END_HEADERS));
      const stream = server.streams.get(id)!;
      if (id > 9 && id < 2990) server.connection.reset(stream, Http2ErrorCode.CANCEL);
      else stream.data = id % 4 === 1 ? "kept" : "cut";
    }
    server.output();
    const visited: number[] = [];
    server.connection.forEachStream((stream) => visited.push(stream.id));
    expect(visited.toSorted((a, b) => a - b)).toEqual([1, 3, 5, 7, 9, 2991, 2993, 2995, 2997, 2999]);
    let visits = 0;
    server.connection.forEachStream((stream) => {
      visits++;
      // The first visit to one of the revoked ends all of them.
      if (stream.data === "cut")
        for (const other of server.streams.values()) if (other.data === "cut") server.connection.reset(other, Http2ErrorCode.CANCEL);
    });
    expect(visits).toBeLessThan(10);
    expect(server.connection.streamCount()).toBe(5);
    expect(
      server
        .output()
        .filter(({ type }) => type === FrameType.RST_STREAM)
        .map(({ id }) => id),
    ).toEqual([3, 7, 2991, 2995, 2999]);
  });

  it("finds nothing behind the end of the connection", () => {
    const server = openServer();
    server.send(settingsAck, headers(1, block([":method", "CONNECT"], [":authority", "a:1"]), FrameFlag.END_HEADERS));
    server.connection.disconnect();
    server.connection.forEachStream(() => expect.unreachable());
    expect(server.connection.streamCount()).toBe(0);
  });
});
