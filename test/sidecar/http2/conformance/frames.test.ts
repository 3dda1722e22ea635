/** RFC 9113 section 6: every frame, its lengths, ids, paddings and values; h2spec's http2/6. */
import { describe, expect, it } from "vitest";
import { Http2ErrorCode } from "../../../../sidecar/http2/error.ts";
import { FrameFlag, FrameType } from "../../../../sidecar/http2/frames.ts";
import {
  block,
  continuation,
  data,
  connectionError,
  streamErrors,
  frame,
  get,
  goaway,
  headers,
  openClient,
  openServer,
  ping,
  post,
  reset,
  settings,
  uint32,
  windowUpdate,
  type Conversation,
} from "../wire.ts";

const head = { method: "GET", scheme: "https", authority: "a", path: "/" };
const padded = FrameFlag.PADDED;

function openStream(): Conversation {
  const server = openServer();
  server.send(headers(1, block(...post), FrameFlag.END_HEADERS));
  server.events.length = 0;
  return server;
}

describe("DATA (6.1)", () => {
  it("belongs to a stream", () => {
    const server = openServer();
    expect(connectionError(server, server.send(data(0, "x")))).toBe("PROTOCOL_ERROR");
  });

  it("is handed on without its padding", () => {
    const server = openStream();
    server.send(data(1, [3, 0x61, 0x62, 0, 0, 0], padded | FrameFlag.END_STREAM));
    expect(server.events).toEqual([{ event: "data", id: 1, body: "ab", end: true }]);
  });

  it("may be nothing but padding", () => {
    const server = openStream();
    server.send(data(1, [3, 0, 0, 0], padded), data(1, [0], padded | FrameFlag.END_STREAM));
    expect(server.events).toEqual([{ event: "data", id: 1, body: "", end: true }]);
  });

  it.each([
    ["as long as the frame", [4, 0, 0, 0], "PROTOCOL_ERROR"],
    ["longer than the frame", [255, 0, 0, 0], "PROTOCOL_ERROR"],
    ["without a length", [], "FRAME_SIZE_ERROR"],
  ] as const)("padding %s is refused", (_, payload, code) => {
    const server = openStream();
    expect(connectionError(server, server.send(data(1, payload, padded)))).toBe(code);
  });
});

describe("HEADERS (6.2)", () => {
  it("may be padded and carry a priority", () => {
    const server = openServer();
    server.send(headers(1, Buffer.concat([Buffer.from([2]), uint32(0), Buffer.from([1]), block(...get), Buffer.alloc(2)]), 0x2d));
    expect(server.events).toMatchObject([{ event: "request", id: 1, end: true }]);
  });

  it.each([
    ["padding longer than the frame", headers(1, [9, 0, 0, 0, 0, 0], 0x0d), "PROTOCOL_ERROR"],
    ["padding that covers the priority", headers(1, [4, 0, 0, 0, 0, 0], 0x2d), "PROTOCOL_ERROR"],
    ["padding without a length", headers(1, [], 0x0d), "FRAME_SIZE_ERROR"],
    ["a priority cut off", headers(1, [0, 0, 0], 0x25), "FRAME_SIZE_ERROR"],
  ] as const)("%s is refused", (_, bytes, code) => {
    const server = openServer();
    expect(connectionError(server, server.send(bytes))).toBe(code);
  });

  it.each([
    ["another frame of the stream", data(1, "x")],
    ["PRIORITY", frame(FrameType.PRIORITY, 0, 1, [0, 0, 0, 0, 1])],
    ["a frame of the connection", ping()],
    ["an unknown frame", frame(0xee, 0, 1)],
    ["HEADERS of another stream", headers(3, block(...get))],
    ["CONTINUATION of another stream", continuation(3, block(...get))],
  ])("may not be interrupted by %s", (_, bytes) => {
    const server = openServer();
    server.send(headers(1, block(...get), FrameFlag.END_STREAM));
    expect(connectionError(server, server.send(bytes))).toBe("PROTOCOL_ERROR");
  });
});

