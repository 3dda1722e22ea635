/**
 * Traffic management as one call meets it, from its admission to its end: the rules of this folder put together. It decides
 * and counts; what is done about it (frames, answers) is the transmitter's.
 *
 * Hot path: a call that goes well costs arithmetic on objects that are there already, and no allocation.
 */
import type { Clock } from "../../../common/runtime/clock.ts";
import type { Candidate, Reachable } from "./candidate.ts";
import { createDeadlines, type Timed } from "./deadlines.ts";
import type { DestinationTraffic } from "./destination-traffic.ts";
import { pendingOpen, requestsOpen } from "./limits.ts";
import type { TrafficMetrics } from "./metrics.ts";
import { createOutlierDetector } from "./outlier.ts";
import { noneTried, pickCandidate } from "./pick.ts";
import { mayRetry, type TryFailure } from "./retry.ts";

/** An endpoint whose calls are counted here. */
export interface Target extends Reachable {
  inFlight: number;
}

/** What a call carries for traffic management; it begins with nothing: false, undefined, 0, and `noneTried`. */
export interface ManagedCall<E extends Target = Target> extends Timed {
  /** Counted as one of its destination's calls. */
  admitted: boolean;
  /** Counted as one that waits. */
  held: boolean;
  /** Where it is, or where it waits to go. */
  candidate: Candidate<E> | undefined;
  /** The one endpoint that it may go to, if there is only one. */
  pinned: E | undefined;
  /** Where it failed. */
  tried: readonly Candidate<E>[];
  retries: number;
  /** How often a peer, without having done anything for it, gave it back. */
  refusals: number;
  /** When a byte last passed, while there is an idle time-out. Monotonic ms. */
  activeAt: number;
}

/** What of a call says whether it may be made again. */
export interface CallFacts {
  readonly destination: ManagedDestination | undefined;
  readonly head: { readonly method: string };
  readonly answered: boolean;
  readonly bodyEnded: boolean;
  /** Some of the body has left as it came, and is not here any more. */
  readonly bodyLeft: boolean;
}

export interface ManagedDestination<E extends Target = Target> {
  readonly scope: string;
  readonly traffic: DestinationTraffic<E>;
}

/** `now` is monotonic ms throughout. */
export interface TrafficManager<E extends Target, C extends ManagedCall<E> & CallFacts> {
  /** Counts the call in; false where its destination has as many as it may. */
  admit(call: C, destination: ManagedDestination<E>, now: number): boolean;
  /** Where to send it; undefined where there is no endpoint, or none that it has not failed at. It counts as in flight from now on. */
  route(call: C, destination: ManagedDestination<E>, now: number): Candidate<E> | undefined;
  /** It has to wait for a connection or a session; false where too many do. */
  hold(call: C, destination: ManagedDestination<E>): boolean;
  /** It waits no longer. */
  unhold(call: C): void;
  /** Its request is whole: the answer has to come within the time-out, if there is one. */
  expectAnswer(call: C, destination: ManagedDestination<E>, now: number): void;
  /**
   * The head of its answer is there. `well`: the application's own, or a decision about the caller, which say both that the
   * endpoint works; false for a refusal that was counted as a failure and is passed on.
   */
  answered(call: C, well: boolean, now: number): void;
  /** Bytes have passed, in whichever direction. */
  progressed(call: C): void;
  /**
   * A try failed. True when the call is to be routed again: it has been taken off its endpoint. `event` is what took other
   * calls with it, if something did; for the endpoint that is one failure.
   */
  failed(call: C, failure: TryFailure, now: number, event?: object): boolean;
  /** Of a call that may not be routed again: whether it might, were there another endpoint. */
  mayWait(call: C, failure: TryFailure): boolean;
  /** What `failed` says, asked again for the same failure because other endpoints may be known by now. */
  goesAgain(call: C, failure: TryFailure, now: number): boolean;
  /** It has come to its end, in whatever way. Nothing happens at the second time. */
  over(call: C): void;
}

export interface TrafficManagerOptions<C extends Timed> {
  readonly metrics: TrafficMetrics;
  readonly random: () => number;
  /** Ms of a clock that never goes back. */
  readonly monotonic: () => number;
  readonly schedule: Clock["schedule"];
  /** No head of an answer came in time. */
  readonly onTimeout: (call: C) => void;
  /** Nothing has passed for too long (and for less than twice that long). */
  readonly onIdle: (call: C) => void;
}

/** What a peer gives back goes elsewhere whatever the settings: it is no failure, and nobody's load. */
const maxRefusals = 3;

