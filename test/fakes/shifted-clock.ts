/**
 * The real clock, set back or ahead by as much as a test says. Timers fire when their time has come by it: moving it on brings
 * due what lies between. For code that shares a wall clock with something that cannot be moved, OpenSSL above all.
 */
import type { Clock } from "../../common/runtime/clock.ts";

export interface ShiftedClock extends Clock {
  /** Moves on by that many milliseconds; what is due then is called, in order of its time. */
  readonly advance: (milliseconds: number) => void;
}

interface Timer {
  readonly at: number;
  readonly callback: () => void;
  cancel: () => void;
}

export function createShiftedClock(offset: number): ShiftedClock {
  let shift = offset;
  const timers = new Set<Timer>();
  const now = () => Date.now() + shift;

  function arm(timer: Timer): void {
    const handle = setTimeout(
      () => {
        timers.delete(timer);
        timer.callback();
      },
      Math.max(0, timer.at - now()),
    );
    handle.unref();
    timer.cancel = () => clearTimeout(handle);
  }

  return {
    now,
    schedule(milliseconds, callback) {
      const timer: Timer = { at: now() + milliseconds, callback, cancel: () => undefined };
      timers.add(timer);
      arm(timer);
      return () => {
        timer.cancel();
        timers.delete(timer);
      };
    },
    advance(milliseconds) {
      shift += milliseconds;
      for (const timer of [...timers].sort((a, b) => a.at - b.at)) {
        timer.cancel();
        arm(timer);
      }
    },
  };
}
