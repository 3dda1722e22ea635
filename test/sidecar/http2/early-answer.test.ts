/** A server that has answered before its request has ended, and wants no more of it (RFC 9113 section 8.1). */
import { describe, expect, it } from "vitest";
import { createField } from "../../../common/http/field.ts";
import { Http2ErrorCode } from "../../../sidecar/http2/error.ts";
import { FrameFlag, FrameType } from "../../../sidecar/http2/frames.ts";
import {
  block,
  data,
  headers,
  openServer,
  post,
  reset,
  settings,
  streamErrors,
  windowUpdate,
  type Conversation,
  type Frame,
} from "./wire.ts";

const told = (frames: readonly Frame[]): [type: number, end: boolean, size: number][] =>
  frames.map(({ type, flags, payload }) => [type, type === FrameType.DATA && (flags & FrameFlag.END_STREAM) !== 0, payload.length]);
const noErrorFrame = [FrameType.RST_STREAM, false, 4];

/** An answer of 30 bytes of which the peer has room for 10, and a request that goes on; nothing recorded yet. */
function answered(limits: Parameters<typeof openServer>[0] = {}): Conversation {
  const server = openServer(limits);
  server.send(settings([4, 10]), headers(1, block(...post), FrameFlag.END_HEADERS), data(1, "some"));
  const stream = server.streams.get(1)!;
  server.connection.respond(stream, 413, [], false);
  expect(server.connection.sendData(stream, Buffer.alloc(30), true)).toBe(false);
  server.connection.reset(stream, Http2ErrorCode.NO_ERROR);
  server.output();
  server.events.length = 0;
  return server;
}

describe("a reset with NO_ERROR", () => {
  it("follows an answer that has left at once", () => {
    const server = openServer();
    server.send(headers(1, block(...post), FrameFlag.END_HEADERS));
    server.connection.respond(server.streams.get(1)!, 413, [], true);
    server.connection.reset(server.streams.get(1)!, Http2ErrorCode.NO_ERROR);
    expect(streamErrors(server, server.output())).toEqual([[1, "NO_ERROR"]]);
    expect(server.events.at(-1)).toEqual({ event: "reset", id: 1, code: "NO_ERROR", byPeer: false });
  });

  it("waits for an answer that is queued", () => {
    const server = answered();
    expect(server.events).toEqual([]);
    expect(server.connection.streamCount()).toBe(1);
    expect(told(server.send(windowUpdate(1, 5)))).toEqual([[FrameType.DATA, false, 5]]);
    expect(told(server.send(windowUpdate(1, 15)))).toEqual([[FrameType.DATA, true, 15], noErrorFrame]);
    expect(server.events).toEqual([{ event: "reset", id: 1, code: "NO_ERROR", byPeer: false }]);
    expect(server.connection.streamCount()).toBe(0);
  });

  it("waits for trailers behind the answer", () => {
    const server = openServer();
    server.send(settings([4, 0]), headers(1, block(...post), FrameFlag.END_HEADERS));
    const stream = server.streams.get(1)!;
    server.connection.respond(stream, 200, [], false);
    server.connection.sendData(stream, Buffer.alloc(3), false);
    server.connection.sendTrailers(stream, [createField("grpc-status", "8")]);
    server.connection.reset(stream, Http2ErrorCode.NO_ERROR);
    server.output();
    expect(told(server.send(windowUpdate(1, 3))).map(([type]) => type)).toEqual([FrameType.DATA, FrameType.HEADERS, FrameType.RST_STREAM]);
  });

  it("lets go of the rest of the request, and gives the connection its window back", () => {
    const server = answered({ connectionWindow: 65_535, streamWindow: 65_535 });
    const frames = server.send(...Array.from({ length: 3 }, () => data(1, Buffer.alloc(16_000))));
    expect(told(frames)).toEqual([[FrameType.WINDOW_UPDATE, false, 4]]);
    expect(frames[0]).toMatchObject({ id: 0 });
    expect(server.events).toEqual([]);
    // The stream's window stays shut: nobody asks for more.
    expect(streamErrors(server, server.send(data(1, Buffer.alloc(16_000)), data(1, Buffer.alloc(16_000))))).toEqual([
      [1, "FLOW_CONTROL_ERROR"],
    ]);
  });

  it("is not needed when the request ends meanwhile, by DATA or by trailers", () => {
    for (const end of [data(1, "end", FrameFlag.END_STREAM), headers(1, block(["x", "y"]))]) {
      const server = answered();
      expect(server.send(end)).toEqual([]);
      expect(told(server.send(windowUpdate(1, 20)))).toEqual([[FrameType.DATA, true, 20]]);
      expect(server.events).toEqual([{ event: "writable", id: 1 }]);
      expect(server.connection.streamCount()).toBe(0);
    }
  });

  it("still lets the peer reset", () => {
    const server = answered();
    server.send(reset(1));
    expect(server.events).toEqual([{ event: "reset", id: 1, code: "CANCEL", byPeer: true }]);
  });

  it("may come in the midst of a DATA frame", () => {
    const server: Conversation = openServer(
      {},
      {
        onData(stream) {
          server.connection.respond(stream, 413, [], false);
          server.connection.sendData(stream, Buffer.alloc(30), true);
          server.connection.reset(stream, Http2ErrorCode.NO_ERROR);
        },
      },
    );
    const upload = data(1, "a long part of a body", FrameFlag.END_STREAM);
    server.send(settings([4, 10]), headers(1, block(...post), FrameFlag.END_HEADERS), upload.subarray(0, 12));
    server.send(upload.subarray(12));
    expect(server.events.filter(({ event }) => event === "data")).toEqual([{ event: "data", id: 1, body: "a l", end: false }]);
    expect(told(server.send(windowUpdate(1, 20)))).toEqual([[FrameType.DATA, true, 20]]);
    expect(server.connection.streamCount()).toBe(0);
  });

  it("with any other code does not wait", () => {
    const server = openServer();
    server.send(settings([4, 10]), headers(1, block(...post), FrameFlag.END_HEADERS));
    server.connection.respond(server.streams.get(1)!, 200, [], false);
    server.connection.sendData(server.streams.get(1)!, Buffer.alloc(30), true);
    server.connection.reset(server.streams.get(1)!, Http2ErrorCode.INTERNAL_ERROR);
    expect(streamErrors(server, server.output())).toEqual([[1, "INTERNAL_ERROR"]]);
  });
});
