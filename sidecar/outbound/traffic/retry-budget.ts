/**
 * How many retries a destination bears: a share of its requests over the last ten seconds, but always some, so that a quiet
 * caller may retry too (Finagle's and Linkerd's retry budget). Retries by count alone would double or triple the load of a
 * service at the moment when it fails under load.
 *
 * Hot path: a request costs a comparison and an addition.
 */

export interface RetryBudget {
  /** A first try. `now` is monotonic ms and never goes back by more than a second. */
  request(now: number): void;
  /** Takes one retry out of the budget; false when there is none left. */
  retry(now: number, percent: number): boolean;
}

export const windowSeconds = 10;
/** Retries a second that are granted whatever the number of requests. */
export const leastPerSecond = 10;

export function createRetryBudget(): RetryBudget {
  const requests = new Float64Array(windowSeconds);
  const retries = new Float64Array(windowSeconds);
  let second = 0;
  let place = 0;

  /** Makes the place of the present second the current one; those of seconds that were skipped are emptied. */
  function turn(now: number): void {
    const current = Math.floor(now / 1000);
    if (current <= second) return;
    for (let passed = Math.min(current - second, windowSeconds); passed > 0; passed--) {
      place = (place + 1) % windowSeconds;
      requests[place] = 0;
      retries[place] = 0;
    }
    second = current;
  }

  return {
    request(now) {
      turn(now);
      requests[place]!++;
    },
    retry(now, percent) {
      turn(now);
      const granted = Math.max(leastPerSecond * windowSeconds, (sum(requests) * percent) / 100);
      if (sum(retries) + 1 > granted) return false;
      retries[place]!++;
      return true;
    },
  };
}

function sum(counts: Float64Array): number {
  let total = 0;
  for (const count of counts) total += count;
  return total;
}
