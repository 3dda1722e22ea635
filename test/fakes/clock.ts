/** A clock that stands still until a test moves it. Timers fire in order of their time while it moves. */
import type { Clock } from "../../common/runtime/clock.ts";

export interface FakeClock extends Clock {
  readonly advance: (milliseconds: number) => void;
  /** Jumps without firing what lies between, as after a suspend; timers fire on the next `advance`. */
  readonly jump: (milliseconds: number) => void;
  readonly pendingTimers: () => number;
}

export function createFakeClock(start = Date.UTC(2026, 0, 15, 12)): FakeClock {
  let now = start;
  const timers = new Set<{ readonly at: number; readonly callback: () => void }>();
  return {
    now: () => now,
    schedule(milliseconds, callback) {
      const timer = { at: now + milliseconds, callback };
      timers.add(timer);
      return () => {
        timers.delete(timer);
      };
    },
    advance(milliseconds) {
      const end = now + milliseconds;
      for (;;) {
        const due = [...timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
        if (due === undefined) break;
        timers.delete(due);
        now = Math.max(now, due.at);
        due.callback();
      }
      now = end;
    },
    jump(milliseconds) {
      now += milliseconds;
    },
    pendingTimers: () => timers.size,
  };
}
