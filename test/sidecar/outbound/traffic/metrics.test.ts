/** What Prometheus reads of traffic management. */
import { Registry } from "prom-client";
import { expect, test } from "vitest";
import { createDestinationTraffic } from "../../../../sidecar/outbound/traffic/destination-traffic.ts";
import { createTrafficMetrics, type ObservedDestination } from "../../../../sidecar/outbound/traffic/metrics.ts";
import { defaultTraffic } from "../../../../sidecar/outbound/traffic/settings.ts";

const endpoint = () => ({ inFlight: 0, failingUntil: 0 });
const lines = async (registry: Registry) => (await registry.metrics()).split("\n").filter((line) => line !== "" && !line.startsWith("#"));

test("events are counted by destination", async () => {
  const registry = new Registry();
  const metrics = createTrafficMetrics({ registry, destinations: () => [] });
  metrics.ejected("target.shop");
  metrics.ejected("target.shop");
  metrics.ejectionSpared("target.shop");
  metrics.failedTry("target.shop", "lost");
  metrics.retried("other.shop");
  metrics.retryOverBudget("other.shop");
  expect(await lines(registry)).toEqual([
    'countersign_outbound_ejections_total{destination="target.shop"} 2',
    'countersign_outbound_ejections_overflow_total{destination="target.shop"} 1',
    'countersign_outbound_failed_tries_total{destination="target.shop",failure="lost"} 1',
    'countersign_outbound_retries_total{destination="other.shop"} 1',
    'countersign_outbound_retries_overflow_total{destination="other.shop"} 1',
  ]);
});

test("gauges show destinations as they are, and none that is gone", async () => {
  const registry = new Registry();
  const settings = { ...defaultTraffic, maxConcurrentRequests: 2, maxPendingRequests: 2 };
  const traffic = createDestinationTraffic(settings, [endpoint(), endpoint()], undefined);
  let destinations: ObservedDestination[] = [
    { scope: "target.shop", traffic },
    { scope: "target.shop", traffic },
  ];
  createTrafficMetrics({ registry, destinations: () => destinations });
  traffic.breaker.active = 2;
  traffic.breaker.pending = 1;
  traffic.candidates[0]!.state = "out";
  expect(await lines(registry)).toEqual([
    'countersign_outbound_ejections_active{destination="target.shop"} 1',
    'countersign_outbound_requests_active{destination="target.shop"} 2',
    'countersign_outbound_requests_pending{destination="target.shop"} 1',
    'countersign_outbound_circuit_open{destination="target.shop",limit="requests"} 1',
    'countersign_outbound_circuit_open{destination="target.shop",limit="pending"} 0',
  ]);
  destinations = [];
  expect(await lines(registry)).toEqual([]);
});
