/**
 * Whether calls to the gate were answered as the policy in force demanded: by the times of the call, and exactly by the
 * revision that the receiver reports of its decision.
 */
import type { GateHistory } from "./gate-history.ts";
import { gateAnswers, gateStates, type GateState } from "./resources.ts";

export interface GateCall {
  readonly path: string;
  readonly from: number;
  readonly to: number;
  readonly status: number;
  readonly reason: string;
}

/** What a receiver says of a decision; the part of its `/decisions` that matters here. */
export interface GateDecision {
  readonly path: string;
  readonly decision: "allow" | "deny" | "would-deny";
  readonly reason: string;
  readonly policyRevision: number;
}

/** The state that such an answer shows; undefined for an answer of another kind. */
export function stateShown(answer: Pick<GateCall, "status" | "reason">): GateState | undefined {
  return gateStates.find((state) => gateAnswers[state].status === answer.status && gateAnswers[state].reason === answer.reason);
}

/** Undefined where the answer is right by the times of the call, otherwise what is wrong. */
export function judgeByTime(call: GateCall, history: GateHistory): string | undefined {
  const shown = stateShown(call);
  const possible = history.during(call.from, call.to);
  if (shown !== undefined && possible.has(shown)) return undefined;
  return `${call.path}: ${call.status} ${call.reason} where the gate was ${[...possible].join(" or ")}`;
}

/**
 * Undefined where the decision was right by its own revision, otherwise what is wrong. A denial is recorded as it is made. An
 * allowed call is recorded when it is complete, with the revision of then: it was decided by that one or one before, but by
 * none older than all receivers had when it began.
 */
export function judgeByRevision(call: GateCall, decision: GateDecision, history: GateHistory): string | undefined {
  const { decision: outcome, reason, policyRevision } = decision;
  const shown = outcome === "allow" ? "open" : stateShown({ status: 403, reason });
  const least = history.surelyAt(call.from);
  const stated = `${call.path}: decided ${outcome} ${reason} by revision ${policyRevision}`;
  if (policyRevision < least) return `${stated}, when all had ${least}`;
  if (shown !== stateShown(call)) return `${stated}, and answered ${call.status} ${call.reason}`;
  const first = shown === "open" ? least : policyRevision;
  for (let revision = first; revision <= policyRevision; revision++) {
    const state = history.at(revision);
    if (state === undefined || state === shown) return undefined;
  }
  return `${stated}, by which the gate was ${history.at(policyRevision)}`;
}
