/** Calls through the gate, whose policy flips meanwhile. Each is judged twice: at once by time, and later by its decision. */
import { Agent } from "node:http";
import { call } from "../../mesh/clients.ts";
import type { GateHistory } from "../gate-history.ts";
import { judgeByRevision, judgeByTime, type GateCall, type GateDecision } from "../gate-judge.ts";
import { callLimitMs, nextNumber, repeat, type Lane } from "./lane.ts";

export interface Gate {
  readonly lane: Lane;
  /** Decisions that a receiver reports, in any order, more than once as well. Returns what was found wrong with calls. */
  check(decisions: readonly GateDecision[]): string[];
  /** Calls whose decision was seen. */
  checked(): number;
}

/** Those whose decision has not been seen. An instance that restarts takes some with it, so that they are not kept for ever. */
const keptCalls = 4096;

export function createGate(history: GateHistory, now: () => number): Gate {
  const open = new Map<string, GateCall>();
  let checked = 0;
  return {
    async lane(context, stop) {
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      await repeat("gate", context, stop, 10, async () => {
        const path = `/pass/${nextNumber()}`;
        const from = now();
        const { status, reason } = await call(context.outbound, { host: "gate", path, agent, signal: AbortSignal.timeout(callLimitMs) });
        if (status >= 500) throw new Error(`status ${status} ${reason}`);
        const done: GateCall = { path, from, to: now(), status, reason };
        open.set(path, done);
        if (open.size > keptCalls) for (const oldest of open.keys().take(1)) open.delete(oldest);
        return judgeByTime(done, history);
      });
      agent.destroy();
    },
    check(decisions) {
      return decisions.flatMap((decision) => {
        const found = open.get(decision.path);
        if (found === undefined) return [];
        open.delete(decision.path);
        checked++;
        return judgeByRevision(found, decision, history) ?? [];
      });
    },
    checked: () => checked,
  };
}
