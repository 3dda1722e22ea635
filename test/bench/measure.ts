/** The runs themselves: peers in turn, again and again, so that whatever else the machine does falls on all of them alike. */
import { cpuMicros } from "./cpu.ts";
import { BenchError } from "./errors.ts";
import type { Options } from "./options.ts";
import type { Peer } from "./peers/peer.ts";
import type { Measurement } from "./report.ts";
import { runWrk } from "./wrk.ts";

export interface Outcome {
  /** Of what did not fail. */
  readonly runs: readonly Measurement[];
  /** By `peer/connections`, why there is no figure. */
  readonly failures: ReadonlyMap<string, string>;
}

/** A just-in-time compiler compiles what runs often in steps, and has taken the last of them after about that long under load. */
const firstWarmSeconds = 8;
/** For the connections of each further number of them. */
const warmSeconds = 1;

async function measureOnce(peer: Peer, connections: number, round: number, seconds: number, signal: AbortSignal): Promise<Measurement> {
  const pids = peer.proxies.map((proxy) => proxy.pid);
  const before = cpuMicros(pids);
  const load = await runWrk(peer.target, connections, seconds, signal);
  const used = cpuMicros(pids) - before;
  return {
    peer: peer.name,
    connections,
    round,
    cpuMicros: used / load.requests,
    perSecond: load.perSecond,
    p50Micros: load.p50Micros,
    p99Micros: load.p99Micros,
  };
}

/** Runs everything that `options` asks for. A peer that fails at one number of connections is left out there, and the rest goes on. */
export async function measureAll(
  peers: readonly Peer[],
  options: Options,
  progress: (line: string) => void,
  signal: AbortSignal,
): Promise<Outcome> {
  const runs: Measurement[] = [];
  const failures = new Map<string, string>();
  const attempt = async (peer: Peer, connections: number, work: () => Promise<void>) => {
    const key = `${peer.name}/${connections}`;
    if (failures.has(key)) return;
    try {
      await work();
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof BenchError)) throw error;
      const died = peer.proxies.find((proxy) => proxy.ended.aborted);
      const reason = died === undefined ? error.message : (died.ended.reason as BenchError).message;
      failures.set(key, reason);
      progress(`FAILED: ${peer.name} at ${connections} connections: ${reason}`);
    }
  };

  const [first = 1] = options.connections;
  for (const peer of peers) {
    progress(`warming ${peer.name}`);
    await attempt(peer, first, async () => void (await runWrk(peer.target, 32, firstWarmSeconds, signal)));
  }
  for (const connections of options.connections) {
    for (const peer of peers) {
      await attempt(peer, connections, async () => void (await runWrk(peer.target, connections, warmSeconds, signal)));
    }
    for (let round = 1; round <= options.rounds; round++) {
      for (const peer of peers) {
        await attempt(peer, connections, async () => {
          const run = await measureOnce(peer, connections, round, options.seconds, signal);
          runs.push(run);
          const cpu = run.cpuMicros === 0 ? "" : `${run.cpuMicros.toFixed(1)} µs CPU, `;
          progress(
            `${connections} connections, round ${round}/${options.rounds}, ${peer.name}: ` +
              `${cpu}${run.perSecond.toFixed(0)}/s, p50 ${run.p50Micros.toFixed(0)} µs, p99 ${run.p99Micros.toFixed(0)} µs`,
          );
        });
      }
    }
  }
  return { runs: runs.filter((run) => !failures.has(`${run.peer}/${run.connections}`)), failures };
}
