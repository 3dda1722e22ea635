import { EventEmitter } from "node:events";
import { expect, test } from "vitest";
import { runUntilSignalled } from "../../../common/runtime/shutdown.ts";
import { untilAborted } from "../../../common/runtime/tasks.ts";
import { createFakeClock } from "../../fakes/clock.ts";

const start = (program: (signal: AbortSignal) => Promise<void>) => {
  const signals = new EventEmitter();
  const clock = createFakeClock();
  const done = runUntilSignalled(program, { drainMilliseconds: 1000, process: signals, clock });
  return { signals, clock, done };
};

test.each(["SIGTERM", "SIGINT"])("%s aborts, and the program drains", async (name) => {
  const { signals, clock, done } = start(untilAborted);
  signals.emit(name);
  await expect(done).resolves.toBeUndefined();
  expect(clock.pendingTimers()).toBe(0);
  expect(signals.listenerCount("SIGTERM") + signals.listenerCount("SIGINT")).toBe(0);
});

test("the deadline forces the end", async () => {
  const { signals, clock, done } = start(() => new Promise(() => {}));
  signals.emit("SIGTERM");
  clock.advance(1000);
  await expect(done).rejects.toMatchObject({ code: "drain-deadline" });
});

test("a second signal forces the end", async () => {
  const { signals, clock, done } = start(() => new Promise(() => {}));
  signals.emit("SIGINT");
  clock.advance(500);
  signals.emit("SIGINT");
  await expect(done).rejects.toMatchObject({ code: "second-signal" });
});

test("the same signal again at once, as npm passes it on, is no second one", async () => {
  const { signals, clock, done } = start(untilAborted);
  signals.emit("SIGINT");
  clock.advance(499);
  signals.emit("SIGINT");
  await expect(done).resolves.toBeUndefined();
});

test("a program that ends with the reason of its signal has done what it was told", async () => {
  const { signals, done } = start(async (signal) => {
    await untilAborted(signal);
    signal.throwIfAborted();
  });
  signals.emit("SIGTERM");
  await expect(done).resolves.toBeUndefined();
});

test("another failure while stopping is passed on", async () => {
  const { signals, done } = start(async (signal) => {
    await untilAborted(signal);
    throw new Error("disk full");
  });
  signals.emit("SIGTERM");
  await expect(done).rejects.toThrow("disk full");
});

test("a failure of the program is passed on", async () => {
  const { done } = start(() => Promise.reject(new Error("no disk")));
  await expect(done).rejects.toThrow("no disk");
});
