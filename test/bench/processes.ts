/**
 * The processes of a benchmark: each is started here, watched for an early end, and ended here by its process id with
 * everything that it started, whether the benchmark finishes, fails or is interrupted.
 */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { processTree } from "./cpu.ts";
import { BenchError } from "./errors.ts";

/** A process that is to run until the benchmark is over. */
export interface Running {
  readonly name: string;
  readonly pid: number;
  /** Aborted with a BenchError that tells the last lines of its output once the process has ended. */
  readonly ended: AbortSignal;
  /** The first line of its standard output that `read` makes something of. Rejects when it ends before, or at the deadline. */
  line<T>(read: (line: string) => T | undefined): Promise<T>;
  /** Resolves to its exit code, or to the name of the signal that ended it. */
  stop(signal: "SIGTERM" | "SIGKILL"): Promise<number | string>;
}

export interface Processes extends AsyncDisposable {
  start(
    name: string,
    command: string,
    args: readonly string[],
    env?: Readonly<Record<string, string>>,
    /** Is given every line of its standard output. */
    onLine?: (line: string) => void,
  ): Running;
  /** Something that the processes need, to be ended after them. */
  use(resource: AsyncDisposable): void;
}

const startMs = 20_000;
const stopMs = 10_000;
const keptLines = 15;

function killTree(pid: number): void {
  for (const member of processTree(pid)) {
    try {
      process.kill(member, "SIGKILL");
    } catch {
      // It ended by itself since the tree was read.
    }
  }
}

/** Rejects with the reason once `signal` is aborted; the listener goes with `scope`. */
function rejection(signal: AbortSignal, scope: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason as Error);
    signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true, signal: scope });
  });
}

export function createProcesses(signal: AbortSignal): Processes {
  const living = new Map<number, { readonly running: Running; readonly stop: () => void }>();
  const used = new AsyncDisposableStack();
  const killAll = () => {
    for (const pid of living.keys()) killTree(pid);
  };
  // The last resort, for an exit that nobody awaited.
  process.on("exit", killAll);

  return {
    start(name, command, args, env = {}, onLine) {
      signal.throwIfAborted();
      const ended = new AbortController();
      const tail: string[] = [];
      const readers = new Set<(line: string) => void>(onLine === undefined ? [] : [onLine]);
      const exited = Promise.withResolvers<number | string>();
      // A group of its own: Ctrl-C in a terminal must reach it through us, after the measuring has stopped.
      const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"], detached: true });
      const keep = (line: string) => {
        tail.push(line);
        if (tail.length > keptLines) tail.shift();
      };
      createInterface(child.stderr).on("line", keep);
      createInterface(child.stdout).on("line", (line) => {
        keep(line);
        for (const reader of readers) reader(line);
      });
      const fail = (how: string) => {
        const said = tail.length === 0 ? " and said nothing" : `:\n  ${tail.join("\n  ")}`;
        ended.abort(new BenchError("process-failed", `${name} ${how}${said}`));
      };
      const { pid } = child;
      child.on("error", (error) => fail(`could not be started (${error.message})`));
      child.on("close", (code, killedBy) => {
        if (pid !== undefined) living.delete(pid);
        fail(`ended with ${killedBy ?? `exit code ${code}`}`);
        exited.resolve(killedBy ?? code ?? 0);
      });
      if (pid === undefined) throw new BenchError("process-failed", `${name}: ${command} could not be started`);

      const running: Running = {
        name,
        pid,
        ended: ended.signal,
        async line<T>(read: (line: string) => T | undefined): Promise<T> {
          const scope = new AbortController();
          const limit = AbortSignal.timeout(startMs);
          const found = Promise.withResolvers<T>();
          const reader = (line: string) => {
            const value = read(line);
            if (value !== undefined) found.resolve(value);
          };
          readers.add(reader);
          try {
            return await Promise.race([found.promise, rejection(AbortSignal.any([signal, ended.signal, limit]), scope.signal)]);
          } catch (error) {
            if (!limit.aborted || ended.signal.aborted) throw error;
            throw new BenchError("process-failed", `${name} was not ready after ${startMs / 1000} s:\n  ${tail.join("\n  ")}`);
          } finally {
            readers.delete(reader);
            scope.abort();
          }
        },
        stop(how) {
          child.kill(how);
          return exited.promise;
        },
      };
      living.set(pid, { running, stop: () => child.kill("SIGTERM") });
      return running;
    },

    use: (resource) => void used.use(resource),

    async [Symbol.asyncDispose]() {
      const scope = new AbortController();
      const all = [...living.values()].map(async ({ running, stop }) => {
        const gone = rejection(running.ended, scope.signal).catch(() => undefined);
        stop();
        await Promise.race([gone, delay(stopMs, undefined, { signal: scope.signal }).catch(() => undefined)]);
      });
      await Promise.all(all);
      scope.abort();
      killAll();
      process.off("exit", killAll);
      await used.disposeAsync();
    },
  };
}
