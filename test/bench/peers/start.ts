/** The peers by name. */
import type { PeerName } from "../options.ts";
import type { Site } from "../site.ts";
import { startCountersignPair } from "./countersign.ts";
import { directPeer } from "./direct.ts";
import { startEnvoyPair } from "./envoy.ts";
import { startHaproxyPair } from "./haproxy.ts";
import { startNginxPair } from "./nginx.ts";
import type { PairPlan, Peer } from "./peer.ts";

const starters: Record<PeerName, (site: Site, plan: PairPlan) => Promise<Peer>> = {
  direct: directPeer,
  nginx: startNginxPair,
  "haproxy-h1": (site, plan) => startHaproxyPair(site, plan, "h1"),
  "haproxy-h2": (site, plan) => startHaproxyPair(site, plan, "h2"),
  "envoy-h1": (site, plan) => startEnvoyPair(site, plan, "h1"),
  "envoy-h2": (site, plan) => startEnvoyPair(site, plan, "h2"),
  countersign: startCountersignPair,
};

/** Resolves once the application answers through it. Rejects with BenchError. */
export function startPeer(name: PeerName, site: Site, plan: PairPlan): Promise<Peer> {
  return starters[name](site, plan);
}
