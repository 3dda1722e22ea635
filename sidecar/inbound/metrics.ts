/** What the inbound side counts. Hot path: a service's children are bound once, and an answered call costs additions only. */
import { Counter, Gauge, type Registry } from "prom-client";
import { createHotCounter, createHotHistogram, type HotCounter, type HotHistogram } from "../../common/runtime/hot-metrics.ts";
import { durationBuckets } from "../metric-buckets.ts";
import type { Reason } from "../reason.ts";
import type { Exchange } from "./exchange.ts";

export interface InboundMetrics {
  /** `at` is `performance.now()`. */
  completed(exchange: Exchange, at: number): void;
  refused(exchange: Exchange, reason: Reason, status: number): void;
  cancelled(exchange: Exchange): void;
  /** A connection that did not become one: `reason` is ours, never the peer's text. */
  connectionRefused(reason: string): void;
  readonly connections: Gauge;
}

interface ServiceChildren {
  readonly byStatus: Map<number, HotCounter>;
  readonly duration: HotHistogram;
  readonly sidecar: HotHistogram;
}

const ownBuckets = [0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05];

export function createInboundMetrics(registry: Registry): InboundMetrics {
  const registers = [registry];
  const requests = createHotCounter({
    name: "countersign_inbound_requests_total",
    help: "Calls that arrived from the mesh and were answered by the application",
    registry,
  });
  const refusals = new Counter({
    name: "countersign_inbound_refusals_total",
    help: "Calls that this sidecar refused, by reason code",
    labelNames: ["service", "reason", "status"],
    registers,
  });
  const cancellations = new Counter({
    name: "countersign_inbound_cancelled_total",
    help: "Calls whose caller went away or gave up before the end of the answer",
    labelNames: ["service"],
    registers,
  });
  const duration = createHotHistogram({
    name: "countersign_inbound_request_duration_seconds",
    help: "From the head of a call to the end of its answer",
    buckets: durationBuckets,
    registry,
  });
  const sidecar = createHotHistogram({
    name: "countersign_inbound_sidecar_duration_seconds",
    help: "From the head of a call until the application was given it",
    buckets: ownBuckets,
    registry,
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
      children = { byStatus: new Map(), duration: duration({ service }), sidecar: sidecar({ service }) };
      services.set(service, children);
    }
    return children;
  }

  return {
    connections,
    completed(exchange, at) {
      const service = exchange.service?.scope ?? "";
      const { status } = exchange;
      const children = childrenOf(service);
      let counter = children.byStatus.get(status);
      if (!counter) {
        counter = requests({ service, status: String(status) });
        children.byStatus.set(status, counter);
      }
      counter.inc();
      children.duration.observe((at - exchange.startedAt) / 1000);
      children.sidecar.observe((exchange.forwardedAt - exchange.startedAt) / 1000);
    },
    refused(exchange, reason, status) {
      refusals.labels(exchange.service?.scope ?? "", reason, String(status)).inc();
    },
    cancelled(exchange) {
      cancellations.labels(exchange.service?.scope ?? "").inc();
    },
    connectionRefused(reason) {
      refusedConnections.labels(reason).inc();
    },
  };
}
