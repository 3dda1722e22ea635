/**
 * An endpoint as one destination sees it. Endpoints are shared by the services of a workload; whether one fails is a matter of
 * the service: the application behind one port may be down while the one beside it answers.
 */

/** What the choice among endpoints looks at. */
export interface Reachable {
  /** Calls on their way to it, of all destinations. */
  readonly inFlight: number;
  /** Until when others are preferred, after a failure to connect; ms of the monotonic clock. */
  readonly failingUntil: number;
}

/**
 * `in`: gets its share. `out`: ejected. `called`: ejected, and called all the same for want of others. `trial`: back for one
 * call, which decides.
 */
export type CandidateState = "in" | "out" | "called" | "trial";

export interface Candidate<E extends Reachable = Reachable> {
  readonly endpoint: E;
  state: CandidateState;
  /** In a row. */
  failures: number;
  /** How many ejections its next one is measured by. */
  ejections: number;
  /** While it is not `in`: when its next trial may begin. Monotonic ms. */
  ejectedUntil: number;
  /** When it came back from its last ejection. Monotonic ms. */
  returnedAt: number;
  /** What its last failure came of, where that took several calls with it: a lost connection is one failure, not hundreds. */
  lastEvent: object | undefined;
}

export function createCandidate<E extends Reachable>(endpoint: E): Candidate<E> {
  return { endpoint, state: "in", failures: 0, ejections: 0, ejectedUntil: 0, returnedAt: 0, lastEvent: undefined };
}

/** Whether it may be called while there are others. */
export function isHealthy(candidate: Candidate, now: number): boolean {
  return (candidate.state === "in" || candidate.ejectedUntil <= now) && candidate.endpoint.failingUntil <= now;
}