describe("PRIORITY (6.3)", () => {
  it("belongs to a stream", () => {
    const server = openServer();
    expect(connectionError(server, server.send(frame(FrameType.PRIORITY, 0, 0, [0, 0, 0, 0, 1])))).toBe("PROTOCOL_ERROR");
  });

  it("of a wrong length is an error of its stream", () => {
    const server = openStream();
    expect(streamErrors(server, server.send(frame(FrameType.PRIORITY, 0, 1, [0, 0, 0, 0])))).toEqual([[1, "FRAME_SIZE_ERROR"]]);
  });

  it("of a wrong length on an idle stream is one of the connection: an idle stream cannot be reset", () => {
    const server = openServer();
    expect(connectionError(server, server.send(frame(FrameType.PRIORITY, 0, 1, [0, 0, 0, 0])))).toBe("FRAME_SIZE_ERROR");
  });
});

describe("RST_STREAM (6.4)", () => {
  it("ends a stream with the peer's code", () => {
    const server = openStream();
    server.send(reset(1, 8));
    expect(server.events).toEqual([{ event: "reset", id: 1, code: "CANCEL", byPeer: true }]);
  });

  it("with a code nobody knows counts as INTERNAL_ERROR (7)", () => {
    const server = openStream();
    server.send(reset(1, 0xff));
    expect(server.events).toEqual([{ event: "reset", id: 1, code: "INTERNAL_ERROR", byPeer: true }]);
  });

  it.each([
    ["on the connection", frame(FrameType.RST_STREAM, 0, 0, uint32(8)), "PROTOCOL_ERROR"],
    ["of three bytes", frame(FrameType.RST_STREAM, 0, 1, [0, 0, 8]), "FRAME_SIZE_ERROR"],
    ["of five bytes", frame(FrameType.RST_STREAM, 0, 1, [0, 0, 0, 8, 0]), "FRAME_SIZE_ERROR"],
  ] as const)("%s is refused", (_, bytes, code) => {
    const server = openStream();
    expect(connectionError(server, server.send(bytes))).toBe(code);
  });
});

describe("SETTINGS (6.5)", () => {
  it("is acknowledged, unknown settings and all", () => {
    const server = openServer();
    expect(server.send(settings([0xff, 1], [4, 100_000])).map((sent) => [sent.type, sent.flags])).toEqual([
      [FrameType.SETTINGS, FrameFlag.ACK],
    ]);
    expect(server.events).toEqual([{ event: "settings" }]);
  });

  it.each([
    ["an acknowledgement with a payload", frame(FrameType.SETTINGS, FrameFlag.ACK, 0, [0]), "FRAME_SIZE_ERROR"],
    ["a length that is no multiple of six", frame(FrameType.SETTINGS, 0, 0, [0, 0, 0]), "FRAME_SIZE_ERROR"],
    ["a stream id", frame(FrameType.SETTINGS, 0, 1), "PROTOCOL_ERROR"],
    ["ENABLE_PUSH 2", settings([2, 2]), "PROTOCOL_ERROR"],
    ["INITIAL_WINDOW_SIZE 2^31", settings([4, 0x8000_0000]), "FLOW_CONTROL_ERROR"],
    ["MAX_FRAME_SIZE 16383", settings([5, 16_383]), "PROTOCOL_ERROR"],
    ["MAX_FRAME_SIZE 2^24", settings([5, 0x100_0000]), "PROTOCOL_ERROR"],
    ["ENABLE_CONNECT_PROTOCOL 2", settings([8, 2]), "PROTOCOL_ERROR"],
    ["ENABLE_CONNECT_PROTOCOL withdrawn", settings([8, 1], [8, 0]), "PROTOCOL_ERROR"],
  ] as const)("with %s is refused", (_, bytes, code) => {
    const server = openServer();
    expect(connectionError(server, server.send(bytes))).toBe(code);
  });

  it("a client is not to be pushed to by a server's ENABLE_PUSH", () => {
    const client = openClient();
    expect(connectionError(client, client.send(settings([2, 1])))).toBe("PROTOCOL_ERROR");
  });

  it("the last of several values counts", () => {
    const client = openClient({}, {}, [
      [3, 1],
      [3, 2],
    ]);
    client.connection.request(head, [], true);
    expect(client.connection.canRequest()).toBe(true);
  });

  it("a larger frame size is used", () => {
    const client = openClient({}, {}, [
      [5, 20_000],
      [4, 30_000],
    ]);
    const stream = client.connection.request({ ...head, method: "POST" }, [], false);
    client.output();
    client.connection.sendData(stream, Buffer.alloc(25_000), true);
    expect(client.output().map((sent) => sent.payload.length)).toEqual([20_000, 5_000]);
  });
});

