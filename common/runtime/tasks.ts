/**
 * Runs the long-lived parts of a program together. The first that fails cancels the others, and its failure is the
 * program's; none is left running.
 */

export interface Task {
  readonly name: string;
  /** Runs until done, or until the signal aborts: then it cleans up and settles. */
  readonly run: (signal: AbortSignal) => Promise<void>;
}

export class TaskError extends Error {
  override readonly name = "TaskError";
  readonly code = "task-failed";
  readonly task: string;

  constructor(task: string, cause: unknown) {
    super(`${task}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    this.task = task;
  }
}

/**
 * Settles when every task has: resolves when all were done or `signal` aborted and all cleaned up; rejects with the
 * TaskError of the first task that failed. A rejection with the abort reason after an abort is not a failure.
 */
export async function runTasks(tasks: readonly Task[], signal: AbortSignal): Promise<void> {
  const controller = new AbortController();
  const combined = AbortSignal.any([signal, controller.signal]);
  let failure: TaskError | undefined;
  await Promise.all(
    tasks.map(async ({ name, run }) => {
      try {
        await run(combined);
      } catch (error) {
        if (combined.aborted && error === combined.reason) return;
        failure ??= new TaskError(name, error);
        controller.abort(failure);
      }
    }),
  );
  if (failure !== undefined) throw failure;
}

/** Resolves when the signal aborts. */
export async function untilAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  signal.addEventListener(
    "abort",
    () => {
      resolve();
    },
    { once: true },
  );
  await promise;
}
