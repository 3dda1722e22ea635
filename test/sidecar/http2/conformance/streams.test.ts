/** RFC 9113 sections 5.1, 5.3 and 5.4: stream states, ids, concurrency, errors; h2spec's http2/5.1 to 5.4. */
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

const open = headers(1, block(...post), FrameFlag.END_HEADERS);
const closed = headers(1, block(...get));
const priority = (id: number, on = 0): Buffer => frame(FrameType.PRIORITY, 0, id, [...uint32(on), 15]);

/** A server whose stream 1 has ended on both sides. */
function answered(): Conversation {
  const server = openServer({}, { onRequest: (stream) => server.connection.respond(stream, 200, [], true) });
  server.send(closed);
  server.events.length = 0;
  return server;
}

describe("idle streams (5.1)", () => {
  it.each([
    ["DATA", data(1, "x")],
    ["RST_STREAM", reset(1)],
    ["WINDOW_UPDATE", windowUpdate(1, 1)],
    ["CONTINUATION", continuation(1, block(...get))],
  ])("%s is an error of the connection", (_, bytes) => {
    const server = openServer();
    expect(connectionError(server, server.send(bytes))).toBe("PROTOCOL_ERROR");
  });

  it("PRIORITY is none", () => {
    const server = openServer();
    expect(server.send(priority(1))).toEqual([]);
  });

  it.each([
    ["HEADERS", headers(2, block([":status", "200"]))],
    ["HEADERS on a stream never opened", headers(3, block([":status", "200"]))],
    ["DATA on a stream never opened", data(3, "x")],
    ["RST_STREAM on a stream never opened", reset(3)],
  ])("a server may not open a stream by %s", (_, bytes) => {
    const client = openClient();
    client.connection.request({ method: "GET", scheme: "https", authority: "a", path: "/" }, [], true);
    expect(connectionError(client, client.send(bytes))).toBe("PROTOCOL_ERROR");
  });
});

describe("half-closed (remote) streams (5.1)", () => {
  it.each([
    ["DATA", data(1, "x")],
    ["HEADERS", headers(1, block(["a", "b"]))],
  ])("%s is STREAM_CLOSED", (_, bytes) => {
    const server = openServer();
    server.send(closed);
    expect(streamErrors(server, server.send(bytes))).toEqual([[1, "STREAM_CLOSED"]]);
    expect(server.events.slice(1)).toEqual([{ event: "reset", id: 1, code: "STREAM_CLOSED", byPeer: false }]);
  });

  it("CONTINUATION continues nothing", () => {
    const server = openServer();
    server.send(closed);
    expect(connectionError(server, server.send(continuation(1, [])))).toBe("PROTOCOL_ERROR");
  });

  it.each([
    ["WINDOW_UPDATE", windowUpdate(1, 1)],
    ["PRIORITY", priority(1)],
  ])("%s is fine", (_, bytes) => {
    const server = openServer();
    server.send(closed);
    expect(server.send(bytes)).toEqual([]);
    expect(server.connection.streamCount()).toBe(1);
  });

  it("RST_STREAM ends them", () => {
    const server = openServer();
    server.send(closed, reset(1, 8));
    expect(server.events.slice(1)).toEqual([{ event: "reset", id: 1, code: "CANCEL", byPeer: true }]);
    expect(server.connection.streamCount()).toBe(0);
  });
});

