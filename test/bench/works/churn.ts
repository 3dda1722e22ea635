/** New mTLS connections between the proxies: what a full handshake costs the side that opens it and the side that accepts it. */
import { cpuMicros } from "../cpu.ts";
import { runChurn } from "../load/churn.ts";
import type { Pair, Peer } from "../peers/peer.ts";
import type { ComparedWork } from "../work.ts";

/** The pair, and the relay that its plan gave it. */
function relayedPair({ name, pair }: Peer): Pair & { readonly relay: NonNullable<Pair["relay"]> } {
  if (pair?.relay === undefined) throw new TypeError(`${name} has no relay`);
  return { ...pair, relay: pair.relay };
}

export const churn: ComparedWork = {
  kind: "compared",
  name: "churn",
  title: "New mTLS connections, full handshakes one at a time, each with one small request: handshakes for a CPU second of each side",
  figures: ["callerHandshakesPerCpuSecond", "receiverHandshakesPerCpuSecond", "perSecond"],
  peers: ["nginx", "haproxy-h1", "haproxy-h2", "envoy-h1", "envoy-h2", "countersign"],
  loadTitle: "at once",
  loadKey: "connections",
  loads: [1],
  plan: { protocol: "http1", relayed: true },
  async warm(peer, _load, seconds, { signal }) {
    await runChurn(peer.target, relayedPair(peer).relay, seconds, signal);
  },
  async measure(peer, { seconds }, { signal }) {
    const { caller, receiver, relay } = relayedPair(peer);
    const before = [caller, receiver].map(({ pid }) => cpuMicros([pid]));
    const start = performance.now();
    const handshakes = await runChurn(peer.target, relay, seconds, signal);
    const took = (performance.now() - start) / 1000;
    const [ofCaller = 0, ofReceiver = 0] = [caller, receiver].map(({ pid }, index) => cpuMicros([pid]) - (before[index] ?? 0));
    return {
      callerHandshakesPerCpuSecond: (handshakes * 1e6) / ofCaller,
      receiverHandshakesPerCpuSecond: (handshakes * 1e6) / ofReceiver,
      perSecond: handshakes / took,
    };
  },
};