describe("PUSH_PROMISE (6.6, 8.4)", () => {
  it("is refused by the client, which forbade it", () => {
    const client = openClient();
    client.connection.request(head, [], true);
    expect(connectionError(client, client.send(frame(FrameType.PUSH_PROMISE, 4, 1, [0, 0, 0, 2])))).toBe("PROTOCOL_ERROR");
  });

  it("is refused by the server", () => {
    const server = openStream();
    expect(connectionError(server, server.send(frame(FrameType.PUSH_PROMISE, 4, 1, [0, 0, 0, 2])))).toBe("PROTOCOL_ERROR");
  });
});

describe("PING (6.7)", () => {
  it("is answered with its own payload", () => {
    const server = openServer();
    const payload = Buffer.from("\u0001\u0002345678", "latin1");
    expect(server.send(ping(0, payload))).toEqual([{ type: FrameType.PING, flags: FrameFlag.ACK, id: 0, payload }]);
  });

  it("of ours is reported when answered, and no answer is answered", () => {
    const server = openServer();
    server.connection.ping();
    const [sent] = server.output();
    expect(sent).toMatchObject({ type: FrameType.PING, flags: 0 });
    expect(server.send(ping(FrameFlag.ACK, sent!.payload))).toEqual([]);
    expect(server.events).toEqual([{ event: "pong" }]);
  });

  it.each([
    ["on a stream", frame(FrameType.PING, 0, 1, Buffer.alloc(8)), "PROTOCOL_ERROR"],
    ["of seven bytes", ping(0, Buffer.alloc(7)), "FRAME_SIZE_ERROR"],
    ["of nine bytes", ping(0, Buffer.alloc(9)), "FRAME_SIZE_ERROR"],
  ] as const)("%s is refused", (_, bytes, code) => {
    const server = openServer();
    expect(connectionError(server, server.send(bytes))).toBe(code);
  });
});

