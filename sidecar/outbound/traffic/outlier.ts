/**
 * Ejection of endpoints that fail while others do not (Envoy's outlier detection, with a circuit breaker's half-open trial in
 * place of its blind return). After some failures in a row an endpoint is left out for a while, longer each time. When the
 * while is over one call tries it: an answer brings it back, a failure puts it out again.
 *
 * Never are so many out that the rest would break under the load: no more than a share of the destination's endpoints, though
 * one always may be, and never the only one there is. Hot path: `sent` and `succeeded` look at one field.
 */
import type { Candidate } from "./candidate.ts";
import type { OutlierSettings } from "./settings.ts";

export interface OutlierEvents {
  ejected(candidate: Candidate, milliseconds: number): void;
  /** It would have been ejected, had not too many been out already. */
  spared(candidate: Candidate): void;
}

export interface OutlierDetector {
  /** A call goes to it. `now` is monotonic ms. */
  sent(candidate: Candidate, now: number): void;
  /** It answered, whatever the application's status. */
  succeeded(candidate: Candidate, now: number): void;
  /** It failed; `among` are all candidates of the destination. */
  failed(candidate: Candidate, among: readonly Candidate[], settings: OutlierSettings, now: number): void;
}

/** As Envoy's `max_ejection_time`. */
const longestEjectionMs = 300_000;
/** A trial that ends without a verdict (its caller left, or it takes long) is followed by another one. */
const trialMs = 1000;

export function createOutlierDetector(events: OutlierEvents): OutlierDetector {
  return {
    sent(candidate, now) {
      if (candidate.state === "in") return;
      if (now < candidate.ejectedUntil) {
        if (candidate.state === "out") candidate.state = "called";
        return;
      }
      candidate.state = "trial";
      candidate.ejectedUntil = now + trialMs;
    },

    succeeded(candidate, now) {
      candidate.failures = 0;
      // What a call says that began before the ejection is old news.
      if (candidate.state === "in" || candidate.state === "out") return;
      candidate.state = "in";
      candidate.ejectedUntil = 0;
      candidate.returnedAt = now;
    },

    failed(candidate, among, settings, now) {
      const { consecutiveFailures, maxEjectionPercent } = settings;
      candidate.failures++;
      if (candidate.state === "out" || candidate.state === "called") return;
      if (candidate.state === "in") {
        if (consecutiveFailures === 0 || candidate.failures < consecutiveFailures || among.length < 2) return;
        if (!mayEjectOneMore(among, maxEjectionPercent)) {
          // It gets another row of failures before this is looked at again.
          candidate.failures = 0;
          events.spared(candidate);
          return;
        }
      }
      const base = settings.baseEjectionSeconds * 1000;
      candidate.ejections = candidate.state === "trial" ? candidate.ejections + 1 : forgiven(candidate, base, now) + 1;
      const milliseconds = Math.min(base * candidate.ejections, Math.max(base, longestEjectionMs));
      candidate.state = "out";
      candidate.failures = 0;
      candidate.ejectedUntil = now + milliseconds;
      events.ejected(candidate, milliseconds);
    },
  };
}

/** Past ejections, less one for every base period of good conduct since. */
function forgiven(candidate: Candidate, base: number, now: number): number {
  if (base === 0) return 0;
  return Math.max(0, candidate.ejections - Math.floor((now - candidate.returnedAt) / base));
}

function mayEjectOneMore(among: readonly Candidate[], percent: number): boolean {
  return countEjected(among) + 1 <= Math.max(1, Math.floor((among.length * percent) / 100));
}

/** How many are out, or back on trial only. */
export function countEjected(candidates: readonly Candidate[]): number {
  let ejected = 0;
  for (const candidate of candidates) if (candidate.state !== "in") ejected++;
  return ejected;
}
