/** Memory of one proxy, the larger of the pair: new and idle, under a steady load at its most, and after it. */
import { setTimeout as delay } from "node:timers/promises";
import type { Values } from "../figures.ts";
import { runOpenLoop } from "../load/run-open-loop.ts";
import { memoryOf, type MemoryUse } from "../memory.ts";
import { proxiesOf, type Peer } from "../peers/peer.ts";
import type { ComparedWork } from "../work.ts";

const sampleMs = 250;
/** From the start or the last request until what is idle is taken to be idle. */
const restMs = 3000;
const loadSeconds = 10;

/** Of each the larger, in megabytes. */
function most(uses: readonly MemoryUse[]): { readonly resident: number; readonly proportional: number } {
  return {
    resident: Math.max(...uses.map((use) => use.residentBytes)) / 1e6,
    proportional: Math.max(...uses.map((use) => use.proportionalBytes)) / 1e6,
  };
}

const usesOf = (peer: Peer) => proxiesOf(peer).map(({ pid }) => memoryOf(pid));

/** Peers that were idle at the start, by their processes. A peer is idle for the first time only once. */
export function createMemory(perSecond: number): ComparedWork {
  const idle = new WeakMap<Peer, Values>();
  return {
    kind: "compared",
    name: "memory",
    title: `Memory of one proxy, the larger of the two: new and idle, at ${perSecond} requests/s, and ${restMs / 1000} s after them`,
    figures: [
      "idleMegabytes",
      "idleProportionalMegabytes",
      "loadMegabytes",
      "loadProportionalMegabytes",
      "afterMegabytes",
      "afterProportionalMegabytes",
    ],
    peers: ["nginx", "haproxy-h2", "envoy-h2", "countersign"],
    loadTitle: "requests/s",
    loadKey: "requestsPerSecond",
    loads: [perSecond],
    plan: { protocol: "http1", relayed: false },
    async warm(peer, _load, _seconds, { signal }) {
      await delay(restMs, undefined, { signal });
      const { resident, proportional } = most(usesOf(peer));
      idle.set(peer, { idleMegabytes: resident, idleProportionalMegabytes: proportional });
    },
    async measure(peer, { round }, { signal }) {
      const done = new AbortController();
      const load = runOpenLoop(peer.target, { perSecond, seconds: loadSeconds, seed: round }, signal).finally(() => done.abort());
      const uses: MemoryUse[] = [];
      const watching = (async () => {
        while (!done.signal.aborted) {
          uses.push(...usesOf(peer));
          await delay(sampleMs, undefined, { signal: done.signal }).catch(() => undefined);
        }
      })();
      await Promise.all([load, watching]);
      const under = most(uses);
      await delay(restMs, undefined, { signal });
      const after = most(usesOf(peer));
      return {
        ...idle.get(peer),
        loadMegabytes: under.resident,
        loadProportionalMegabytes: under.proportional,
        afterMegabytes: after.resident,
        afterProportionalMegabytes: after.proportional,
      };
    },
  };
}
