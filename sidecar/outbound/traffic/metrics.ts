/**
 * What traffic management shows, by destination. Counters count events, which are rare; gauges are read when Prometheus asks.
 * The names follow Envoy's: ejections_active and ejections_overflow, rq_retry and rq_retry_overflow, rq_timeout, rq_active,
 * rq_pending_active, circuit_breakers.rq_open. Calls that a breaker refused are counted by their reason code, like all others.
 */
import { Counter, Gauge, type Registry } from "prom-client";
import type { DestinationTraffic } from "./destination-traffic.ts";
import { pendingOpen, requestsOpen } from "./limits.ts";
import { countEjected } from "./outlier.ts";
import type { TryFailure } from "./retry.ts";

export interface TrafficMetrics {
  ejected(destination: string): void;
  ejectionSpared(destination: string): void;
  failedTry(destination: string, failure: TryFailure): void;
  retried(destination: string): void;
  retryOverBudget(destination: string): void;
}

/** A destination of the snapshot in force, by the name that is its label. */
export interface ObservedDestination {
  readonly scope: string;
  readonly traffic: DestinationTraffic;
}

export interface TrafficMetricsOptions {
  readonly registry: Registry;
  /** May name one more than once. */
  readonly destinations: () => Iterable<ObservedDestination>;
}

export function createTrafficMetrics({ registry, destinations }: TrafficMetricsOptions): TrafficMetrics {
  const registers = [registry];
  const counter = <L extends string>(name: string, help: string, labelNames: L[]) => new Counter({ name, help, labelNames, registers });
  const ejections = counter("countersign_outbound_ejections_total", "Endpoints ejected because they failed in a row", ["destination"]);
  const spared = counter(
    "countersign_outbound_ejections_overflow_total",
    "Endpoints that were not ejected because too many of their destination are out already",
    ["destination"],
  );
  const failedTries = counter("countersign_outbound_failed_tries_total", "Tries of calls that failed, by how they did", [
    "destination",
    "failure",
  ]);
  const retries = counter("countersign_outbound_retries_total", "Calls that were tried again", ["destination"]);
  const overBudget = counter(
    "countersign_outbound_retries_overflow_total",
    "Calls that were not tried again because the retry budget was spent",
    ["destination"],
  );

  function gauge<L extends string>(
    name: string,
    help: string,
    labelNames: L[],
    read: (gauge: Gauge<L>, each: ObservedDestination) => void,
  ) {
    return new Gauge({
      name,
      help,
      labelNames,
      registers,
      collect() {
        // Destinations that are gone must not stay at their last value.
        this.reset();
        for (const each of destinations()) read(this, each);
      },
    });
  }
  gauge("countersign_outbound_ejections_active", "Endpoints that are ejected", ["destination"], (own, { scope, traffic }) =>
    own.labels(scope).set(countEjected(traffic.candidates)),
  );
  gauge("countersign_outbound_requests_active", "Calls under way", ["destination"], (own, { scope, traffic }) =>
    own.labels(scope).set(traffic.breaker.active),
  );
  gauge(
    "countersign_outbound_requests_pending",
    "Calls that wait for a connection or a session",
    ["destination"],
    (own, { scope, traffic }) => own.labels(scope).set(traffic.breaker.pending),
  );
  gauge("countersign_outbound_circuit_open", "Whether calls are refused because of a limit", ["destination", "limit"], (own, each) => {
    const { breaker, settings } = each.traffic;
    own.labels(each.scope, "requests").set(requestsOpen(breaker, settings) ? 1 : 0);
    own.labels(each.scope, "pending").set(pendingOpen(breaker, settings) ? 1 : 0);
  });

  return {
    ejected: (destination) => ejections.labels(destination).inc(),
    ejectionSpared: (destination) => spared.labels(destination).inc(),
    failedTry: (destination, failure) => failedTries.labels(destination, failure).inc(),
    retried: (destination) => retries.labels(destination).inc(),
    retryOverBudget: (destination) => overBudget.labels(destination).inc(),
  };
}
