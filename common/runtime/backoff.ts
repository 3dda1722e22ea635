/**
 * Exponential backoff with full jitter: the n-th wait is uniform between 0 and min(maximum, base * 2^n), so that callers
 * that failed together do not come back together.
 */
import { wait } from "./clock.ts";
import type { Clock } from "./clock.ts";

export interface BackoffOptions {
  readonly baseMilliseconds: number;
  readonly maximumMilliseconds: number;
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

export interface Backoff {
  /** Waits longer each time, on average; rejects with the signal's reason when it aborts. */
  readonly wait: (signal: AbortSignal) => Promise<void>;
  /** The next wait is short again. */
  readonly reset: () => void;
}

export function createBackoff(options: BackoffOptions): Backoff {
  let attempt = 0;
  return {
    async wait(signal) {
      const ceiling = Math.min(options.maximumMilliseconds, options.baseMilliseconds * 2 ** attempt);
      attempt = Math.min(attempt + 1, 30);
      await wait(options.clock, options.random() * ceiling, signal);
    },
    reset() {
      attempt = 0;
    },
  };
}
