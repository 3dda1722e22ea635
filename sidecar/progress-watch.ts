/**
 * Finds what stays unfinished for too long, without a timer for each thing that begins: a mark says what is under way, and
 * when the time is over and the mark is still the same, it is late. Whoever makes marks calls `touch` when one may have begun.
 */

/** Runs `task` after `ms`; the answer cancels it. */
export type Schedule = (task: () => void, ms: number) => () => void;

/** Timers that do not keep the process alive. */
export const backgroundTimers: Schedule = (task, ms) => {
  const timer = setTimeout(task, ms);
  timer.unref();
  return () => clearTimeout(timer);
};

export interface ProgressWatch {
  /** Hot path: something may be under way. Does nothing while the watch runs. */
  touch(): void;
  cancel(): void;
}

export interface ProgressWatchOptions {
  /** Nothing may take longer, ms; it is found between this time and twice as much after it began. 0 for any time. */
  readonly limit: number;
  readonly schedule: Schedule;
  /** What is under way: 0 for nothing, another number for each thing. */
  readonly mark: () => number;
  /** Called once, when something is late; nothing is watched any more then. */
  readonly onLate: () => void;
}

export function createProgressWatch({ limit, schedule, mark, onLate }: ProgressWatchOptions): ProgressWatch {
  let cancelTimer: (() => void) | undefined;
  let over = false;

  function touch(): void {
    if (cancelTimer !== undefined || limit === 0 || over) return;
    const begun = mark();
    if (begun === 0) return;
    cancelTimer = schedule(() => {
      cancelTimer = undefined;
      over = mark() === begun;
      if (over) onLate();
      else touch();
    }, limit);
  }

  return {
    touch,
    cancel() {
      cancelTimer?.();
      cancelTimer = undefined;
    },
  };
}
