/**
 * What a refusal by the receiving sidecar says about the endpoint. Applications cannot send the reason field: their sidecar
 * takes it off.
 */
import type { Reason } from "../../reason.ts";
import type { TryFailure } from "./retry.ts";

const failures: ReadonlyMap<string, PeerFailure> = failuresByReason([
  // Nothing of the call came to the application, and another instance may do better.
  ["upstream-refused", "rejected"],
  ["overloaded", "rejected"],
  ["not-ready", "rejected"],
  ["replay-memory-full", "rejected"],
  // Another instance has taken its address, and the news has not come here yet.
  ["wrong-audience", "rejected"],
  // The application had it.
  ["upstream-failed", "lost"],
  ["upstream-timeout", "timeout"],
]);

function failuresByReason(list: readonly (readonly [Reason, TryFailure])[]): ReadonlyMap<string, PeerFailure> {
  return new Map(list.map(([reason, failure]) => [reason, { reason, failure }]));
}

export interface PeerFailure {
  readonly failure: TryFailure;
  readonly reason: Reason;
}

/** Undefined for a decision about the caller or the request, which any other endpoint would make as well. */
export function failureOfRefusal(reason: string): PeerFailure | undefined {
  return failures.get(reason);
}
