import { describe, expect, it } from "vitest";
import { createProgressWatch, type ProgressWatch } from "../../sidecar/progress-watch.ts";

interface Watched {
  readonly watch: ProgressWatch;
  /** What is under way. */
  mark: number;
  late: number;
  /** Timers that run. */
  running: number;
  pass(): void;
}

function watched(limit = 100): Watched {
  let due: (() => void) | undefined;
  const made: Watched = {
    mark: 0,
    late: 0,
    running: 0,
    watch: createProgressWatch({
      limit,
      mark: () => made.mark,
      onLate: () => void made.late++,
      schedule(task, ms) {
        expect(ms).toBe(limit);
        expect(due).toBeUndefined();
        made.running++;
        due = task;
        return () => {
          made.running--;
          due = undefined;
        };
      },
    }),
    pass() {
      const task = due;
      due = undefined;
      if (task !== undefined) made.running--;
      task?.();
    },
  };
  return made;
}

describe("a progress watch", () => {
  it("has no timer while nothing is under way", () => {
    const idle = watched();
    idle.watch.touch();
    expect(idle.running).toBe(0);
  });

  it("has one timer however often it is touched", () => {
    const busy = watched();
    busy.mark = 1;
    for (let i = 0; i < 5; i++) busy.watch.touch();
    expect(busy.running).toBe(1);
  });

  it("finds what is still the same when the time is over", () => {
    const slow = watched();
    slow.mark = 7;
    slow.watch.touch();
    slow.pass();
    expect([slow.late, slow.running]).toEqual([1, 0]);
    slow.mark = 8;
    slow.watch.touch();
    expect([slow.late, slow.running]).toEqual([1, 0]);
  });

  it("gives each thing its own time", () => {
    const steady = watched();
    for (steady.mark = 1; steady.mark < 10; steady.mark++) {
      steady.watch.touch();
      steady.mark++;
      steady.pass();
      expect([steady.late, steady.running]).toEqual([0, 1]);
    }
    steady.mark = 0;
    steady.pass();
    expect([steady.late, steady.running]).toEqual([0, 0]);
  });

  it("ends when it is cancelled, and can begin again", () => {
    const ended = watched();
    ended.mark = 1;
    ended.watch.touch();
    ended.watch.cancel();
    ended.watch.cancel();
    expect(ended.running).toBe(0);
    ended.watch.touch();
    expect(ended.running).toBe(1);
  });

  it("never runs without a limit", () => {
    const free = watched(0);
    free.mark = 1;
    free.watch.touch();
    expect(free.running).toBe(0);
  });
});
