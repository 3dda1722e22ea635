import { expect, test } from "vitest";
import { createBackoff } from "../../../common/runtime/backoff.ts";
import { createFakeClock } from "../../fakes/clock.ts";

test("waits are uniform below a doubling, capped ceiling, and short again after a reset", async () => {
  const clock = createFakeClock(0);
  const waits: number[] = [];
  const recording = {
    ...clock,
    schedule(milliseconds: number, callback: () => void) {
      waits.push(milliseconds);
      queueMicrotask(callback);
      return () => {};
    },
  };
  const backoff = createBackoff({ baseMilliseconds: 100, maximumMilliseconds: 1000, clock: recording, random: () => 0.5 });
  const { signal } = new AbortController();
  for (let attempt = 0; attempt < 6; attempt++) await backoff.wait(signal);
  backoff.reset();
  await backoff.wait(signal);
  expect(waits).toEqual([50, 100, 200, 400, 500, 500, 50]);
});

test("an abort ends the wait and its timer", async () => {
  const clock = createFakeClock();
  const controller = new AbortController();
  const waiting = createBackoff({ baseMilliseconds: 100, maximumMilliseconds: 100, clock, random: () => 1 }).wait(controller.signal);
  const reason = new Error("stop");
  controller.abort(reason);
  await expect(waiting).rejects.toBe(reason);
  expect(clock.pendingTimers()).toBe(0);
});
