/** RFC 9113 sections 5.2 and 6.9: windows of streams and of the connection, both ways. */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createField } from "../../../common/http/field.ts";
import { Http2ErrorCode } from "../../../sidecar/http2/error.ts";
import type { Http2Handler, Http2Limits } from "../../../sidecar/http2/connection.ts";
import { clientPreface, FrameFlag, FrameType } from "../../../sidecar/http2/frames.ts";
import {
  block,
  connectionError,
  data,
  fresh,
  get,
  headers,
  openServer,
  post,
  reset,
  settings,
  settingsAck,
  streamErrors,
  windowUpdate,
  type Conversation,
  type Frame,
} from "./wire.ts";

const openPost = (id: number): Buffer => headers(id, block(...post), FrameFlag.END_HEADERS);
const bodies = (frames: readonly Frame[]): [id: number, length: number, end: boolean][] =>
  frames
    .filter(({ type }) => type === FrameType.DATA)
    .map(({ id, payload, flags }) => [id, payload.length, (flags & FrameFlag.END_STREAM) !== 0]);
const updates = (frames: readonly Frame[]): [id: number, by: number][] =>
  frames.filter(({ type }) => type === FrameType.WINDOW_UPDATE).map(({ id, payload }) => [id, payload.readUInt32BE(0)]);

/** A server with streams 1, 3, … whose responses have begun. */
function responding(streams: number, limits: Partial<Http2Limits> = {}, also: Partial<Http2Handler> = {}): Conversation {
  const server = openServer(limits, also);
  for (let i = 0; i < streams; i++) {
    server.send(headers(2 * i + 1, block(...get)));
    server.connection.respond(server.streams.get(2 * i + 1)!, 200, [], false);
  }
  server.output();
  server.events.length = 0;
  return server;
}

