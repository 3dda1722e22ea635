/** What every kind of load has in common. */
import { setTimeout as delay } from "node:timers/promises";
import type { Kind } from "../options.ts";
import type { Tally } from "../tally.ts";

export interface LaneContext {
  /** `host:port` of the caller's outbound listener. */
  readonly outbound: string;
  readonly tally: Tally;
}

/** Makes calls until `stop`, then finishes the one under way. Never rejects for what a call comes to. */
export type Lane = (context: LaneContext, stop: AbortSignal) => Promise<void>;

/** No call takes that long, whatever restarts meanwhile. */
export const callLimitMs = 20_000;

/**
 * One call after the other. `attempt` resolves to undefined for a right answer, to what is wrong with it otherwise, and
 * rejects when there is none.
 */
export async function repeat(
  kind: Kind,
  { tally }: LaneContext,
  stop: AbortSignal,
  restMs: number,
  attempt: () => Promise<string | undefined>,
): Promise<void> {
  while (!stop.aborted) {
    tally.begin(kind);
    try {
      const problem = await attempt();
      if (problem === undefined) tally.right(kind);
      else tally.wrong(kind, problem);
    } catch (error) {
      tally.lost(kind, describe(error));
    }
    await delay(restMs, undefined, { signal: stop }).catch(() => undefined);
  }
}

/** With its causes, in one line. */
export function describe(error: unknown): string {
  const parts: string[] = [];
  for (let each: unknown = error; each instanceof Error; each = each.cause) parts.push(each.message);
  return parts.length === 0 ? String(error) : parts.join(": ");
}

let last = 0;

/** A number that no other call has. */
export function nextNumber(): number {
  return ++last;
}
