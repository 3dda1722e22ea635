/** What fails again and again is worth a line when it changes, and one now and then while it does not. */
import type { Logger } from "pino";
import type { Clock } from "../../common/runtime/clock.ts";

/** Logs `problem` as a warning, unless the last one logged was the same and less than `everyMs` ago. */
export function createSeldomWarning(log: Logger, clock: Pick<Clock, "now">, everyMs: number): (problem: unknown, message: string) => void {
  let last = "";
  let lastAt = 0;
  return (problem, message) => {
    const text = `${message}: ${String(problem)}`;
    if (text === last && clock.now() - lastAt < everyMs) return;
    last = text;
    lastAt = clock.now();
    log.warn({ err: problem }, message);
  };
}
