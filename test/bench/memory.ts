/** Memory of processes as Linux accounts it (proc(5)). */
import { readFileSync } from "node:fs";
import { processTree } from "./cpu.ts";
import { BenchError } from "./errors.ts";

export interface MemoryUse {
  /** What is resident; pages shared with others count whole. */
  readonly residentBytes: number;
  /** The same, but a page that n processes share counts an nth. */
  readonly proportionalBytes: number;
}

/** From the text of `/proc/<pid>/smaps_rollup`. Throws BenchError `bad-output`. */
export function parseMemory(text: string): MemoryUse {
  const bytesOf = (name: string) => {
    const found = new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(text);
    if (found === null) throw new BenchError("bad-output", `no ${name} in /proc/<pid>/smaps_rollup`);
    return Number(found[1]) * 1024;
  };
  return { residentBytes: bytesOf("Rss"), proportionalBytes: bytesOf("Pss") };
}

/** Of a process and its descendants. Throws BenchError `process-failed` if it has ended. */
export function memoryOf(pid: number): MemoryUse {
  const members = processTree(pid);
  if (members.length === 0) throw new BenchError("process-failed", `process ${pid} ended while it was measured`);
  const uses = members.map((member) => parseMemory(readFileSync(`/proc/${member}/smaps_rollup`, "utf8")));
  return {
    residentBytes: uses.reduce((sum, use) => sum + use.residentBytes, 0),
    proportionalBytes: uses.reduce((sum, use) => sum + use.proportionalBytes, 0),
  };
}
