/** 1 MiB posted and 1 MiB answered, which sidecars stream: bytes both ways for the CPU of both proxies. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { mebibyte, mebibytePath } from "../answers.ts";
import { cpuMicros } from "../cpu.ts";
import { BenchError } from "../errors.ts";
import { runWrk, type WrkResult } from "../load/wrk.ts";
import { proxiesOf, type Peer } from "../peers/peer.ts";
import type { Site } from "../site.ts";
import type { ComparedWork } from "../work.ts";

const scriptFile = (site: Site) => join(site.folder, "mebibyte.lua");

function load(peer: Peer, connections: number, seconds: number, site: Site): Promise<WrkResult> {
  return runWrk(peer.target, { path: mebibytePath, connections, seconds, script: scriptFile(site) }, site.signal);
}

export const http1Large: ComparedWork = {
  kind: "compared",
  name: "http1-1MiB",
  title: "HTTP/1.1, 1 MiB posted and 1 MiB answered: bytes both ways for a CPU second of both proxies",
  figures: ["megabytesPerCpuSecond", "perSecond", "p50Micros", "p99Micros"],
  peers: ["direct", "nginx", "haproxy-h1", "haproxy-h2", "envoy-h1", "envoy-h2", "countersign"],
  loadTitle: "connections",
  loadKey: "connections",
  loads: [4],
  plan: { protocol: "http1", relayed: false },
  prepare: (site) => writeFile(scriptFile(site), `wrk.method = "POST"\nwrk.body = string.rep("x", ${mebibyte})\n`),
  async warm(peer, connections, seconds, site) {
    await load(peer, connections, seconds, site);
  },
  async measure(peer, run, site) {
    const pids = proxiesOf(peer).map((proxy) => proxy.pid);
    const before = cpuMicros(pids);
    const { requests, perSecond, p50Micros, p99Micros, readBytes } = await load(peer, run.load, run.seconds, site);
    const used = cpuMicros(pids) - before;
    // wrk rounds what it read.
    if (readBytes < 0.99 * requests * mebibyte) throw new BenchError("bad-response", `${requests} answers had ${readBytes} bytes in all`);
    const moved = (2 * requests * mebibyte) / 1e6;
    return { ...(used === 0 ? {} : { megabytesPerCpuSecond: moved / (used / 1e6) }), perSecond, p50Micros, p99Micros };
  },
};
