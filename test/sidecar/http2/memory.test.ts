/** Threats rows 19 and 20: whatever a peer does for however long, below every limit, a connection's memory stays where it was. */
import { setImmediate as nextTurn } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, it } from "vitest";
import { createHttp2Connection, type Http2Connection, type Http2Handler, type Http2Stream } from "../../../sidecar/http2/connection.ts";
import { Http2ErrorCode } from "../../../sidecar/http2/error.ts";
import { clientPreface, FrameFlag, FrameType } from "../../../sidecar/http2/frames.ts";
import { block, continuation, data, frame, get, headers, ping, post, reset, settings, settingsAck, windowUpdate } from "./wire.ts";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

/** Bytes in use. Buffers are freed by another thread a while after the collection: the least of some looks counts. */
async function memory(): Promise<number> {
  let least = Infinity;
  for (let look = 0; look < 10; look++) {
    collect();
    await nextTurn();
    const { heapUsed, external } = process.memoryUsage();
    least = Math.min(least, heapUsed + external);
  }
  return least;
}

const nothing = (): void => {};

/** A server that records nothing, and a clock that is moved so fast that no limit a time is ever reached. */
function serve(onRequest: (stream: Http2Stream, connection: Http2Connection) => void): Http2Connection {
  let time = 0;
  const handler: Http2Handler = {
    onRequest: (stream) => onRequest(stream, connection),
    onData: (stream, chunk) => connection.consumed(stream, chunk.length),
    onResponse: nothing,
    onInformational: nothing,
    onTrailers: nothing,
    onReset: nothing,
    onWritable: nothing,
    onGoaway: nothing,
    onSettings: nothing,
    onPong: nothing,
    onOutput: nothing,
    onFatal: nothing,
  };
  const connection = createHttp2Connection({ role: "server", handler, limits: { headerListSize: 16_384 }, now: () => (time += 20_000) });
  connection.receive(Buffer.concat([clientPreface, settings(), settingsAck]));
  return connection;
}

const ROUNDS = 20_000;
/** The least object kept of every round would come to more. */
const FLAT = (ROUNDS / 4) * 3 * 40;

const answer = (stream: Http2Stream, connection: Http2Connection): void => connection.respond(stream, 200, [], true);
const wait = nothing;
const open = (id: number): Buffer => headers(id, block(...post), FrameFlag.END_HEADERS);
const large = block(...get, ["x-large", "v".repeat(16_300)]);

/** Bytes of round `i`, whose own stream is `id`. */
const peers: readonly [what: string, round: (id: number, i: number) => Buffer, onRequest: typeof answer][] = [
  ["asks", (id) => headers(id, block(...get, ["x-id", String(id)])), answer],
  ["asks with names of its own", (id) => headers(id, block(...get, [`x-${id}`, "v"])), answer],
  [
    "fills and empties its table",
    (id) =>
      headers(
        id,
        Buffer.concat([
          block(...get),
          Buffer.from([0x40, 4, ...Buffer.from(String(id).padStart(4).slice(-4).replaceAll(" ", "x")), 1, 0x62]),
        ]),
      ),
    answer,
  ],
  ["resets what it asks", (id) => Buffer.concat([headers(id, block(...get)), reset(id)]), wait],
  ["asks and is reset", (id) => open(id), (stream, connection) => connection.reset(stream, Http2ErrorCode.CANCEL)],
  ["makes us reset", (id) => Buffer.concat([open(id), windowUpdate(id, 0)]), wait],
  ["asks what is malformed", (id) => headers(id, block([":method", "GET"])), wait],
  [
    "sends heads too large",
    (id) => Buffer.concat([headers(id, large.subarray(0, 16_384), FrameFlag.END_STREAM), continuation(id, large.subarray(16_384))]),
    wait,
  ],
  [
    "sends heads in many parts",
    (id) =>
      Buffer.concat([
        headers(id, block(...get), FrameFlag.END_STREAM),
        ...Array.from({ length: 20 }, () => continuation(id, block(["a", "b"]), 0)),
        continuation(id, []),
      ]),
    answer,
  ],
  ["uploads", (id) => Buffer.concat([open(id), data(id, Buffer.alloc(5000)), data(id, "", FrameFlag.END_STREAM)]), answer],
  [
    "uploads to what we have reset",
    (id) => Buffer.concat([open(id), data(id, Buffer.alloc(5000))]),
    (stream, connection) => connection.reset(stream, Http2ErrorCode.CANCEL),
  ],
  ["pings", () => ping(), wait],
  ["changes its settings", (_, i) => settings([1, (i % 9) * 500], [4, 65_535 + (i % 7)]), wait],
  ["sends empty DATA", (id, i) => (i === 0 ? open(id) : data(1, "")), wait],
  ["sends padding", (id, i) => (i === 0 ? open(id) : data(1, [3, 0, 0, 0], FrameFlag.PADDED)), wait],
  ["updates windows", () => windowUpdate(0, 1), wait],
  ["sets priorities", (id) => frame(FrameType.PRIORITY, 0, id, [0, 0, 0, 0, 1]), wait],
  ["sends what nobody knows", (id) => frame(0xee, 0, id, Buffer.alloc(100)), wait],
];

describe("memory is flat under a peer that", () => {
  it.each(peers)("%s", async (_, round, onRequest) => {
    const connection = serve(onRequest);
    const play = (from: number, to: number): void => {
      for (let i = from; i < to; i++) {
        connection.receive(round(2 * i + 1, i));
        connection.takeOutput();
      }
    };
    play(0, ROUNDS / 4);
    const before = await memory();
    play(ROUNDS / 4, ROUNDS);
    expect((await memory()) - before).toBeLessThan(FLAT);
    expect(connection.isClosed()).toBe(false);
    expect(connection.streamCount()).toBeLessThanOrEqual(1);
  });

  it("opens a million streams", async () => {
    const connection = serve(answer);
    const request = headers(1, block(...get));
    const play = (from: number, to: number): void => {
      for (let i = from; i < to; i++) {
        request.writeUInt32BE(2 * i + 1, 5);
        connection.receive(request);
        connection.takeOutput();
      }
    };
    play(0, 100_000);
    const before = await memory();
    play(100_000, 1_000_000);
    expect((await memory()) - before).toBeLessThan(FLAT);
    expect(connection.streamCount()).toBe(0);
    expect(connection.isClosed()).toBe(false);
  });
});
