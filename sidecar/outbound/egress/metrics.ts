/** What is counted of calls out of the mesh. Hosts are counted by how they are listed: what an application makes up is `other`. */
import { Counter, type Registry } from "prom-client";
import type { EgressDecision } from "./decision.ts";
import { otherHosts } from "./decision.ts";
import type { ResolverOptions } from "./resolver.ts";

export interface EgressMetrics {
  decided(decision: EgressDecision): void;
  readonly lookedUp: NonNullable<ResolverOptions["onLookup"]>;
}

/** Over the life of a process; listings that come and go must not fill the registry. */
const maxHosts = 1000;

export function createEgressMetrics(registry: Registry): EgressMetrics {
  const decisions = new Counter({
    name: "countersign_egress_decisions_total",
    help: "Calls to hosts outside the mesh, by listed host and by what became of them: allowed, or a reason code",
    labelNames: ["host", "outcome"],
    registers: [registry],
  });
  const wouldDeny = new Counter({
    name: "countersign_egress_would_deny_total",
    help: "Calls out of the mesh that policies in audit mode would have refused",
    labelNames: ["host", "reason"],
    registers: [registry],
  });
  const lookups = new Counter({
    name: "countersign_egress_lookups_total",
    help: "Look-ups of hosts outside the mesh, by how they went",
    labelNames: ["outcome"],
    registers: [registry],
  });
  const hosts = new Set<string>([otherHosts]);

  function hostLabel(label: string): string {
    if (!hosts.has(label) && hosts.size > maxHosts) return otherHosts;
    hosts.add(label);
    return label;
  }

  return {
    decided(decision) {
      const host = hostLabel(decision.label);
      decisions.inc({ host, outcome: decision.allow ? "allowed" : decision.reason });
      if (decision.allow && decision.wouldDeny !== undefined) wouldDeny.inc({ host, reason: decision.wouldDeny });
    },
    lookedUp: (outcome) => lookups.inc({ outcome }),
  };
}
