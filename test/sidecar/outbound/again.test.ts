/** Where a call goes whose only instance is out of reach. */
import { Registry } from "prom-client";
import { beforeEach, expect, test } from "vitest";
import type { Snapshot } from "../../../common/gen/mesh/v1/mesh.ts";
import { createAgain, type Again } from "../../../sidecar/outbound/again.ts";
import { createOutboundCall, type OutboundCall } from "../../../sidecar/outbound/call.ts";
import { destinationsFromSnapshot, noDestinations, type Destinations, type Endpoint } from "../../../sidecar/outbound/destinations.ts";
import { createTrafficManager, type TrafficManager } from "../../../sidecar/outbound/traffic/manager.ts";
import { createTrafficMetrics } from "../../../sidecar/outbound/traffic/metrics.ts";
import { createFakeClock, type FakeClock } from "../../fakes/clock.ts";

const never = () => {
  throw new Error("not part of this test");
};
const front = { sendInformational: never, sendHead: never, sendData: never, end: never, abort: never, resume: never };
const blame = { reason: "peer-unreachable", detail: "no connection" } as const;
const lost = {};

let clock: FakeClock;
let known: Destinations;
let traffic: TrafficManager<Endpoint, OutboundCall>;
let again: Again;
let news: () => void;
let happened: string[];
beforeEach(() => {
  clock = createFakeClock();
  known = snapshotOf("old");
  traffic = createTrafficManager<Endpoint, OutboundCall>({
    metrics: createTrafficMetrics({ registry: new Registry(), destinations: () => [] }),
    random: Math.random,
    monotonic: clock.now,
    schedule: clock.schedule,
    onTimeout: never,
    onIdle: never,
  });
  happened = [];
  ({ again, news } = createAgain({
    destinations: () => known,
    traffic,
    schedule: clock.schedule,
    route: (call, destination, now) => void happened.push(`to ${traffic.route(call, destination, now)?.endpoint.instance}`),
    fail(call, reason) {
      call.done = true;
      happened.push(reason);
    },
  }));
});

/** The mesh with these instances of one service. */
function snapshotOf(...instances: readonly string[]): Destinations {
  const endpoints = instances.map((instance, index) => ({
    instance,
    address: `10.0.0.${index + 1}:15006`,
    spiffeId: "spiffe://x.example/a",
  }));
  const destination = { namespace: "shop", name: "web", ports: [], addresses: [], hostnames: ["web"], spiffeIds: [], endpoints };
  return destinationsFromSnapshot({ destinations: [destination] } as unknown as Snapshot, known ?? noDestinations);
}

/** One that has gone to the first instance there was. */
function underWay(method = "GET"): OutboundCall {
  const head = { method, target: "/", authority: "web", scheme: "", fields: [], kinds: 0, contentLength: 0 };
  const call = createOutboundCall(front, undefined, head, "http1", "");
  call.bodyEnded = true;
  const destination = known.byScope.get("web.shop")!;
  call.destination = destination;
  traffic.route(call, destination, clock.now());
  return call;
}

test("it goes on with the snapshot that names another, whatever its method", () => {
  const call = underWay("POST");
  expect(again(call, "connect", blame, lost)).toBe(true);
  news();
  expect(happened).toEqual([]);
  known = snapshotOf("old", "new");
  news();
  news();
  expect(happened).toEqual(["to new"]);
});

test("it goes on at once where a later snapshot than its own names another", () => {
  const call = underWay();
  known = snapshotOf("new");
  expect(again(call, "connect", blame, lost)).toBe(true);
  expect(happened).toEqual(["to new"]);
});

test("it fails as it would have when no news come", () => {
  const call = underWay();
  expect(again(call, "connect", blame, lost)).toBe(true);
  clock.advance(2000);
  expect(happened).toEqual(["peer-unreachable"]);
  known = snapshotOf("new");
  news();
  expect(happened).toHaveLength(1);
});

test("nobody's call goes nowhere", () => {
  const call = underWay();
  again(call, "connect", blame, lost);
  call.done = true;
  known = snapshotOf("new");
  news();
  expect(happened).toEqual([]);
});

test.each([
  ["where the application is out of reach, and its sidecar is not", "GET", "rejected", undefined],
  ["that may have been carried out", "POST", "lost", lost],
  ["whose time is over", "GET", "timeout", lost],
] as const)("it does not wait %s", (_, method, failure, event) => {
  expect(again(underWay(method), failure, blame, event)).toBe(false);
});
