/** What is known about the traffic to one destination. All but its settings and who is there outlives snapshots. */
import { createCandidate, type Candidate, type Reachable } from "./candidate.ts";
import { createBreaker, type Breaker } from "./limits.ts";
import { createRetryBudget, type RetryBudget } from "./retry-budget.ts";
import type { TrafficSettings } from "./settings.ts";

export interface DestinationTraffic<E extends Reachable = Reachable> {
  readonly settings: TrafficSettings;
  readonly candidates: readonly Candidate<E>[];
  readonly breaker: Breaker;
  readonly budget: RetryBudget;
}

/** Takes over what `previous`, of the same destination, knows about endpoints that are still there. */
export function createDestinationTraffic<E extends Reachable>(
  settings: TrafficSettings,
  endpoints: readonly E[],
  previous: DestinationTraffic<E> | undefined,
): DestinationTraffic<E> {
  const known = new Map(previous?.candidates.map((candidate) => [candidate.endpoint, candidate]));
  return {
    settings,
    candidates: endpoints.map((endpoint) => known.get(endpoint) ?? createCandidate(endpoint)),
    breaker: previous?.breaker ?? createBreaker(),
    budget: previous?.budget ?? createRetryBudget(),
  };
}
