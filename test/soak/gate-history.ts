/**
 * When the gate was in which state, and with which revision: what an answer is judged by. Between the moment that a change is
 * asked for and the moment that every receiver has it, either state is right; at all others only one is.
 */
import type { GateState } from "./resources.ts";

export interface GateHistory {
  /** A change to `state` has been asked for; nobody may have it yet. */
  requested(state: GateState, at: number): void;
  /** The control plane has given the latest change its revision. */
  stored(revision: number): void;
  /** Every receiver has it. */
  confirmed(at: number): void;
  /** All states that a call between the two moments may have met. */
  during(from: number, to: number): ReadonlySet<GateState>;
  /** The state by that revision; undefined where a change is stored whose revision is not known. */
  at(revision: number): GateState | undefined;
  /** The revision that every receiver had reached at that moment. */
  surelyAt(moment: number): number;
  /** Of the latest change. */
  latestRevision(): number;
  count(): number;
}

interface Change {
  readonly state: GateState;
  readonly requestedAt: number;
  /** Infinity until known. */
  revision: number;
  confirmedAt: number;
}

export function createGateHistory(): GateHistory {
  const changes: Change[] = [{ state: "open", requestedAt: Number.NEGATIVE_INFINITY, revision: 0, confirmedAt: Number.NEGATIVE_INFINITY }];

  const latest = (): Change => {
    const change = changes.at(-1);
    if (change === undefined) throw new TypeError("a history begins with a state");
    return change;
  };

  return {
    requested(state, at) {
      changes.push({ state, requestedAt: at, revision: Number.POSITIVE_INFINITY, confirmedAt: Number.POSITIVE_INFINITY });
    },
    stored(revision) {
      latest().revision = revision;
    },
    confirmed(at) {
      latest().confirmedAt = at;
    },
    during(from, to) {
      const possible = changes.filter((change, index) => change.requestedAt <= to && (changes[index + 1]?.confirmedAt ?? Infinity) > from);
      return new Set(possible.map(({ state }) => state));
    },
    at(revision) {
      // The control plane may have stored the latest change and not yet have said so.
      if (latest().revision === Number.POSITIVE_INFINITY && revision > (changes.at(-2)?.revision ?? 0)) return undefined;
      return changes.findLast((change) => change.revision <= revision)?.state;
    },
    surelyAt: (moment) => changes.findLast((change) => change.confirmedAt <= moment)?.revision ?? 0,
    latestRevision: () => latest().revision,
    count: () => changes.length - 1,
  };
}