describe("closed streams (5.1)", () => {
  it.each([
    ["DATA", data(1, "x")],
    ["HEADERS", headers(1, block(...get))],
  ])("%s after END_STREAM of both sides is an error of the connection", (_, bytes) => {
    const server = answered();
    expect(connectionError(server, server.send(bytes))).toBe("STREAM_CLOSED");
  });

  it.each([
    ["WINDOW_UPDATE", windowUpdate(1, 1)],
    ["RST_STREAM", reset(1)],
    ["PRIORITY", priority(1)],
  ])("%s after END_STREAM of both sides is ignored", (_, bytes) => {
    const server = answered();
    expect(server.send(bytes)).toEqual([]);
    expect(server.events).toEqual([]);
  });

  it.each([
    ["DATA", data(1, "x")],
    ["HEADERS", headers(1, block(...get))],
  ])("%s after the peer's own RST_STREAM is STREAM_CLOSED", (_, bytes) => {
    const server = openServer();
    server.send(open, reset(1));
    expect(streamErrors(server, server.send(bytes))).toEqual([[1, "STREAM_CLOSED"]]);
    expect(server.events.map(({ event }) => event)).toEqual(["request", "reset"]);
  });

  it.each([
    ["DATA", data(1, "x")],
    ["trailers", headers(1, block(["a", "b"]))],
    ["RST_STREAM", reset(1)],
    ["WINDOW_UPDATE", windowUpdate(1, 1)],
  ])("%s under way when we reset the stream is ignored", (_, bytes) => {
    const server = openServer();
    server.send(open);
    server.connection.reset(server.streams.get(1)!, Http2ErrorCode.CANCEL);
    server.output();
    expect(server.send(bytes)).toEqual([]);
    expect(server.events.slice(1)).toEqual([{ event: "reset", id: 1, code: "CANCEL", byPeer: false }]);
  });

  it("what is under way for a stream we reset is remembered over thousands of other streams", () => {
    const server = openServer({}, { onRequest: (stream) => stream.id > 1 && server.connection.respond(stream, 200, [], true) });
    server.send(open);
    server.connection.reset(server.streams.get(1)!, Http2ErrorCode.CANCEL);
    for (let id = 3; id < 6001; id += 2) server.send(headers(id, block(...get)));
    expect(server.send(data(1, "late"))).toEqual([]);
  });

  it("a stream closed long ago is no more than an error of its own for DATA", () => {
    const server = openServer({}, { onRequest: (stream) => server.connection.respond(stream, 200, [], true) });
    for (let id = 1; id < 4001; id += 2) server.send(headers(id, block(...get)));
    expect(streamErrors(server, server.send(data(1, "late")))).toEqual([[1, "STREAM_CLOSED"]]);
  });
});

describe("stream ids (5.1.1)", () => {
  it.each([0, 2, 4])("HEADERS with id %i is an error of the connection", (id) => {
    const server = openServer();
    expect(connectionError(server, server.send(headers(id, block(...get))))).toBe("PROTOCOL_ERROR");
  });

  it("an id below one already used is an error of the connection", () => {
    const server = openServer();
    server.send(headers(5, block(...get)));
    expect(connectionError(server, server.send(headers(3, block(...get))))).toBe("PROTOCOL_ERROR");
  });

  it("DATA on a skipped id is STREAM_CLOSED", () => {
    const server = openServer();
    server.send(headers(5, block(...get)));
    expect(streamErrors(server, server.send(data(3, "x")))).toEqual([[3, "STREAM_CLOSED"]]);
  });

  it("the client counts odd ids up", () => {
    const client = openClient();
    const ids = [1, 2, 3].map(() => client.connection.request({ method: "GET", scheme: "https", authority: "a", path: "/" }, [], true).id);
    expect(ids).toEqual([1, 3, 5]);
  });
});

