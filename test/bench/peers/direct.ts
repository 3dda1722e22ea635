/** No proxies: what the load and the application take by themselves. */
import type { Site } from "../site.ts";
import { applicationPort, readyPeer, type PairPlan, type Peer } from "./peer.ts";

export function directPeer(site: Site, plan: PairPlan): Promise<Peer> {
  const target = { origin: `http://127.0.0.1:${applicationPort(site, plan)}`, host: undefined };
  return readyPeer("direct", target, undefined, site, plan);
}
