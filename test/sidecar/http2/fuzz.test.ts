/** Any frames in any order, from a peer that may break any rule, against an owner that acts at random: what must hold all the same. */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createField } from "../../../common/http/field.ts";
import { Http2Error, Http2ErrorCode } from "../../../sidecar/http2/error.ts";
import { createHttp2Connection, type Http2Handler, type Http2Stream } from "../../../sidecar/http2/connection.ts";
import { clientPreface, FrameFlag, FrameType } from "../../../sidecar/http2/frames.ts";
import {
  block,
  continuation,
  data,
  frame,
  framesOf,
  get,
  goaway,
  headers,
  ping,
  post,
  record,
  reset,
  settings,
  settingsAck,
  windowUpdate,
  type Event,
  type Frame,
} from "./wire.ts";

const id = fc.constantFrom(0, 1, 2, 3, 5, 7, 9, 11, 13);
const flags = fc.constantFrom(
  0,
  FrameFlag.END_STREAM,
  FrameFlag.END_HEADERS,
  FrameFlag.END_HEADERS | FrameFlag.END_STREAM,
  FrameFlag.PADDED,
  0xff,
);
const payload = fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes));
const messageFields = fc.constantFrom(
  block(...get),
  block(...post),
  block(...post, ["content-length", "5"]),
  block([":status", "200"]),
  block([":status", "103"]),
  block(["x", "y"]),
);

/** Mostly what a peer would send, sometimes anything. */
const sent: fc.Arbitrary<Buffer> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc
      .tuple(id, messageFields, flags)
      .map(([to, fields, bits]) => headers(to, fields, (bits & 5) | (bits === 0 ? 0 : FrameFlag.END_HEADERS))),
  },
  { weight: 5, arbitrary: fc.tuple(id, payload, flags).map(([to, bytes, bits]) => data(to, bytes, bits & 9)) },
  { weight: 1, arbitrary: fc.tuple(id, messageFields, flags).map(([to, fields, bits]) => continuation(to, fields, bits)) },
  { weight: 2, arbitrary: id.map((to) => reset(to)) },
  { weight: 2, arbitrary: fc.tuple(id, fc.nat(100_000)).map(([to, by]) => windowUpdate(to, by)) },
  { weight: 1, arbitrary: fc.constantFrom(0, 10, 65_535, 1_000_000).map((size) => settings([4, size])) },
  { weight: 1, arbitrary: fc.constantFrom(ping(), ping(FrameFlag.ACK), settingsAck, goaway(5)) },
  { weight: 1, arbitrary: fc.tuple(fc.nat(12), fc.nat(255), id, payload).map(([type, bits, to, bytes]) => frame(type, bits, to, bytes)) },
);

const deed = fc.constantFrom(
  "respond",
  "respond-end",
  "inform",
  "data",
  "data-end",
  "much",
  "trailers",
  "reset",
  "consume",
  "request",
  "goaway",
  "throw",
);
type Deed = typeof deed extends fc.Arbitrary<infer T> ? T : never;

const fields = [createField("x-answer", "1")];
const chunk = Buffer.alloc(1000, "c");
const large = Buffer.alloc(90_000, "l");

/** What the frames we sent say about each stream: nothing may follow its reset, and nothing but a reset or a window its end. */
function expectLawful(frames: readonly Frame[]): void {
  const ended = new Set<number>();
  const gone = new Set<number>();
  for (const { type, flags: bits, id: on } of frames) {
    if (on === 0 || type === FrameType.CONTINUATION) continue;
    expect(gone.has(on), `frame ${type} on stream ${on} behind its reset`).toBe(type === FrameType.RST_STREAM && gone.has(on));
    if (type === FrameType.RST_STREAM) gone.add(on);
    else if (type !== FrameType.WINDOW_UPDATE) expect(ended.has(on), `frame ${type} on stream ${on} behind its end`).toBe(false);
    if ((type === FrameType.DATA || type === FrameType.HEADERS) && (bits & FrameFlag.END_STREAM) !== 0) ended.add(on);
  }
}

