/**
 * Ends a process well: the first SIGTERM, SIGINT or SIGHUP aborts the program's signal, upon which it stops accepting and
 * finishes what it has; the deadline, or a second signal, forces the end.
 *
 * A Ctrl-C under npm comes twice, from the terminal and from npm, which passes it on: what follows a signal at once is no
 * second one.
 */
import { systemClock } from "./clock.ts";
import type { Clock } from "./clock.ts";

/** A supervisor's, a Ctrl-C, a terminal that was closed. */
const stopSignals = ["SIGTERM", "SIGINT", "SIGHUP"] as const;
type StopSignal = (typeof stopSignals)[number];

/** What of `process` is needed. */
export interface ProcessSignals {
  on(event: StopSignal, listener: () => void): unknown;
  off(event: StopSignal, listener: () => void): unknown;
}

export class ShutdownError extends Error {
  override readonly name = "ShutdownError";
  readonly code: "drain-deadline" | "second-signal";

  constructor(code: "drain-deadline" | "second-signal", message: string) {
    super(message);
    this.code = code;
  }
}

/** A person needs longer than this to ask again. */
const sameSignalMilliseconds = 500;

/**
 * Runs `program` until it settles. Resolves or rejects as it does, except that one that ends with its signal's reason has done
 * what it was told, and that after a signal it rejects with a ShutdownError when the program is not done within `drainMilliseconds` or a second signal comes: the caller should then
 * exit without waiting for anything.
 */
export async function runUntilSignalled(
  program: (signal: AbortSignal) => Promise<void>,
  options: { readonly drainMilliseconds: number; readonly process?: ProcessSignals; readonly clock?: Clock },
): Promise<void> {
  const { drainMilliseconds, process: signals = process, clock = systemClock } = options;
  const controller = new AbortController();
  const { promise: forced, reject: force } = Promise.withResolvers<never>();
  let cancelDeadline: (() => void) | undefined;
  let signalledAt = 0;
  const onSignal = () => {
    if (controller.signal.aborted) {
      if (clock.now() - signalledAt < sameSignalMilliseconds) return;
      force(new ShutdownError("second-signal", "stopped by a second signal before the shutdown was complete"));
      return;
    }
    signalledAt = clock.now();
    cancelDeadline = clock.schedule(drainMilliseconds, () => {
      force(new ShutdownError("drain-deadline", `not shut down within ${drainMilliseconds} ms`));
    });
    controller.abort(new Error("the process was told to stop"));
  };
  for (const signal of stopSignals) signals.on(signal, onSignal);
  try {
    await Promise.race([program(controller.signal), forced]);
  } catch (error) {
    if (!controller.signal.aborted || error !== controller.signal.reason) throw error;
  } finally {
    cancelDeadline?.();
    for (const signal of stopSignals) signals.off(signal, onSignal);
  }
}
