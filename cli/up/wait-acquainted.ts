/** A program that runs in a workload's namespace, where alone its sidecar's admin port is, and ends when the sidecar knows the others. */
import { json } from "node:stream/consumers";
import { untilKnows, type Acquaintance } from "./acquainted.ts";

export interface WaitAcquainted {
  readonly sidecar: Acquaintance;
  readonly others: readonly Acquaintance[];
  readonly timeoutMs: number;
}

const { sidecar, others, timeoutMs } = (await json(process.stdin)) as WaitAcquainted;
await untilKnows(sidecar, others, AbortSignal.timeout(timeoutMs), timeoutMs);
