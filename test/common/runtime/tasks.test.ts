import { expect, test } from "vitest";
import { runTasks, untilAborted } from "../../../common/runtime/tasks.ts";
import type { TaskError } from "../../../common/runtime/tasks.ts";

test("the first failure cancels the rest with its cause, and all are waited for", async () => {
  const events: string[] = [];
  const failure = new Error("port taken");
  const run = runTasks(
    [
      {
        name: "steady",
        run: async (signal) => {
          await untilAborted(signal);
          events.push(`steady cancelled by ${(signal.reason as TaskError).task}`);
          await Promise.resolve();
          events.push("steady cleaned up");
        },
      },
      { name: "failing", run: () => Promise.reject(failure) },
    ],
    new AbortController().signal,
  );
  await expect(run).rejects.toMatchObject({ code: "task-failed", task: "failing", message: "failing: port taken", cause: failure });
  expect(events).toEqual(["steady cancelled by failing", "steady cleaned up"]);
});

test("an abort ends every task and is no failure", async () => {
  const controller = new AbortController();
  const rejecting = async (signal: AbortSignal) => {
    await untilAborted(signal);
    signal.throwIfAborted();
  };
  const run = runTasks(
    [
      { name: "a", run: rejecting },
      { name: "b", run: untilAborted },
    ],
    controller.signal,
  );
  controller.abort(new Error("stop"));
  await expect(run).resolves.toBeUndefined();
});

test("a failure while stopping is still a failure", async () => {
  const controller = new AbortController();
  const run = runTasks(
    [
      {
        name: "a",
        run: async (signal) => {
          await untilAborted(signal);
          throw new Error("could not flush");
        },
      },
    ],
    controller.signal,
  );
  controller.abort(new Error("stop"));
  await expect(run).rejects.toThrow("a: could not flush");
});