describe("sending", () => {
  it("stops at the connection's window and goes on when both are open", () => {
    const server = responding(1);
    const stream = server.streams.get(1)!;
    expect(server.connection.sendData(stream, Buffer.alloc(100_000), true)).toBe(false);
    expect(bodies(server.output())).toEqual([
      [1, 16_384, false],
      [1, 16_384, false],
      [1, 16_384, false],
      [1, 16_383, false],
    ]);
    expect(bodies(server.send(windowUpdate(1, 50_000)))).toEqual([]);
    expect(bodies(server.send(windowUpdate(0, 10)))).toEqual([[1, 10, false]]);
    expect(server.events).toEqual([]);
    expect(bodies(server.send(windowUpdate(0, 50_000)))).toEqual([
      [1, 16_384, false],
      [1, 16_384, false],
      [1, 1687, true],
    ]);
    expect(server.connection.streamCount()).toBe(0);
  });

  it("tells the owner when what was queued is gone", () => {
    const server = responding(1);
    const stream = server.streams.get(1)!;
    expect(server.connection.sendData(stream, Buffer.alloc(65_535), false)).toBe(true);
    expect(server.connection.sendData(stream, Buffer.from("ab"), false)).toBe(false);
    expect(server.connection.sendData(stream, Buffer.from("cd"), false)).toBe(false);
    server.send(windowUpdate(0, 10), windowUpdate(1, 3));
    expect(server.events).toEqual([]);
    server.send(windowUpdate(1, 1));
    expect(server.events).toEqual([{ event: "writable", id: 1 }]);
  });

  it("copies what it queues: the chunk may be reused", () => {
    const server = responding(1);
    const stream = server.streams.get(1)!;
    server.connection.sendData(stream, Buffer.alloc(65_535), false);
    const chunk = Buffer.from("kept");
    server.connection.sendData(stream, chunk, true);
    chunk.fill("x");
    server.output();
    const frames = server.send(windowUpdate(0, 10), windowUpdate(1, 10));
    expect(frames.map(({ payload }) => payload.toString())).toEqual(["kept"]);
  });

  it("ends a stream whatever the windows", () => {
    const server = responding(1);
    const stream = server.streams.get(1)!;
    server.connection.sendData(stream, Buffer.alloc(65_535), false);
    server.output();
    expect(server.connection.sendData(stream, Buffer.alloc(0), true)).toBe(true);
    expect(bodies(server.output())).toEqual([[1, 0, true]]);
  });

  it("puts trailers behind what is queued", () => {
    const server = responding(1);
    const stream = server.streams.get(1)!;
    server.connection.sendData(stream, Buffer.alloc(65_536), false);
    server.connection.sendTrailers(stream, [createField("grpc-status", "0")]);
    server.output();
    const frames = server.send(windowUpdate(1, 1), windowUpdate(0, 1));
    expect(frames.map(({ type, flags }) => [type, flags])).toEqual([
      [FrameType.DATA, 0],
      [FrameType.HEADERS, FrameFlag.END_HEADERS | FrameFlag.END_STREAM],
    ]);
    // Whoever owes credit for what was queued can give it now.
    expect(server.events).toEqual([{ event: "writable", id: 1 }]);
    expect(server.connection.streamCount()).toBe(0);
  });

  it("obeys a window made smaller, below zero even, and larger again (6.9.2)", () => {
    const server = responding(1);
    const stream = server.streams.get(1)!;
    server.connection.sendData(stream, Buffer.alloc(40_000), false);
    server.send(settings([4, 30_000]));
    expect(server.connection.sendData(stream, Buffer.from("abcdef"), false)).toBe(false);
    expect(bodies(server.send(windowUpdate(1, 10_000)))).toEqual([]);
    expect(bodies(server.send(windowUpdate(1, 2)))).toEqual([[1, 2, false]]);
    expect(bodies(server.send(settings([4, 30_003])))).toEqual([[1, 3, false]]);
    expect(bodies(server.send(settings([4, 30_010])))).toEqual([[1, 1, false]]);
    expect(server.events.filter(({ event }) => event === "writable")).toHaveLength(1);
  });

  it("gives new streams the newest initial window", () => {
    const server = openServer();
    server.send(settings([4, 5]), headers(1, block(...get)));
    server.connection.respond(server.streams.get(1)!, 200, [], false);
    server.connection.sendData(server.streams.get(1)!, Buffer.alloc(9), true);
    expect(bodies(server.output())).toEqual([[1, 5, false]]);
  });

  it("refuses SETTINGS that make a window too large", () => {
    const server = responding(1);
    server.send(windowUpdate(1, 0x7fff_ffff - 65_535));
    expect(connectionError(server, server.send(settings([4, 65_536])))).toBe("FLOW_CONTROL_ERROR");
  });

  it("takes turns among streams that wait", () => {
    const server = responding(3, { outputHighWater: 262_144 });
    server.connection.sendData(server.streams.get(1)!, Buffer.alloc(65_535), false);
    server.send(...[1, 3, 5].map((id) => windowUpdate(id, 100_000)));
    for (const id of [1, 3, 5]) server.connection.sendData(server.streams.get(id)!, Buffer.alloc(40_000), true);
    expect(bodies(server.send(windowUpdate(0, 1_000_000)))).toEqual([
      [1, 16_384, false],
      [3, 16_384, false],
      [5, 16_384, false],
      [1, 16_384, false],
      [3, 16_384, false],
      [5, 16_384, false],
      [1, 7_232, true],
      [3, 7_232, true],
      [5, 7_232, true],
    ]);
  });

  it("one stream without a window does not hold up the others", () => {
    const server = responding(2, { outputHighWater: 262_144 });
    server.send(windowUpdate(0, 1_000_000));
    expect(server.connection.sendData(server.streams.get(1)!, Buffer.alloc(70_000), true)).toBe(false);
    expect(server.connection.sendData(server.streams.get(3)!, Buffer.alloc(60_000), true)).toBe(true);
    expect(bodies(server.output()).at(-1)).toEqual([3, 60_000 - 3 * 16_384, true]);
  });

  it("waits for the output to be taken once there is much of it", () => {
    const server = responding(1, { outputHighWater: 50_000 });
    server.send(windowUpdate(0, 1_000_000), windowUpdate(1, 1_000_000));
    const stream = server.streams.get(1)!;
    expect(server.connection.sendData(stream, Buffer.alloc(60_000), false)).toBe(true);
    expect(server.connection.sendData(stream, Buffer.alloc(60_000), true)).toBe(false);
    const taken = [server.output(), server.output(), server.output()].map((frames) =>
      bodies(frames).reduce((sum, [, length]) => sum + length, 0),
    );
    expect(taken).toEqual([60_000, 60_000, 0]);
    expect(server.connection.streamCount()).toBe(0);
  });

  it("takes nothing behind an end that waits", () => {
    const server = responding(1);
    const stream = server.streams.get(1)!;
    expect(server.connection.sendData(stream, Buffer.alloc(70_000), true)).toBe(false);
    const wrong = expect.objectContaining({ code: "INTERNAL_ERROR" });
    expect(() => server.connection.sendData(stream, Buffer.from("x"), false)).toThrow(wrong);
    expect(() => server.connection.sendTrailers(stream, [])).toThrow(wrong);
  });

  it("forgets what a reset stream had queued", () => {
    const server = responding(1);
    server.connection.sendData(server.streams.get(1)!, Buffer.alloc(100_000), true);
    server.output();
    expect(bodies(server.send(reset(1), windowUpdate(0, 1_000_000)))).toEqual([]);
  });
});

