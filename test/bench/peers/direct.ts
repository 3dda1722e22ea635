/** No proxies: what wrk and the application take by themselves. */
import type { Peer, Site } from "./peer.ts";

export function directPeer(site: Site): Peer {
  return { name: "direct", target: { url: `http://127.0.0.1:${site.appPort}/`, host: undefined }, proxies: [] };
}