describe("GOAWAY (6.8)", () => {
  it.each([
    ["on a stream", frame(FrameType.GOAWAY, 0, 1, Buffer.alloc(8)), "PROTOCOL_ERROR"],
    ["too short", frame(FrameType.GOAWAY, 0, 0, Buffer.alloc(7)), "FRAME_SIZE_ERROR"],
  ] as const)("%s is refused", (_, bytes, code) => {
    const server = openServer();
    expect(connectionError(server, server.send(bytes))).toBe(code);
  });

  it("hands the streams above it back, and lets the others end", () => {
    const client = openClient();
    client.connection.request(head, [], true);
    client.connection.request(head, [], true);
    client.send(goaway(1, 0, "bye"));
    expect(client.events).toEqual([
      { event: "reset", id: 3, code: "REFUSED_STREAM", byPeer: true },
      { event: "goaway", last: 1, code: "NO_ERROR", debug: "bye" },
    ]);
    expect(client.connection.canRequest()).toBe(false);
    expect(client.connection.isDraining()).toBe(true);
    expect(client.connection.isDrained()).toBe(false);
    client.send(headers(1, block([":status", "200"])));
    expect(client.events.at(-1)).toMatchObject({ event: "response", id: 1 });
    expect(client.connection.isDrained()).toBe(true);
  });

  it("may name an earlier stream later on, but not a later one", () => {
    const client = openClient();
    client.connection.request(head, [], true);
    client.send(goaway(0x7fff_ffff), goaway(1));
    expect(client.events.map(({ event }) => event)).toEqual(["goaway", "goaway"]);
    expect(connectionError(client, client.send(goaway(3)))).toBe("PROTOCOL_ERROR");
  });

  it("of a server comes in two steps, so that no request under way is lost", () => {
    const server = openServer();
    server.connection.goaway();
    const [announced, asked] = server.output();
    expect(announced).toMatchObject({ type: FrameType.GOAWAY, payload: Buffer.concat([uint32(0x7fff_ffff), uint32(0)]) });
    expect(asked).toMatchObject({ type: FrameType.PING, flags: 0 });
    server.send(headers(1, block(...get)));
    expect(server.events).toMatchObject([{ event: "request", id: 1 }]);
    const [last] = server.send(ping(FrameFlag.ACK, asked!.payload));
    expect(last).toMatchObject({ type: FrameType.GOAWAY, payload: Buffer.concat([uint32(1), uint32(0)]) });
    expect(server.send(headers(3, block(...get)), data(3, "x"), reset(3))).toEqual([]);
    expect(server.events).toHaveLength(1);
    server.connection.respond(server.streams.get(1)!, 200, [], true);
    expect(server.connection.isDrained()).toBe(true);
  });

  it("with an error names the last stream at once", () => {
    const server = openStream();
    server.connection.goaway(Http2ErrorCode.ENHANCE_YOUR_CALM);
    expect(server.output()).toMatchObject([{ type: FrameType.GOAWAY, payload: Buffer.concat([uint32(1), uint32(11)]) }]);
  });

  it("of a client ends its requests, not its streams", () => {
    const client = openClient();
    client.connection.request(head, [], true);
    client.output();
    client.connection.goaway();
    client.connection.goaway();
    expect(client.output()).toMatchObject([{ type: FrameType.GOAWAY, payload: Buffer.alloc(8) }]);
    expect(client.connection.canRequest()).toBe(false);
    client.send(headers(1, block([":status", "200"])));
    expect(client.connection.isDrained()).toBe(true);
  });
});

describe("WINDOW_UPDATE (6.9)", () => {
  it.each([
    ["of three bytes", frame(FrameType.WINDOW_UPDATE, 0, 0, [0, 0, 1]), "FRAME_SIZE_ERROR"],
    ["of nothing, on the connection", windowUpdate(0, 0), "PROTOCOL_ERROR"],
    ["over 2^31-1, on the connection", windowUpdate(0, 0x7fff_ffff), "FLOW_CONTROL_ERROR"],
  ] as const)("%s is refused", (_, bytes, code) => {
    const server = openStream();
    expect(connectionError(server, server.send(bytes))).toBe(code);
  });

  it.each([
    ["of nothing", windowUpdate(1, 0), "PROTOCOL_ERROR"],
    ["over 2^31-1", windowUpdate(1, 0x7fff_ffff), "FLOW_CONTROL_ERROR"],
  ] as const)("%s on a stream is an error of the stream", (_, bytes, code) => {
    const server = openStream();
    expect(streamErrors(server, server.send(bytes))).toEqual([[1, code]]);
  });
});

describe("CONTINUATION (6.10)", () => {
  it("may come in any number of parts, cut anywhere", () => {
    const whole = block(...get, ["a", "b"]);
    const server = openServer({ continuations: 1000 });
    const parts = Array.from(whole, (byte, i) => continuation(1, [byte], i === whole.length - 1 ? FrameFlag.END_HEADERS : 0));
    server.send(headers(1, [], FrameFlag.END_STREAM), ...parts);
    expect(server.events).toMatchObject([{ event: "request", id: 1, fields: ["a: b"], end: true }]);
  });

  it.each([
    ["without HEADERS", [continuation(1, block(...get))]],
    ["on the connection", [headers(1, block(...get), 0), continuation(0, [])]],
    ["behind the end of the block", [headers(1, block(...get)), continuation(1, [])]],
  ])("%s is refused", (_, bytes) => {
    const server = openServer();
    expect(connectionError(server, server.send(...bytes))).toBe("PROTOCOL_ERROR");
  });
});