describe("receiving", () => {
  const window = { streamWindow: 100_000, connectionWindow: 150_000 };

  it("gives a stream its window back in halves, as the owner consumes", () => {
    const server = openServer(window);
    server.send(
      openPost(1),
      data(1, Buffer.alloc(16_000)),
      data(1, Buffer.alloc(16_000)),
      data(1, Buffer.alloc(16_000)),
      data(1, Buffer.alloc(16_000)),
    );
    const stream = server.streams.get(1)!;
    server.connection.consumed(stream, 49_999);
    expect(updates(server.output())).toEqual([]);
    server.connection.consumed(stream, 1);
    expect(updates(server.output())).toEqual([[1, 50_000]]);
    server.connection.consumed(stream, 14_000);
    expect(updates(server.output())).toEqual([]);
  });

  it("gives the connection's back in halves, over all streams", () => {
    const server = openServer(window);
    const bytes = Buffer.alloc(16_000);
    server.send(...[1, 3, 5, 7, 9].flatMap((id) => [openPost(id), data(id, bytes, FrameFlag.END_STREAM)]));
    for (const id of [1, 3, 5, 7]) server.connection.consumed(server.streams.get(id)!, 16_000);
    expect(updates(server.output())).toEqual([]);
    server.connection.consumed(server.streams.get(9)!, 16_000);
    expect(updates(server.output())).toEqual([[0, 80_000]]);
  });

  it("never credits more than was held", () => {
    const server = openServer(window);
    server.send(openPost(1), data(1, Buffer.alloc(10)));
    server.connection.consumed(server.streams.get(1)!, 1_000_000);
    server.connection.consumed(server.streams.get(1)!, -5);
    expect(server.output()).toEqual([]);
  });

  it("counts padding against the windows and gives it back at once (6.1)", () => {
    const server = openServer({ streamWindow: 65_535, connectionWindow: 65_535 });
    const frames = [openPost(1)];
    for (let i = 0; i < 200; i++) frames.push(data(1, [255, ...Buffer.alloc(255)], FrameFlag.PADDED));
    const given = updates(server.send(...frames));
    expect(new Set(given.map(([id]) => id))).toEqual(new Set([0, 1]));
    expect(given).toHaveLength(2);
    expect(given.every(([, by]) => by === 128 * 256)).toBe(true);
  });

  it("refuses a stream that overruns its window", () => {
    const server = openServer({ streamWindow: 65_535 });
    server.send(openPost(1), ...[1, 2, 3, 4].map((i) => data(1, Buffer.alloc(i < 4 ? 16_384 : 16_383))));
    expect(streamErrors(server, server.send(data(1, [0])))).toEqual([[1, "FLOW_CONTROL_ERROR"]]);
    expect(server.events.at(-1)).toEqual({ event: "reset", id: 1, code: "FLOW_CONTROL_ERROR", byPeer: false });
  });

  it("refuses a connection that overruns its own", () => {
    const server = openServer({ connectionWindow: 65_535 });
    server.send(openPost(1), openPost(3), ...[1, 2, 3].map(() => data(1, Buffer.alloc(16_384))));
    server.send(data(3, Buffer.alloc(16_383)));
    expect(connectionError(server, server.send(data(3, [0])))).toBe("FLOW_CONTROL_ERROR");
  });

  it("gives back what a stream that is reset still held, and what comes for it later", () => {
    const server = openServer({ streamWindow: 65_535, connectionWindow: 65_535 });
    server.send(openPost(1), data(1, Buffer.alloc(16_000)), data(1, Buffer.alloc(16_000)));
    server.connection.reset(server.streams.get(1)!, Http2ErrorCode.CANCEL);
    expect(updates(server.output())).toEqual([]);
    expect(updates(server.send(data(1, Buffer.alloc(1000))))).toEqual([[0, 33_000]]);
    server.connection.consumed(server.streams.get(1)!, 32_000);
    expect(server.output()).toEqual([]);
  });

  it("gives back what a finished stream held when the owner lets go of it", () => {
    const server = openServer({ streamWindow: 65_535, connectionWindow: 65_535 });
    server.send(
      openPost(1),
      data(1, Buffer.alloc(16_000)),
      data(1, Buffer.alloc(16_000)),
      data(1, Buffer.alloc(1000), FrameFlag.END_STREAM),
    );
    server.connection.respond(server.streams.get(1)!, 200, [], true);
    server.output();
    server.connection.reset(server.streams.get(1)!, Http2ErrorCode.CANCEL);
    expect(server.output().map(({ type }) => type)).toEqual([FrameType.WINDOW_UPDATE]);
    expect(server.events.filter(({ event }) => event === "reset")).toEqual([]);
  });

  it("lets the RFC's first window through until a smaller one is acknowledged", () => {
    const server = fresh("server", { streamWindow: 10_000 });
    server.send(clientPreface, settings(), openPost(1), data(1, Buffer.alloc(16_384)));
    expect(server.connection.isClosed()).toBe(false);
    server.send(settingsAck, openPost(3));
    expect(streamErrors(server, server.send(data(3, Buffer.alloc(10_001))))).toEqual([[3, "FLOW_CONTROL_ERROR"]]);
    // The first stream's window is below zero now.
    expect(streamErrors(server, server.send(data(1, [0])))).toEqual([[1, "FLOW_CONTROL_ERROR"]]);
  });
});

