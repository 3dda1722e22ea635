/**
 * Power of two choices on the calls in flight: of two endpoints drawn at random the less busy one, which keeps load even
 * without anybody's global view. Those that were ejected or failed to connect a moment ago are left out while there is
 * another; when all are, all are called, because a guess about health must not become an outage.
 *
 * Hot path: nothing is allocated, and while both that are drawn are healthy nobody looks at the others.
 */
import { isHealthy, type Candidate, type Reachable } from "./candidate.ts";

/** What a call has tried before its first failure. */
export const noneTried: readonly never[] = [];

/**
 * One that is not among `tried`, or undefined where there is none. `now` is monotonic ms; `random` gives numbers from 0 up to
 * but without 1.
 */
export function pickCandidate<E extends Reachable>(
  candidates: readonly Candidate<E>[],
  now: number,
  random: () => number,
  tried: readonly Candidate[],
): Candidate<E> | undefined {
  const count = candidates.length;
  if (count === 1) return tried.length === 0 ? candidates[0] : untriedOne(candidates, tried);
  if (count > 1 && tried.length === 0) {
    const place = Math.floor(random() * count);
    const first = candidates[place]!;
    const second = candidates[otherPlace(place, count, random)]!;
    if (isHealthy(first, now) && isHealthy(second, now)) return lessBusy(first, second);
  }
  return pickAmongSome(candidates, now, random, tried);
}

function untriedOne<E extends Reachable>(candidates: readonly Candidate<E>[], tried: readonly Candidate[]): Candidate<E> | undefined {
  const [only] = candidates;
  return only && !tried.includes(only) ? only : undefined;
}

/** Any place but `place`, each as likely as the next. */
function otherPlace(place: number, count: number, random: () => number): number {
  const other = Math.floor(random() * (count - 1));
  return other < place ? other : other + 1;
}

function lessBusy<E extends Reachable>(first: Candidate<E>, second: Candidate<E>): Candidate<E> {
  return second.endpoint.inFlight < first.endpoint.inFlight ? second : first;
}

/** The same among those that qualify: the healthy ones that were not tried, or all that were not. */
function pickAmongSome<E extends Reachable>(
  candidates: readonly Candidate<E>[],
  now: number,
  random: () => number,
  tried: readonly Candidate[],
): Candidate<E> | undefined {
  let healthy = 0;
  let untried = 0;
  for (const candidate of candidates) {
    if (tried.includes(candidate)) continue;
    untried++;
    if (isHealthy(candidate, now)) healthy++;
  }
  const onlyHealthy = healthy > 0;
  const count = onlyHealthy ? healthy : untried;
  if (count === 0) return undefined;

  const nth = (wanted: number): Candidate<E> => {
    let place = 0;
    for (const candidate of candidates) {
      if (tried.includes(candidate) || (onlyHealthy && !isHealthy(candidate, now))) continue;
      if (place++ === wanted) return candidate;
    }
    throw new RangeError(`no place ${wanted} among ${count}`);
  };
  const place = Math.floor(random() * count);
  const first = nth(place);
  return count === 1 ? first : lessBusy(first, nth(otherPlace(place, count, random)));
}
