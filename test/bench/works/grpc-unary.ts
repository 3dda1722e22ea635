/** gRPC unary calls with a small message each way, HTTP/2 on every leg, on one connection of the application's. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { grpcFrame, grpcPath, pageBody } from "../answers.ts";
import { cpuMicros } from "../cpu.ts";
import { runH2load, type H2loadResult } from "../load/h2load.ts";
import { proxiesOf, type Peer } from "../peers/peer.ts";
import type { Site } from "../site.ts";
import type { ComparedWork } from "../work.ts";
import { perRequest } from "./per-request.ts";

const messageFile = (site: Site) => join(site.folder, "message");

function load(peer: Peer, streams: number, seconds: number, site: Site): Promise<H2loadResult> {
  const run = {
    path: grpcPath,
    streams,
    seconds,
    headers: ["content-type: application/grpc", "te: trailers"],
    body: messageFile(site),
    log: join(site.folder, "h2load.log"),
  };
  return runH2load(peer.target, run, site.signal);
}

export const grpcUnary: ComparedWork = {
  kind: "compared",
  name: "grpc-unary",
  title: "gRPC unary, 63-byte messages, HTTP/2 on all legs, calls at once on one connection: CPU of both proxies",
  figures: ["cpuMicros", "perSecond", "p50Micros", "p99Micros"],
  peers: ["direct", "nginx", "haproxy-h2", "envoy-h2", "countersign"],
  loadTitle: "calls",
  loadKey: "calls",
  loads: [32],
  plan: { protocol: "grpc", relayed: false },
  prepare: (site) => writeFile(messageFile(site), grpcFrame(pageBody)),
  async warm(peer, calls, seconds, site) {
    await load(peer, calls, seconds, site);
  },
  async measure(peer, run, site) {
    const pids = proxiesOf(peer).map((proxy) => proxy.pid);
    const before = cpuMicros(pids);
    const { requests, perSecond, p50Micros, p99Micros } = await load(peer, run.load, run.seconds, site);
    return { ...perRequest(cpuMicros(pids) - before, requests), perSecond, p50Micros, p99Micros };
  },
};
