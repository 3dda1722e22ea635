/** What is known about a destination's traffic survives snapshots, as far as it still applies. */
import { expect, test } from "vitest";
import { createDestinationTraffic } from "../../../../sidecar/outbound/traffic/destination-traffic.ts";
import { defaultTraffic } from "../../../../sidecar/outbound/traffic/settings.ts";

const endpoint = (name: string) => ({ name, inFlight: 0, failingUntil: 0 });

test("an endpoint that stays keeps its state, one that goes is forgotten, counts and budget go on", () => {
  const [stays, goes, comes] = [endpoint("stays"), endpoint("goes"), endpoint("comes")];
  const before = createDestinationTraffic(defaultTraffic, [goes, stays], undefined);
  before.breaker.active = 3;
  before.candidates[1]!.failures = 2;
  const settings = { ...defaultTraffic, maxConcurrentRequests: 5 };
  const after = createDestinationTraffic(settings, [stays, comes], before);
  expect(after.candidates[0]).toBe(before.candidates[1]);
  expect(after.candidates.map((each) => [each.endpoint.name, each.failures])).toEqual([
    ["stays", 2],
    ["comes", 0],
  ]);
  expect(after.breaker).toBe(before.breaker);
  expect(after.budget).toBe(before.budget);
  expect(after.settings).toBe(settings);
});

test("two services of one workload share its endpoint, not what they know about it", () => {
  const shared = endpoint("shared");
  const [one, other] = [
    createDestinationTraffic(defaultTraffic, [shared], undefined),
    createDestinationTraffic(defaultTraffic, [shared], undefined),
  ];
  expect(one.candidates[0]!.endpoint).toBe(other.candidates[0]!.endpoint);
  expect(one.candidates[0]).not.toBe(other.candidates[0]);
});
