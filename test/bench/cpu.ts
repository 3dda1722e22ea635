/**
 * CPU time of processes as Linux accounts it (proc(5)). CPU time divided by requests holds on a machine
 * that has other work to do, where throughput does not.
 */
import { readdirSync, readFileSync } from "node:fs";
import { BenchError } from "./errors.ts";

/** USER_HZ, in which /proc counts: 100 on every architecture that Node runs on. */
const ticksPerSecond = 100;

export interface ProcessStat {
  readonly parent: number;
  /** User and system time in clock ticks, that of children which ended and were waited for included. */
  readonly ticks: number;
}

/** Parses `/proc/<pid>/stat`. Throws BenchError `bad-output`. */
export function parseStat(text: string): ProcessStat {
  // The second field is the command in parentheses, and the command may hold spaces and parentheses itself.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const numberAt = (position: number) => Number(fields[position - 3]);
  const stat = { parent: numberAt(4), ticks: numberAt(14) + numberAt(15) + numberAt(16) + numberAt(17) };
  if (!Number.isInteger(stat.parent) || !Number.isInteger(stat.ticks)) {
    throw new BenchError("bad-output", `not a line of /proc/<pid>/stat: ${text}`);
  }
  return stat;
}

function readStats(): Map<number, ProcessStat> {
  const stats = new Map<number, ProcessStat>();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      stats.set(Number(name), parseStat(readFileSync(`/proc/${name}/stat`, "utf8")));
    } catch (error) {
      // Any process may end between the listing and the reading.
      if (error instanceof BenchError) throw error;
    }
  }
  return stats;
}

/** The process ids among `stats` that descend from `roots`, the roots first. */
function treeOf(roots: readonly number[], stats: ReadonlyMap<number, ProcessStat>): number[] {
  const tree = roots.filter((pid) => stats.has(pid));
  for (const pid of tree) for (const [child, stat] of stats) if (stat.parent === pid && !tree.includes(child)) tree.push(child);
  return tree;
}

/** `pid` and its living descendants, parents first; empty when it has ended. */
export function processTree(pid: number): number[] {
  return treeOf([pid], readStats());
}

/** Microseconds of CPU that the processes and all their descendants have used, to 10 ms. Throws BenchError `process-failed` if one has ended. */
export function cpuMicros(pids: readonly number[]): number {
  const stats = readStats();
  for (const pid of pids) if (!stats.has(pid)) throw new BenchError("process-failed", `process ${pid} ended while it was measured`);
  let ticks = 0;
  for (const pid of treeOf(pids, stats)) ticks += stats.get(pid)?.ticks ?? 0;
  return (ticks * 1e6) / ticksPerSecond;
}
