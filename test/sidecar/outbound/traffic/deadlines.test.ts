/** Time-outs by list: each in its time, none twice, and with hardly a timer. */
import { array, assert, constantFrom, integer, property, record } from "fast-check";
import { beforeEach, describe, expect, test } from "vitest";
import { createDeadlines, type Deadlines, type Timed } from "../../../../sidecar/outbound/traffic/deadlines.ts";
import { createFakeClock, type FakeClock } from "../../../fakes/clock.ts";

interface Entry extends Timed {
  readonly name: string;
}
const entry = (name: string): Entry => ({ name, timedBefore: undefined, timedAfter: undefined, deadline: 0 });

let clock: FakeClock;
let expired: { name: string; at: number }[];
let scheduled: number;
let deadlines: Deadlines<Entry>;
let began: number;
beforeEach(() => {
  clock = createFakeClock();
  began = clock.now();
  expired = [];
  scheduled = 0;
  deadlines = createDeadlines<Entry>({
    monotonic: clock.now,
    schedule(milliseconds, callback) {
      scheduled++;
      return clock.schedule(milliseconds, callback);
    },
    onExpired: ({ name }) => expired.push({ name, at: clock.now() - began }),
  });
});
const start = (name: string, timeoutMs: number): Entry => {
  const one = entry(name);
  deadlines.start(one, timeoutMs, clock.now());
  return one;
};

describe("a time-out", () => {
  test("comes when it is due and not before, once", () => {
    start("a", 100);
    clock.advance(99);
    expect(expired).toEqual([]);
    clock.advance(1);
    expect(expired).toEqual([{ name: "a", at: 100 }]);
    clock.advance(1000);
    expect(expired).toHaveLength(1);
    expect(clock.pendingTimers()).toBe(0);
  });

  test("that is stopped does not come; stopping twice, or after it came, is nothing", () => {
    const [a, b, c] = [start("a", 100), start("b", 100), start("c", 100)];
    deadlines.stop(b);
    deadlines.stop(b);
    clock.advance(100);
    deadlines.stop(a);
    deadlines.stop(c);
    expect(expired.map(({ name }) => name)).toEqual(["a", "c"]);
    deadlines.stop(entry("never started"));
  });

  test("of each length is kept for itself", () => {
    start("long", 1000);
    start("short", 10);
    clock.advance(5);
    start("between", 100);
    clock.advance(2000);
    expect(expired).toEqual([
      { name: "short", at: 10 },
      { name: "between", at: 105 },
      { name: "long", at: 1000 },
    ]);
  });

  test("can begin anew when it has come", () => {
    const again: Deadlines<Entry> = createDeadlines<Entry>({
      monotonic: clock.now,
      schedule: clock.schedule,
      onExpired(one) {
        expired.push({ name: one.name, at: clock.now() - began });
        if (expired.length < 3) again.start(one, 100, clock.now());
      },
    });
    again.start(entry("a"), 100, clock.now());
    clock.advance(1000);
    expect(expired.map(({ at }) => at)).toEqual([100, 200, 300]);
    expect(clock.pendingTimers()).toBe(0);
  });

  test("in a fraction of a millisecond is waited for to its end", () => {
    let now = 0.4;
    const waits: number[] = [];
    const fire: (() => void)[] = [];
    const fine = createDeadlines<Entry>({
      monotonic: () => now,
      schedule(milliseconds, callback) {
        waits.push(milliseconds);
        fire.push(callback);
        return () => undefined;
      },
      onExpired: ({ name }) => expired.push({ name, at: now }),
    });
    fine.start(entry("a"), 100, now);
    // A timer of Node's may be early by its rounding.
    now = 100.3;
    fire.pop()?.();
    expect(expired).toEqual([]);
    now = 101.3;
    fire.pop()?.();
    expect(waits).toEqual([100, 1]);
    expect(expired).toEqual([{ name: "a", at: 101.3 }]);
  });
});

test("a thousand calls a second cost a timer a time-out, and leave none behind", () => {
  const ms = 500;
  for (let call = 0; call < 10_000; call++) {
    const one = start("call", ms);
    clock.advance(1);
    deadlines.stop(one);
  }
  expect(expired).toEqual([]);
  expect(scheduled).toBeLessThanOrEqual(21);
  clock.advance(ms);
  expect(clock.pendingTimers()).toBe(0);
});

test("whatever is started and stopped, each that was not stopped in time comes, and at its time", () => {
  const step = record({
    what: constantFrom("start", "start", "stop", "advance"),
    which: integer({ min: 0, max: 30 }),
    timeoutMs: constantFrom(10, 50, 200),
    by: integer({ min: 0, max: 60 }),
  });
  const right = property(array(step, { maxLength: 120 }), (steps) => {
    expired = [];
    const from = clock.now() - began;
    const running = new Map<Entry, number>();
    const all: Entry[] = [];
    const due: { name: string; at: number }[] = [];
    const settle = (until: number) => {
      for (const [one, at] of running) {
        if (at > until) continue;
        running.delete(one);
        due.push({ name: one.name, at });
      }
    };
    for (const { what, which, timeoutMs, by } of steps) {
      if (what === "start") {
        all.push(start(String(all.length), timeoutMs));
        running.set(all.at(-1)!, clock.now() - began + timeoutMs);
      } else if (what === "stop") {
        const one = all[which];
        if (one) {
          deadlines.stop(one);
          running.delete(one);
        }
      } else {
        clock.advance(by);
        settle(clock.now() - began);
      }
    }
    clock.advance(200);
    settle(Number.POSITIVE_INFINITY);
    const sorted = (list: typeof due) => list.toSorted((a, b) => a.at - b.at || Number(a.name) - Number(b.name));
    expect(sorted(expired)).toEqual(sorted(due));
    return expired.every(({ at }) => at >= from) && clock.pendingTimers() === 0;
  });
  expect(() => assert(right)).not.toThrow();
});