describe("any order of events", () => {
  it("never overruns the peer's windows, and delivers every byte in order", () => {
    const act = fc.oneof(
      fc.record({ act: fc.constant("send" as const), stream: fc.nat(2), size: fc.nat(40_000) }),
      fc.record({ act: fc.constant("update" as const), stream: fc.nat(3), size: fc.integer({ min: 1, max: 60_000 }) }),
      fc.record({ act: fc.constant("settings" as const), stream: fc.constant(0), size: fc.nat(80_000) }),
    );
    fc.assert(
      fc.property(fc.array(act, { maxLength: 60 }), (acts) => {
        const server = responding(3, { outputHighWater: 50_000 });
        const windows = [65_535, 65_535, 65_535, 65_535];
        const sent: Buffer[] = [Buffer.alloc(0), Buffer.alloc(0), Buffer.alloc(0)];
        const received: Buffer[] = [Buffer.alloc(0), Buffer.alloc(0), Buffer.alloc(0)];
        let initial = 65_535;
        let counter = 0;
        const look = (frames: readonly Frame[]): void => {
          for (const { type, id, payload } of frames) {
            if (type !== FrameType.DATA) continue;
            const stream = (id - 1) / 2;
            windows[stream]! -= payload.length;
            windows[3]! -= payload.length;
            expect(windows[stream]).toBeGreaterThanOrEqual(0);
            expect(windows[3]).toBeGreaterThanOrEqual(0);
            received[stream] = Buffer.concat([received[stream]!, payload]);
          }
        };
        for (const { act, stream, size } of acts) {
          if (act === "send") {
            const chunk = Buffer.alloc(size, (counter = (counter + 1) & 255));
            sent[stream] = Buffer.concat([sent[stream]!, chunk]);
            server.connection.sendData(server.streams.get(2 * stream + 1)!, chunk, false);
            look(server.output());
          } else if (act === "update") {
            windows[stream]! += size;
            look(server.send(windowUpdate(stream === 3 ? 0 : 2 * stream + 1, size)));
          } else {
            for (let i = 0; i < 3; i++) windows[i]! += size - initial;
            initial = size;
            look(server.send(settings([4, size])));
          }
        }
        for (let i = 0; i < 3; i++) server.connection.receive(windowUpdate(2 * i + 1, 10_000_000));
        server.connection.receive(windowUpdate(0, 10_000_000));
        for (let i = 0; i < 4; i++) windows[i]! += 10_000_000;
        for (let frames = server.output(); frames.length > 0; frames = server.output()) look(frames);
        expect(received.map((bytes, i) => bytes.equals(sent[i]!))).toEqual([true, true, true]);
      }),
      { numRuns: 100 },
    );
  });
});
