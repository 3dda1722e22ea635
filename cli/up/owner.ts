/**
 * Names that say which process made them, so that what a killed one left behind can be told from what is in use: process ids
 * come again, but not with the same time of start.
 */
import { readFileSync } from "node:fs";

const form = /^countersign-(\d+)-(\d+)-/;

/** Of this process; what follows tells its things apart. */
export function ownPrefix(): string {
  return `countersign-${process.pid}-${startOf(process.pid) ?? 0}-`;
}

/** Whether something of that name was made by a process that is no more. */
export function isLeftover(name: string): boolean {
  const [, pid, start] = form.exec(name) ?? [];
  return pid !== undefined && startOf(Number(pid)) !== Number(start);
}

/** In clock ticks since the machine's start (proc_pid_stat(5), field 22); undefined where there is no such process. */
function startOf(pid: number): number | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "latin1");
    // The second field is the program's name, which may hold anything.
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return Number(fields[19]);
  } catch {
    return undefined;
  }
}
