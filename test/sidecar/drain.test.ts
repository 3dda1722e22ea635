/** A sidecar's leave: how long it waits for its callers. What it does to calls is in test/mesh/drain.test.ts. */
import { beforeEach, expect, test } from "vitest";
import { takeLeave, type LeaveOptions } from "../../sidecar/drain.ts";
import { createFakeClock, type FakeClock } from "../fakes/clock.ts";

let clock: FakeClock;
let began: number;
beforeEach(() => {
  clock = createFakeClock();
  began = clock.now();
});

/** Milliseconds that it takes. `vacant`: when the last caller has gone. */
async function leaveOf(change: Partial<LeaveOptions>, vacant = 0): Promise<number> {
  const options: LeaveOptions = {
    inbound: {
      listener: {
        vacant: (deadlineMs) =>
          new Promise((resolve) => void clock.schedule(Math.min(deadlineMs, Math.max(0, began + vacant - clock.now())), resolve)),
      },
    },
    serves: true,
    listed: () => false,
    deadlineMs: 20_000,
    clock,
    ...change,
  };
  const over = Symbol("over");
  const leave = takeLeave(options).then(() => over);
  for (;;) {
    const turn = new Promise((resolve) => void setImmediate(resolve));
    if ((await Promise.race([leave, turn])) === over) return clock.now() - began;
    clock.advance(10);
  }
}

/** The clock goes in steps of ten. */
const about = (milliseconds: number) => [milliseconds, milliseconds + 10, milliseconds + 20, milliseconds + 30];

test("who serves nothing need not wait", async () => {
  expect(await leaveOf({ serves: false })).toBeLessThan(20);
});

test("others get half a second to hear of it, and then until they have gone", async () => {
  expect(about(500)).toContain(await leaveOf({}));
  began = clock.now();
  expect(about(3000)).toContain(await leaveOf({}, 3000));
});

test("the half second begins when this instance is taken off the list", async () => {
  expect(about(1500)).toContain(await leaveOf({ listed: () => clock.now() < began + 1000 }));
});

test("an instance that stays listed, and a caller that stays, are waited for up to their limits", async () => {
  expect(about(2500)).toContain(await leaveOf({ listed: () => true }));
  began = clock.now();
  expect(about(5000)).toContain(await leaveOf({ listed: () => true }, 60_000));
});

test("a short deadline makes all of it shorter", async () => {
  expect(about(1000)).toContain(await leaveOf({ deadlineMs: 4000, listed: () => true }, 60_000));
});
