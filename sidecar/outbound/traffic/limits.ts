/**
 * Circuit breaking as Envoy means it: no more than so many calls to a destination at once, and no more than so many that wait
 * for a connection or a session. One over that is refused at once, so that a service that has become slow takes neither the
 * memory nor the time of callers with it.
 *
 * Hot path: counting is arithmetic on one object a destination, which outlives snapshots as the calls do.
 */
import type { TrafficSettings } from "./settings.ts";

export interface Breaker {
  /** Calls under way, those that wait among them. */
  active: number;
  /** Calls that wait for a connection or a session. */
  pending: number;
}

export type Limits = Pick<TrafficSettings, "maxConcurrentRequests" | "maxPendingRequests">;

export function createBreaker(): Breaker {
  return { active: 0, pending: 0 };
}

/** Whether one more call would be refused. */
export function requestsOpen(breaker: Breaker, limits: Limits): boolean {
  return limits.maxConcurrentRequests > 0 && breaker.active >= limits.maxConcurrentRequests;
}

/** Whether one more call that has to wait would be refused. */
export function pendingOpen(breaker: Breaker, limits: Limits): boolean {
  return limits.maxPendingRequests > 0 && breaker.pending >= limits.maxPendingRequests;
}
