/** What becomes of an answer's bytes, seen from the connection that they came on. */
import { Registry } from "prom-client";
import { describe, expect, test } from "vitest";
import { systemClock } from "../../../common/runtime/clock.ts";
import type { Front } from "../../../sidecar/front/front.ts";
import type { Http2Stream } from "../../../sidecar/http2/stream.ts";
import { createAnswers, type Answers } from "../../../sidecar/outbound/answers.ts";
import { createOutboundCall, type OutboundCall } from "../../../sidecar/outbound/call.ts";
import type { Channel } from "../../../sidecar/outbound/channel.ts";
import type { Endpoint } from "../../../sidecar/outbound/destinations.ts";
import { createTrafficManager } from "../../../sidecar/outbound/traffic/manager.ts";
import { createTrafficMetrics } from "../../../sidecar/outbound/traffic/metrics.ts";
import { credit } from "../../../sidecar/outbound/upload.ts";

const head = { method: "GET", target: "/", authority: "target", scheme: "", fields: [], kinds: 0, contentLength: 0 };

function answersTo(): Answers {
  const unexpected = () => {
    throw new Error("not part of this test");
  };
  return createAnswers({
    traffic: createTrafficManager<Endpoint, OutboundCall>({
      metrics: createTrafficMetrics({ registry: new Registry(), destinations: () => [] }),
      random: Math.random,
      monotonic: () => performance.now(),
      schedule: systemClock.schedule,
      onTimeout: unexpected,
      onIdle: unexpected,
    }),
    records: {
      completed: () => undefined,
      failed: () => undefined,
      cancelled: () => undefined,
      malformed: () => undefined,
      recent: () => [],
    },
    fail(_call, reason) {
      throw new Error(reason);
    },
    again: () => false,
  });
}

/** A call under way, whose application says `room` to each chunk, and the credit that its connection got back. */
function underWay(room: boolean): { call: OutboundCall; stream: Http2Stream; credited: () => number } {
  let credited = 0;
  const application: Front<OutboundCall> = {
    sendInformational: () => undefined,
    sendHead: () => undefined,
    sendData: () => room,
    end: () => undefined,
    abort: () => undefined,
    resume: () => undefined,
  };
  const call = createOutboundCall(application, undefined, head, "http1", "");
  call.bodySent = true;
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
    const answers = answersTo();
    answers.onResponse(stream, { status: 200, fields: [], kinds: 0, contentLength: -1 }, false);
    answers.onData(stream, Buffer.alloc(100), false);
    expect(credited()).toBe(100);
  });

  test("waits for the application, and comes when it has taken them", () => {
    const { call, stream, credited } = underWay(false);
    const answers = answersTo();
    answers.onData(stream, Buffer.alloc(100), false);
    answers.onData(stream, Buffer.alloc(50), false);
    expect(credited()).toBe(0);
    credit(call);
    expect(credited()).toBe(150);
  });

  test.each(["data", "trailers"] as const)("is not lost when the answer ends, by %s, before the application has taken it", (ending) => {
    const { stream, credited } = underWay(false);
    const answers = answersTo();
    answers.onData(stream, Buffer.alloc(100), false);
    if (ending === "data") answers.onData(stream, Buffer.alloc(50), true);
    else answers.onTrailers(stream, []);
    // The application's connection is on to its next call and will not ask for it.
    expect(credited()).toBe(ending === "data" ? 150 : 100);
  });
});
