/** What becomes of an answer's bytes, seen from the connection that they came on. */
import { describe, expect, test } from "vitest";
import { createOutboundCall, type Application, type OutboundCall } from "../../../sidecar/outbound/call.ts";
import type { Channel } from "../../../sidecar/outbound/channel.ts";
import { noDestinations } from "../../../sidecar/outbound/destinations.ts";
import { createTransmitter, type Transmitter } from "../../../sidecar/outbound/transmit.ts";
import type { Http2Stream } from "../../../sidecar/http2/stream.ts";

const head = { method: "GET", target: "/", authority: "target", scheme: "", fields: [], kinds: 0, contentLength: 0 };
const never = () => {
  throw new Error("not part of this test");
};

function transmitter(): Transmitter {
  return createTransmitter({
    destinations: () => noDestinations,
    sessions: { current: never, ready: never, revoke: never, list: () => [] },
    channels: { current: never, open: never, renewAll: never, retain: never, destroyAll: never },
    sign: never,
    records: { completed: () => undefined, failed: () => undefined, recent: () => [] },
    identityValid: () => true,
    now: Date.now,
    random: Math.random,
  });
}

/** A call under way, whose application says `room` to each chunk, and the credit that its connection got back. */
function underWay(room: boolean): { call: OutboundCall; stream: Http2Stream; credited: () => number } {
  let credited = 0;
  const application: Application = {
    sendHead: () => undefined,
    sendData: () => room,
    end: () => undefined,
    abort: () => undefined,
  };
  const call = createOutboundCall(application, head, Buffer.alloc(0));
  const stream = { data: call } as unknown as Http2Stream;
  const http2 = {
    consumed(_stream: Http2Stream, bytes: number) {
      credited += bytes;
    },
  };
  call.channel = { http2 } as unknown as Channel;
  call.stream = stream;
  return { call, stream, credited: () => credited };
}

describe("credit for an answer's bytes", () => {
  test("is given at once while the application takes them", () => {
    const { stream, credited } = underWay(true);
    const { answers } = transmitter();
    answers.onResponse(stream, { status: 200, fields: [], kinds: 0, contentLength: -1 }, false);
    answers.onData(stream, Buffer.alloc(100), false);
    expect(credited()).toBe(100);
  });

  test("waits for the application, and comes when it has taken them", () => {
    const { call, stream, credited } = underWay(false);
    const transmit = transmitter();
    transmit.answers.onData(stream, Buffer.alloc(100), false);
    transmit.answers.onData(stream, Buffer.alloc(50), false);
    expect(credited()).toBe(0);
    transmit.drained(call);
    expect(credited()).toBe(150);
  });

  test.each(["data", "trailers"] as const)("is not lost when the answer ends, by %s, before the application has taken it", (ending) => {
    const { stream, credited } = underWay(false);
    const { answers } = transmitter();
    answers.onData(stream, Buffer.alloc(100), false);
    if (ending === "data") answers.onData(stream, Buffer.alloc(50), true);
    else answers.onTrailers(stream, []);
    // The application's connection is on to its next call and will not ask for it.
    expect(credited()).toBe(ending === "data" ? 150 : 100);
  });
});
