/** What a call gets that goes no further than its own sidecar. */
import { Registry } from "prom-client";
import { expect, test } from "vitest";
import { systemClock } from "../../../common/runtime/clock.ts";
import type { Field } from "../../../common/http/field.ts";
import type { Front } from "../../../sidecar/front/front.ts";
import type { OutboundCall } from "../../../sidecar/outbound/call.ts";
import { noDestinations, type Endpoint } from "../../../sidecar/outbound/destinations.ts";
import { createTrafficManager } from "../../../sidecar/outbound/traffic/manager.ts";
import { createTrafficMetrics } from "../../../sidecar/outbound/traffic/metrics.ts";
import { explicitOrigin } from "../../../sidecar/outbound/origin.ts";
import { createTransmitter, type TransmitterOptions } from "../../../sidecar/outbound/transmit.ts";

const never = () => {
  throw new Error("not part of this test");
};
const head = { method: "GET", target: "/", authority: "target", scheme: "", fields: [], kinds: 0, contentLength: 0 };

/** The head of the answer to a call without a body, and the reason that was recorded. */
function answerTo(change: Partial<TransmitterOptions>): { status: number; fields: Record<string, string>; reason: string } {
  let status = 0;
  let answered: readonly Field[] = [];
  let reason = "";
  const front: Front<OutboundCall> = {
    sendInformational: never,
    sendHead(_call, code, fields) {
      status = code;
      answered = fields;
    },
    sendData: () => true,
    end: never,
    abort: never,
    resume: never,
  };
  const transmitter = createTransmitter({
    destinations: () => noDestinations,
    sessions: { current: never, ready: never, revoke: never, list: never },
    channels: { current: never, open: never, renewAll: never, retain: never, destroyAll: never },
    sign: never,
    records: { completed: never, failed: (_call, given) => void (reason = given), cancelled: never, malformed: never, recent: never },
    maxHashedBytes: () => 1024,
    identityValid: () => true,
    shedding: () => false,
    external: { carry: never },
    schedule: systemClock.schedule,
    traffic: createTrafficManager<Endpoint, OutboundCall>({
      metrics: createTrafficMetrics({ registry: new Registry(), destinations: () => [] }),
      random: Math.random,
      monotonic: () => performance.now(),
      schedule: systemClock.schedule,
      onTimeout: never,
      onIdle: never,
    }),
    ...change,
  });
  const sink = transmitter.accept(explicitOrigin);
  const call = sink.begin(front, undefined, head, "http1", "");
  sink.head(call);
  sink.bodyEnd(call, []);
  sink.readEnd(call);
  return { status, fields: Object.fromEntries(answered.map(({ name, value }) => [name, value])), reason };
}

test("in an overloaded process it is told to come again", () => {
  const { status, fields, reason } = answerTo({ shedding: () => true });
  expect([status, reason]).toEqual([503, "overloaded"]);
  expect(fields).toMatchObject({ "x-countersign-reason": "overloaded", "retry-after": "1" });
});

test("without a certificate that is good, it is told so, and not to come again", () => {
  const { status, fields, reason } = answerTo({ identityValid: () => false });
  expect([status, reason]).toEqual([503, "identity-expired"]);
  expect(fields["retry-after"]).toBeUndefined();
});

test("with an expired certificate nothing leaves", () => {
  expect(answerTo({ identityValid: () => false })).toMatchObject({ status: 503, reason: "identity-expired" });
});