export function createTrafficManager<E extends Target, C extends ManagedCall<E> & CallFacts>(
  options: TrafficManagerOptions<C>,
): TrafficManager<E, C> {
  const { metrics, random, monotonic } = options;
  const deadlines = createDeadlines<C>({ monotonic, schedule: options.schedule, onExpired });
  /** Whose failure is looked at: told here because candidates do not know their destination. */
  let concerned = "";
  const outliers = createOutlierDetector({
    ejected: () => metrics.ejected(concerned),
    spared: () => metrics.ejectionSpared(concerned),
  });

  function onExpired(call: C): void {
    if (!call.answered) {
      options.onTimeout(call);
      return;
    }
    const idleMs = call.destination?.traffic.settings.idleTimeoutMs ?? 0;
    if (monotonic() - call.activeAt >= idleMs) options.onIdle(call);
    else deadlines.start(call, idleMs, call.activeAt);
  }

  function countFailure(candidate: Candidate<E>, { scope, traffic }: ManagedDestination, now: number, event: object | undefined): void {
    if (event !== undefined && candidate.lastEvent === event) return;
    candidate.lastEvent = event;
    concerned = scope;
    outliers.failed(candidate, traffic.candidates, traffic.settings.outlierDetection, now);
  }

  function isHarmless({ answered, bodyLeft, bodyEnded, head }: C, failure: TryFailure): boolean {
    return mayRetry(failure, { method: head.method, answered, bodyWhole: bodyEnded && !bodyLeft, bodySent: bodyLeft });
  }

  function hasOthers({ pinned, tried }: C, { traffic }: ManagedDestination): boolean {
    return pinned === undefined && traffic.candidates.some((candidate) => !tried.includes(candidate as Candidate<E>));
  }

  function mayGoAgain(call: C, destination: ManagedDestination, failure: TryFailure, now: number): boolean {
    if (!isHarmless(call, failure)) return false;
    if (failure === "refused") return ++call.refusals <= maxRefusals;
    const { scope, traffic } = destination;
    const { attempts, budgetPercent } = traffic.settings.retries;
    if (call.retries >= attempts || !hasOthers(call, destination)) return false;
    if (!traffic.budget.retry(now, budgetPercent)) {
      metrics.retryOverBudget(scope);
      return false;
    }
    call.retries++;
    metrics.retried(scope);
    return true;
  }

  function goesAgain(call: C, failure: TryFailure, now: number): boolean {
    if (!call.destination || !mayGoAgain(call, call.destination, failure, now)) return false;
    release(call);
    return true;
  }

  function choose(call: C, candidates: readonly Candidate<E>[], now: number): Candidate<E> | undefined {
    const { pinned, tried } = call;
    // One that gave it back, and there is no other, may have another connection by now.
    const mayReturn = call.refusals > 0 && call.retries === 0;
    if (pinned) {
      const only = candidates.find(({ endpoint }) => endpoint === pinned);
      return only && (mayReturn || !tried.includes(only)) ? only : undefined;
    }
    const other = pickCandidate(candidates, now, random, tried);
    return other ?? (mayReturn ? pickCandidate(candidates, now, random, noneTried) : undefined);
  }

  function release(call: C): void {
    if (!call.candidate) return;
    call.candidate.endpoint.inFlight--;
    call.candidate = undefined;
  }

  function unhold(call: C): void {
    if (!call.held) return;
    call.held = false;
    if (call.destination) call.destination.traffic.breaker.pending--;
  }

  return {
    admit(call, { traffic }, now) {
      if (requestsOpen(traffic.breaker, traffic.settings)) return false;
      traffic.breaker.active++;
      traffic.budget.request(now);
      call.admitted = true;
      return true;
    },
    route(call, { traffic }, now) {
      const candidate = choose(call, traffic.candidates, now);
      if (!candidate) return undefined;
      release(call);
      candidate.endpoint.inFlight++;
      outliers.sent(candidate, now);
      call.candidate = candidate;
      return candidate;
    },
    hold(call, { traffic }) {
      if (call.held) return true;
      if (pendingOpen(traffic.breaker, traffic.settings)) return false;
      traffic.breaker.pending++;
      call.held = true;
      return true;
    },
    unhold,
    expectAnswer(call, { traffic }, now) {
      const { requestTimeoutMs } = traffic.settings;
      if (requestTimeoutMs > 0) deadlines.start(call, requestTimeoutMs, now);
    },
    answered(call, well, now) {
      deadlines.stop(call);
      const { candidate } = call;
      if (well && candidate) {
        candidate.lastEvent = undefined;
        outliers.succeeded(candidate, now);
      }
      const idleMs = call.destination?.traffic.settings.idleTimeoutMs ?? 0;
      if (idleMs === 0) return;
      call.activeAt = now;
      deadlines.start(call, idleMs, now);
    },
    progressed(call) {
      if (call.timedAfter !== undefined) call.activeAt = monotonic();
    },
    failed(call, failure, now, event) {
      const { candidate, destination } = call;
      if (!candidate || !destination) return false;
      metrics.failedTry(destination.scope, failure);
      if (failure !== "refused") countFailure(candidate, destination, now, event);
      if (!call.tried.includes(candidate)) call.tried = [...call.tried, candidate];
      return goesAgain(call, failure, now);
    },
    goesAgain,
    mayWait(call, failure) {
      const { destination, pinned, retries } = call;
      if (!destination || pinned !== undefined || failure === "refused" || !isHarmless(call, failure)) return false;
      return retries < destination.traffic.settings.retries.attempts && !hasOthers(call, destination);
    },
    over(call) {
      deadlines.stop(call);
      release(call);
      unhold(call);
      if (!call.admitted) return;
      call.admitted = false;
      if (call.destination) call.destination.traffic.breaker.active--;
    },
  };
}
