/** What the control plane counts. One registry a process. */
import { Counter, Gauge, Registry, collectDefaultMetrics } from "prom-client";

export interface Metrics {
  readonly registry: Registry;
  readonly issuances: Counter<"method">;
  readonly sessions: Counter<"role_kind">;
  readonly resolutions: Counter;
  readonly refusals: Counter<"method" | "reason">;
  readonly handshakesRefused: Counter<"reason">;
  readonly connectedSidecars: Gauge;
  readonly snapshotPushes: Counter;
  readonly revision: Gauge;
  readonly kubernetesSynced: Gauge<"resource">;
  readonly kubernetesErrors: Counter<"resource" | "reason">;
}

export function createMetrics(): Metrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  return {
    registry,
    issuances: new Counter({
      name: "countersign_svids_issued_total",
      help: "Certificates issued, by how the caller proved itself.",
      labelNames: ["method"],
      registers,
    }),
    sessions: new Counter({
      name: "countersign_sessions_issued_total",
      help: "Role sessions issued, by kind of role.",
      labelNames: ["role_kind"],
      registers,
    }),
    resolutions: new Counter({ name: "countersign_sessions_resolved_total", help: "Scoped keys handed to receivers.", registers }),
    refusals: new Counter({
      name: "countersign_refusals_total",
      help: "Calls that were refused or failed, by method and reason.",
      labelNames: ["method", "reason"],
      registers,
    }),
    handshakesRefused: new Counter({
      name: "countersign_handshakes_refused_total",
      help: "Connections to the mesh port that were closed before a call, by reason.",
      labelNames: ["reason"],
      registers,
    }),
    connectedSidecars: new Gauge({ name: "countersign_connected_sidecars", help: "Open Watch streams.", registers }),
    snapshotPushes: new Counter({ name: "countersign_snapshots_sent_total", help: "Snapshots sent to sidecars.", registers }),
    revision: new Gauge({ name: "countersign_store_revision", help: "Revision of the store that decisions are made by.", registers }),
    kubernetesSynced: new Gauge({
      name: "countersign_kubernetes_synced",
      help: "Whether the cluster's objects of a kind have been read.",
      labelNames: ["resource"],
      registers,
    }),
    kubernetesErrors: new Counter({
      name: "countersign_kubernetes_errors_total",
      help: "Failures to read the cluster or to write to it, by kind of object and reason.",
      labelNames: ["resource", "reason"],
      registers,
    }),
  };
}
