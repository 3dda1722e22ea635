/**
 * Which connections of a network namespace go through the sidecar, as an ordered list of rules that both backends render. The
 * first rule that a connection meets decides.
 *
 * What leaves the namespace: the proxy's own is left alone without exception, so that nothing can go in circles; loopback is;
 * an address of one's own that is not loopback is not, so that a workload that calls itself by its service's name is in the mesh
 * too. What comes in: only what is addressed to this namespace (one that routes for others has theirs pass), and what arrives by
 * loopback has been decided upon when it left.
 */
import { createHash } from "node:crypto";

export interface PortRange {
  readonly first: number;
  readonly last: number;
}

export interface Cidr {
  readonly family: "ip" | "ip6";
  /** `10.0.0.0/8` */
  readonly text: string;
}

export interface InterceptPlan {
  /** Concerns what comes in; what goes out is redirected in either. */
  readonly mode: "redirect" | "tproxy";
  readonly proxyUids: readonly number[];
  readonly proxyGids: readonly number[];
  readonly outboundPort: number;
  readonly inboundPort: number;
  /** The sidecar's own, where it answers operators and their tools in person. */
  readonly adminPorts: readonly PortRange[];
  readonly skipOutboundPorts: readonly PortRange[];
  readonly skipInboundPorts: readonly PortRange[];
  readonly skipOutboundCidrs: readonly Cidr[];
  /** Empty for every destination. */
  readonly includeOutboundCidrs: readonly Cidr[];
}

export type Condition =
  | { readonly kind: "uid"; readonly id: number }
  | { readonly kind: "gid"; readonly id: number }
  | { readonly kind: "to"; readonly cidr: Cidr }
  | { readonly kind: "ports"; readonly ports: readonly PortRange[] }
  /** Whether the destination is an address of this namespace. */
  | { readonly kind: "local"; readonly is: boolean }
  | { readonly kind: "from-loopback" }
  /** The first segment of a connection. */
  | { readonly kind: "opening" };

export type Verdict =
  | { readonly kind: "leave" }
  /** The destination becomes that port here; connection tracking remembers what it was. */
  | { readonly kind: "redirect"; readonly port: number }
  /** That port's transparent socket takes the connection as it is. */
  | { readonly kind: "hand-over"; readonly port: number };

export type Hook = "output" | "prerouting";

export interface Rule {
  readonly hook: Hook;
  /** All of them; TCP is understood. */
  readonly when: readonly Condition[];
  readonly verdict: Verdict;
}

export interface Rules {
  /** Of what the rules say, 12 hexadecimal digits: the same options give the same. */
  readonly id: string;
  readonly mode: InterceptPlan["mode"];
  readonly rules: readonly Rule[];
}

const leave = { kind: "leave" } as const;
const loopback: readonly Cidr[] = [
  { family: "ip", text: "127.0.0.0/8" },
  { family: "ip6", text: "::1/128" },
];

export function rulesOf(plan: InterceptPlan): Rules {
  const rules = [...outbound(plan), ...inbound(plan)];
  const id = createHash("sha256").update(JSON.stringify(rules)).digest("hex").slice(0, 12);
  return { id, mode: plan.mode, rules };
}

function outbound(plan: InterceptPlan): Rule[] {
  const rules: Rule[] = [];
  const add = (verdict: Verdict, ...when: Condition[]) => rules.push({ hook: "output", when, verdict });
  for (const id of plan.proxyUids) add(leave, { kind: "uid", id });
  for (const id of plan.proxyGids) add(leave, { kind: "gid", id });
  for (const cidr of loopback) add(leave, { kind: "to", cidr });
  // Of this namespace only: elsewhere these ports are ports like any other, and no way around the mesh.
  if (plan.adminPorts.length > 0) add(leave, { kind: "local", is: true }, { kind: "ports", ports: plan.adminPorts });
  if (plan.skipOutboundPorts.length > 0) add(leave, { kind: "ports", ports: plan.skipOutboundPorts });
  for (const cidr of plan.skipOutboundCidrs) add(leave, { kind: "to", cidr });
  const redirect: Verdict = { kind: "redirect", port: plan.outboundPort };
  if (plan.includeOutboundCidrs.length === 0) add(redirect);
  else for (const cidr of plan.includeOutboundCidrs) add(redirect, { kind: "to", cidr });
  return rules;
}

function inbound(plan: InterceptPlan): Rule[] {
  const rules: Rule[] = [];
  const add = (verdict: Verdict, ...when: Condition[]) => rules.push({ hook: "prerouting", when, verdict });
  add(leave, { kind: "from-loopback" });
  add(leave, { kind: "local", is: false });
  // Peers' sidecars call the inbound port itself.
  const own = { first: plan.inboundPort, last: plan.inboundPort };
  add(leave, { kind: "ports", ports: mergePorts([...plan.adminPorts, ...plan.skipInboundPorts, own]) });
  if (plan.mode === "redirect") add({ kind: "redirect", port: plan.inboundPort });
  else add({ kind: "hand-over", port: plan.inboundPort }, { kind: "opening" });
  return rules;
}

/** In order, without overlaps: netfilter refuses sets that have some. */
export function mergePorts(ranges: readonly PortRange[]): readonly PortRange[] {
  const merged: PortRange[] = [];
  for (const { first, last } of ranges.toSorted((a, b) => a.first - b.first)) {
    const before = merged.at(-1);
    if (before && first <= before.last + 1) merged[merged.length - 1] = { first: before.first, last: Math.max(before.last, last) };
    else merged.push({ first, last });
  }
  return merged;
}

export function portsToString(ranges: readonly PortRange[], between: string): string[] {
  return ranges.map(({ first, last }) => (first === last ? `${first}` : `${first}${between}${last}`));
}
