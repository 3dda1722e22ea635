/** Small requests over keep-alive connections of HTTP/1.1, as many at once as connections. */
import { cpuMicros } from "../cpu.ts";
import { runWrk } from "../load/wrk.ts";
import { proxiesOf } from "../peers/peer.ts";
import type { ComparedWork } from "../work.ts";
import { perRequest } from "./per-request.ts";

export function http1Small(connections: readonly number[]): ComparedWork {
  return {
    kind: "compared",
    name: "http1-63B",
    title: "HTTP/1.1, 63-byte responses: CPU of both proxies, wrk as fast as it is answered",
    figures: ["cpuMicros", "perSecond", "p50Micros", "p99Micros"],
    peers: ["direct", "nginx", "haproxy-h1", "haproxy-h2", "envoy-h1", "envoy-h2", "countersign"],
    loadTitle: "connections",
    loadKey: "connections",
    loads: connections,
    plan: { protocol: "http1", relayed: false },
    async warm(peer, load, seconds, { signal }) {
      // The first time, the compiler is given plenty to go by.
      await runWrk(peer.target, { path: "/", connections: Math.max(load, seconds > 1 ? 32 : load), seconds }, signal);
    },
    async measure(peer, { load, seconds }, { signal }) {
      const pids = proxiesOf(peer).map((proxy) => proxy.pid);
      const before = cpuMicros(pids);
      const run = await runWrk(peer.target, { path: "/", connections: load, seconds }, signal);
      return {
        ...perRequest(cpuMicros(pids) - before, run.requests),
        perSecond: run.perSecond,
        p50Micros: run.p50Micros,
        p99Micros: run.p99Micros,
      };
    },
  };
}
