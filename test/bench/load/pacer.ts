/**
 * The open loop's clock, a thread of its own: sleeps until each time in turn and says so. The loop itself can then sleep in
 * the kernel until an answer arrives or a request is due, and leaves the machine's cores to what is measured. Node's timers
 * would not do: they count whole milliseconds.
 */
import { parentPort, workerData } from "node:worker_threads";
import { milliseconds } from "./monotonic.ts";

export interface PacerData {
  /** By `milliseconds()`. */
  readonly start: number;
  /** Milliseconds from the start, ascending. */
  readonly due: Float64Array;
}

const { start, due } = workerData as PacerData;
const never = new Int32Array(new SharedArrayBuffer(4));
for (let next = 0; next < due.length;) {
  const now = milliseconds() - start;
  const wait = (due[next] ?? 0) - now;
  if (wait > 0) {
    Atomics.wait(never, 0, 0, wait);
    continue;
  }
  while (next < due.length && (due[next] ?? 0) <= now) next++;
  // A thread's port has no origin: the rule means windows.
  // oxlint-disable-next-line unicorn/require-post-message-target-origin
  parentPort?.postMessage(next);
}
