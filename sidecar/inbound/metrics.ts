/** What the inbound side counts. Hot path: children of prom-client bound once a label set, and one map look-up to find them. */
import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import type { Exchange } from "./exchange.ts";
import type { Reason } from "../reason.ts";

export interface InboundMetrics {
  completed(exchange: Exchange): void;
  refused(exchange: Exchange, reason: Reason, status: number): void;
  /** A connection that did not become one: `reason` is ours, never the peer's text. */
  connectionRefused(reason: string): void;
  readonly connections: Gauge;
}

interface ServiceChildren {
  readonly byStatus: Map<number, Counter.Internal>;
  readonly duration: Histogram.Internal<string>;
  readonly sidecar: Histogram.Internal<string>;
}

const buckets = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const ownBuckets = [0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05];

export function createInboundMetrics(registry: Registry): InboundMetrics {
  const registers = [registry];
  const requests = new Counter({
    name: "countersign_inbound_requests_total",
    help: "Calls that arrived from the mesh and were answered by the application",
    labelNames: ["service", "status"],
    registers,
  });
  const refusals = new Counter({
    name: "countersign_inbound_refusals_total",
    help: "Calls that this sidecar refused, by reason code",
    labelNames: ["service", "reason", "status"],
    registers,
  });
  const duration = new Histogram({
    name: "countersign_inbound_request_duration_seconds",
    help: "From the head of a call to the end of its answer",
    labelNames: ["service"],
    buckets,
    registers,
  });
  const sidecar = new Histogram({
    name: "countersign_inbound_sidecar_duration_seconds",
    help: "From the head of a call until the application was given it",
    labelNames: ["service"],
    buckets: ownBuckets,
    registers,
  });
  const refusedConnections = new Counter({
    name: "countersign_inbound_connections_refused_total",
    help: "Connections that were closed before a request could be made on them, by reason",
    labelNames: ["reason"],
    registers,
  });
  const connections = new Gauge({
    name: "countersign_inbound_connections",
    help: "Open connections from the mesh",
    registers,
  });

  const services = new Map<string, ServiceChildren>();

  function childrenOf(service: string): ServiceChildren {
    let children = services.get(service);
    if (!children) {
      children = { byStatus: new Map(), duration: duration.labels(service), sidecar: sidecar.labels(service) };
      services.set(service, children);
    }
    return children;
  }

  return {
    connections,
    completed(exchange) {
      const scope = exchange.service?.scope ?? "";
      const children = childrenOf(scope);
      let counter = children.byStatus.get(exchange.status);
      if (!counter) {
        counter = requests.labels(scope, String(exchange.status));
        children.byStatus.set(exchange.status, counter);
      }
      counter.inc();
      children.duration.observe((performance.now() - exchange.startedAt) / 1000);
      children.sidecar.observe((exchange.forwardedAt - exchange.startedAt) / 1000);
    },
    refused(exchange, reason, status) {
      refusals.labels(exchange.service?.scope ?? "", reason, String(status)).inc();
    },
    connectionRefused(reason) {
      refusedConnections.labels(reason).inc();
    },
  };
}