/** What the handler heard of each stream is a message, or the beginning of one and a reset. */
function expectSensible(events: readonly Event[], role: "client" | "server"): void {
  const stages = new Map<number, "open" | "body" | "ended" | "reset">();
  for (const event of events) {
    if (!("id" in event)) continue;
    const stage = stages.get(event.id) ?? (role === "client" ? "open" : undefined);
    expect(stage, `${event.event} on stream ${event.id}`).not.toBe("reset");
    switch (event.event) {
      case "request":
        expect(stage).toBeUndefined();
        stages.set(event.id, event.end ? "ended" : "body");
        break;
      case "response":
      case "informational":
        expect(stage).toBe("open");
        if (event.event === "response") stages.set(event.id, event.end ? "ended" : "body");
        break;
      case "data":
        expect(stage).toBe("body");
        if (event.end) stages.set(event.id, "ended");
        break;
      case "trailers":
        expect(stage).toBe("body");
        stages.set(event.id, "ended");
        break;
      case "reset":
        expect(stage).toBeDefined();
        stages.set(event.id, "reset");
        break;
      case "writable":
        expect(stage).toBeDefined();
    }
  }
  const fatal = events.findIndex(({ event }) => event === "fatal");
  expect(fatal === -1 || fatal === events.length - 1, "nothing is heard behind the end").toBe(true);
}

function play(role: "client" | "server", frames: readonly Buffer[], deeds: readonly Deed[], cut: number): void {
  let next = 0;
  const known: Http2Stream[] = [];
  /** The owner's next deed, on this stream or another it knows. */
  function act(stream: Http2Stream): void {
    if (!known.includes(stream)) known.push(stream);
    const todo = deeds.length === 0 ? "consume" : deeds[next % deeds.length]!;
    const target = next % 3 === 0 ? known[next % known.length]! : stream;
    next++;
    try {
      perform(todo, target);
    } catch (error) {
      // The codec's own refusals are for the owner; what the owner throws is not.
      if (!(error instanceof Http2Error)) throw error;
    }
  }
  function perform(todo: Deed, stream: Http2Stream): void {
    switch (todo) {
      case "respond":
        return connection.respond(stream, 200, fields, false);
      case "respond-end":
        return connection.respond(stream, 204, fields, true);
      case "inform":
        return connection.respond(stream, 103, fields, false);
      case "data":
        return void connection.sendData(stream, chunk, false);
      case "data-end":
        return void connection.sendData(stream, chunk, true);
      case "much":
        return void connection.sendData(stream, large, false);
      case "trailers":
        return connection.sendTrailers(stream, fields);
      case "reset":
        return connection.reset(stream, Http2ErrorCode.CANCEL);
      case "consume":
        return connection.consumed(stream, 17);
      case "request":
        return void known.push(connection.request({ method: "POST", scheme: "https", authority: "a", path: "/" }, fields, false));
      case "goaway":
        return connection.goaway();
      case "throw":
        throw new Error("the owner's mistake");
    }
  }
  const also: Partial<Http2Handler> = {
    onRequest: act,
    onResponse: act,
    onInformational: act,
    onData: act,
    onTrailers: act,
    onWritable: act,
    onReset: act,
  };
  const { handler, events } = record(also);
  const connection = createHttp2Connection({ role, handler, limits: { outputHighWater: 20_000, streamErrors: 20 }, now: () => 0 });
  const output: Buffer[] = [];
  const drain = (): void => {
    for (let batch = connection.takeOutput(); batch !== undefined; batch = connection.takeOutput()) output.push(batch);
  };
  if (role === "client")
    for (let i = 0; i < 5; i++)
      known.push(connection.request({ method: "POST", scheme: "https", authority: "a", path: "/" }, fields, i % 2 === 0));
  const bytes = Buffer.concat([role === "server" ? clientPreface : Buffer.alloc(0), settings(), ...frames]);
  for (let at = 0; at < bytes.length; at += cut) {
    connection.receive(bytes.subarray(at, at + cut));
    drain();
  }
  const farewellFailed = ((): boolean => {
    try {
      connection.disconnect();
      return false;
    } catch {
      return true;
    }
  })();
  expect(farewellFailed, "only an owner that throws makes disconnect throw").toBe(farewellFailed && deeds.includes("throw"));
  expect(connection.streamCount()).toBe(0);
  expectSensible(events, role);
  const written = framesOf(Buffer.concat(output).subarray(role === "client" ? clientPreface.length : 0));
  expectLawful(written);
  const farewell = written.findIndex(({ type, payload: said }) => type === FrameType.GOAWAY && said.readUInt32BE(4) !== 0);
  expect(farewell === -1 || farewell === written.length - 1, "GOAWAY with an error is the last frame").toBe(true);
}

describe.each(["server", "client"] as const)("a %s", (role) => {
  it("stays sensible to its handler and lawful on the wire", () => {
    fc.assert(
      fc.property(
        fc.array(sent, { maxLength: 40 }),
        fc.array(deed, { maxLength: 12 }),
        fc.constantFrom(1, 7, 100, 100_000),
        (frames, deeds, cut) => {
          play(role, frames, deeds, cut);
          expect(frames.length).toBeLessThanOrEqual(40);
        },
      ),
      { numRuns: 1000 },
    );
  });
});
