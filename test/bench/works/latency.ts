/** What a pair of proxies adds to the time of a small request while it has little to do: an open loop at a fixed rate. */
import { cpuMicros } from "../cpu.ts";
import type { Sample } from "../figures.ts";
import { runOpenLoop } from "../load/run-open-loop.ts";
import { runWrk } from "../load/wrk.ts";
import { proxiesOf } from "../peers/peer.ts";
import type { ComparedWork } from "../work.ts";
import { perRequest } from "./per-request.ts";

export function latencyAt(perSecond: 1000 | 5000): ComparedWork {
  return {
    kind: "compared",
    name: `latency-${perSecond}rps`,
    title: `Open loop, ${perSecond} small requests/s at random times over HTTP/1.1: latency from when each was due, and what it is over direct`,
    figures: ["p50Micros", "p99Micros", "p999Micros", "addedP50Micros", "addedP99Micros", "addedP999Micros", "cpuMicros"],
    peers: ["direct", "nginx", "haproxy-h1", "haproxy-h2", "envoy-h1", "envoy-h2", "countersign"],
    loadTitle: "requests/s",
    loadKey: "requestsPerSecond",
    loads: [perSecond],
    plan: { protocol: "http1", relayed: false },
    async warm(peer, _load, seconds, { signal }) {
      await runWrk(peer.target, { path: "/", connections: 32, seconds }, signal);
    },
    async measure(peer, { round, seconds }, { signal }) {
      const pids = proxiesOf(peer).map((proxy) => proxy.pid);
      const before = cpuMicros(pids);
      // The round's number as seed: every peer of a round is asked at the same times.
      const run = await runOpenLoop(peer.target, { perSecond, seconds, seed: round }, signal);
      const { requests, p50Micros, p99Micros, p999Micros } = run;
      return { ...perRequest(cpuMicros(pids) - before, requests), p50Micros, p99Micros, p999Micros };
    },
    finish: withAdded,
  };
}

/** Adds to every sample what it took longer than the application alone in the same round. */
export function withAdded(samples: readonly Sample[]): Sample[] {
  return samples.map((sample) => {
    const direct = samples.find(({ peer, load, round }) => peer === "direct" && load === sample.load && round === sample.round);
    if (direct === undefined || sample.peer === "direct") return sample;
    const over = (name: "p50Micros" | "p99Micros" | "p999Micros") =>
      (sample.values[name] ?? Number.NaN) - (direct.values[name] ?? Number.NaN);
    const added = { addedP50Micros: over("p50Micros"), addedP99Micros: over("p99Micros"), addedP999Micros: over("p999Micros") };
    return { ...sample, values: { ...sample.values, ...added } };
  });
}