describe("concurrency (5.1.2)", () => {
  it("refuses streams over the limit, and takes new ones when one has ended", () => {
    const server = openServer({ concurrentStreams: 2 });
    server.send(headers(1, block(...get)), headers(3, block(...get)));
    expect(streamErrors(server, server.send(headers(5, block(...get))))).toEqual([[5, "REFUSED_STREAM"]]);
    server.connection.respond(server.streams.get(1)!, 200, [], true);
    server.output();
    expect(server.send(headers(7, block(...get)))).toEqual([]);
    expect(server.events.map((event) => [event.event, "id" in event && event.id])).toEqual([
      ["request", 1],
      ["request", 3],
      ["request", 7],
    ]);
  });

  it("keeps the tables in step over a refused request", () => {
    const server = openServer({ concurrentStreams: 1 });
    const indexed = Buffer.concat([block(...get), Buffer.from([0x40, 1, 0x61, 1, 0x62])]);
    server.send(headers(1, block(...get)));
    server.send(headers(3, indexed));
    server.connection.respond(server.streams.get(1)!, 200, [], true);
    server.output();
    server.send(headers(5, Buffer.concat([block(...get), Buffer.from([0x80 | 62])])));
    expect(server.events.at(-1)).toMatchObject({ event: "request", id: 5, fields: ["a: b"] });
  });

  it("holds a client to the server's limit", () => {
    const client = openClient({}, {}, [[3, 1]]);
    const head = { method: "GET", scheme: "https", authority: "a", path: "/" };
    client.connection.request(head, [], true);
    expect(client.connection.canRequest()).toBe(false);
    expect(() => client.connection.request(head, [], true)).toThrow(expect.objectContaining({ code: "REFUSED_STREAM" }));
    client.send(headers(1, block([":status", "204"])));
    expect(client.connection.canRequest()).toBe(true);
    client.send(settings([3, 0]));
    expect(client.connection.canRequest()).toBe(false);
  });
});

describe("priorities (5.3)", () => {
  it("are read over in HEADERS", () => {
    const server = openServer();
    server.send(headers(1, Buffer.concat([uint32(0), Buffer.from([255]), block(...get)]), 0x25));
    expect(server.events).toMatchObject([{ event: "request", id: 1, target: "/" }]);
  });

  it.each([
    ["HEADERS", headers(1, Buffer.concat([uint32(1), Buffer.from([255]), block(...get)]), 0x25)],
    ["PRIORITY", priority(1, 1)],
  ])("%s of a stream that depends on itself is refused", (_, bytes) => {
    const server = openServer();
    expect(connectionError(server, server.send(bytes))).toBe("PROTOCOL_ERROR");
  });
});

describe("errors (5.4)", () => {
  it("end every stream before onFatal, once, and name the last request in GOAWAY", () => {
    const server = openServer();
    server.send(open, headers(3, block(...get)));
    const frames = server.send(ping(0, Buffer.alloc(7)));
    expect(frames.at(-1)!.payload.readUInt32BE(0)).toBe(3);
    expect(server.events.slice(2)).toEqual([
      { event: "reset", id: 1, code: "FRAME_SIZE_ERROR", byPeer: false },
      { event: "reset", id: 3, code: "FRAME_SIZE_ERROR", byPeer: false },
      { event: "fatal", code: "FRAME_SIZE_ERROR" },
    ]);
    expect(connectionError(server, frames)).toBe("FRAME_SIZE_ERROR");
  });

  it("nothing of a chunk behind the error is looked at", () => {
    const server = openServer();
    server.send(ping(0, Buffer.alloc(7)), headers(1, block(...get)));
    expect(server.events).toEqual([{ event: "fatal", code: "FRAME_SIZE_ERROR" }]);
  });

  it("a stream's error leaves its neighbours alone", () => {
    const server = openServer();
    server.send(headers(1, block(...post), FrameFlag.END_HEADERS), headers(3, block(...post), FrameFlag.END_HEADERS));
    server.send(windowUpdate(1, 0), data(3, "on", FrameFlag.END_STREAM));
    expect(server.events.slice(2)).toEqual([
      { event: "reset", id: 1, code: "PROTOCOL_ERROR", byPeer: false },
      { event: "data", id: 3, body: "on", end: true },
    ]);
  });

  it("a handler that throws ends its connection, not the process", () => {
    const server = openServer(
      {},
      {
        onRequest: () => {
          throw new Error("the owner's mistake");
        },
      },
    );
    expect(connectionError(server, server.send(headers(1, block(...get))))).toBe("INTERNAL_ERROR");
  });
});
