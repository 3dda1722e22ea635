/** What the outbound side counts and remembers: metrics, and a ring of recent calls for whoever asks what happened. */
import { performance } from "node:perf_hooks";
import { Counter, type Registry } from "prom-client";
import { createHotCounter, createHotHistogram, type HotCounter, type HotHistogram } from "../../common/runtime/hot-metrics.ts";
import type { Logger } from "../../common/runtime/logger.ts";
import type { Reason } from "../reason.ts";
import { durationBuckets } from "../metric-buckets.ts";
import type { OutboundCall } from "./call.ts";

export interface CallRecord {
  /** Epoch milliseconds. */
  readonly at: number;
  readonly destination: string;
  readonly method: string;
  readonly path: string;
  readonly endpoint: string;
  readonly session: string;
  /** Joins this record with the receiver's decision. */
  readonly sequence: string;
  readonly status: number;
  /** Empty for an answer that came from the other side, `cancelled` where nobody waited for it. */
  readonly reason: string;
  readonly totalMicros: number;
}

export interface OutboundRecords {
  completed(call: OutboundCall): void;
  failed(call: OutboundCall, reason: Reason, detail: string): void;
  /** The application went away, or gave up, before it had its answer. */
  cancelled(call: OutboundCall): void;
  /** The application sent what is no request. */
  malformed(error: Error): void;
  /** Newest last. */
  recent(): CallRecord[];
}

export interface OutboundRecordsOptions {
  readonly registry: Registry;
  readonly capacity: number;
  /** Share of the answered calls to remember. */
  readonly sample: () => number;
  readonly now: () => number;
  readonly random: () => number;
  readonly log: Logger;
}

interface DestinationChildren {
  readonly byStatus: Map<number, HotCounter>;
  readonly duration: HotHistogram;
}

export function createOutboundRecords(options: OutboundRecordsOptions): OutboundRecords {
  const { registry } = options;
  const requests = createHotCounter({
    name: "countersign_outbound_requests_total",
    help: "Calls of the application that were answered, by another sidecar or outside of the mesh",
    registry,
  });
  const failures = new Counter({
    name: "countersign_outbound_failures_total",
    help: "Calls of the application that this sidecar could not carry out, by reason code",
    labelNames: ["destination", "reason"],
    registers: [registry],
  });
  const cancellations = new Counter({
    name: "countersign_outbound_cancelled_total",
    help: "Calls of which the application did not wait for the end of the answer",
    labelNames: ["destination"],
    registers: [registry],
  });
  const duration = createHotHistogram({
    name: "countersign_outbound_request_duration_seconds",
    help: "From the head of a call to the end of its answer",
    buckets: durationBuckets,
    registry,
  });
  const children = new Map<string, DestinationChildren>();
  const ring: CallRecord[] = [];
  let next = 0;

  function remember(call: OutboundCall, reason: string): void {
    ring[next] = {
      at: options.now(),
      destination: call.destination?.scope ?? call.head.authority,
      method: call.head.method,
      path: call.path || call.head.target,
      endpoint: call.endpoint?.instance ?? "",
      session: call.sessionArn,
      sequence: call.sequence,
      status: call.status,
      reason,
      totalMicros: Math.round((performance.now() - call.startedAt) * 1000),
    };
    next = (next + 1) % options.capacity;
  }

  return {
    completed(call) {
      const scope = scopeOf(call);
      let own = children.get(scope);
      if (!own) {
        own = { byStatus: new Map(), duration: duration({ destination: scope }) };
        children.set(scope, own);
      }
      let counter = own.byStatus.get(call.status);
      if (!counter) {
        counter = requests({ destination: scope, status: String(call.status) });
        own.byStatus.set(call.status, counter);
      }
      counter.inc();
      own.duration.observe((performance.now() - call.startedAt) / 1000);
      if (options.random() < options.sample()) remember(call, "");
    },
    failed(call, reason, detail) {
      // Only names of the mesh become labels: what an application makes up must not grow the metrics.
      failures.labels(scopeOf(call), reason).inc();
      remember(call, reason);
      const destination = call.destination?.scope ?? call.head.authority;
      // There are many of the former when there is no time for lines.
      const level = reason === "overloaded" || reason === "circuit-open" ? "debug" : "info";
      options.log[level]({ destination, method: call.head.method, reason, detail }, "call not carried out");
    },
    cancelled(call) {
      cancellations.labels(scopeOf(call)).inc();
      if (options.random() < options.sample()) remember(call, "cancelled");
    },
    malformed(error) {
      failures.labels("", "malformed").inc();
      options.log.info({ reason: "malformed", detail: error.message }, "the application sent what is no request");
    },
    recent: () => [...ring.slice(next), ...ring.slice(0, next)],
  };
}

/** No service can be called so. */
const outside = "external";

function scopeOf({ destination, departure }: OutboundCall): string {
  return destination?.scope ?? (departure ? outside : "");
}
