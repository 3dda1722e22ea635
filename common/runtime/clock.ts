/** Time as the program sees it, injected so that tests can move it. */
export interface Clock {
  /** Milliseconds since 1970, by the wall clock. */
  readonly now: () => number;
  /** Calls `callback` once after that many milliseconds (at most 2^31 - 1), unless cancelled. Does not keep the process alive. */
  readonly schedule: (milliseconds: number, callback: () => void) => CancelTimer;
}

export type CancelTimer = () => void;

export const systemClock: Clock = {
  now: Date.now,
  schedule(milliseconds, callback) {
    const timer = setTimeout(callback, milliseconds);
    timer.unref();
    return () => {
      clearTimeout(timer);
    };
  },
};

/** Resolves after that long; rejects with the signal's reason when it aborts first. */
export async function wait(clock: Clock, milliseconds: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const cancel = clock.schedule(milliseconds, resolve);
  const onAbort = () => {
    reject(signal.reason as Error);
  };
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    await promise;
  } finally {
    cancel();
    signal.removeEventListener("abort", onAbort);
  }
}
