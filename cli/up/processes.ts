/** The programs of a mesh as child processes: their output by the line, their end awaited, their signals forwarded. */
import { spawn, type ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";

export interface Exit {
  /** Undefined where a signal ended it. */
  readonly code: number | undefined;
  readonly signal: NodeJS.Signals | undefined;
}

export interface RunningProcess {
  readonly name: string;
  readonly pid: number | undefined;
  readonly exited: Promise<Exit>;
  /** SIGTERM, then SIGKILL after the deadline. Resolves when it has ended. */
  stop(deadlineMs: number): Promise<Exit>;
}

export interface ProcessOptions {
  readonly name: string;
  /** A text is given to the shell; a list is run as it is. */
  readonly command: string | readonly string[];
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly onLine: (line: string, stream: "stdout" | "stderr") => void;
}

/** Children that have not ended. Whatever ends this process (an error, a closed terminal) must not leave a mesh behind. */
const running = new Set<ChildProcess>();

function endTheRest(): void {
  for (const child of running) signalGroup(child, "SIGTERM");
}

/** Starts a program in a process group of its own, so that a Ctrl-C meant for the mesh reaches it only through `stop`. */
export function startProcess(options: ProcessOptions): RunningProcess {
  const { name, command, onLine } = options;
  const [program = "", ...args] = typeof command === "string" ? ["/bin/sh", "-c", command] : command;
  const child = spawn(program, args, {
    cwd: options.cwd,
    env: options.environment,
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  if (running.size === 0) process.once("exit", endTheRest);
  running.add(child);
  const forget = () => {
    running.delete(child);
    if (running.size === 0) process.off("exit", endTheRest);
  };
  child.once("exit", forget);
  child.once("error", forget);
  for (const stream of ["stdout", "stderr"] as const) {
    createInterface({ input: child[stream], crlfDelay: Number.POSITIVE_INFINITY }).on("line", (line) => onLine(line, stream));
  }
  const exited = new Promise<Exit>((resolve) => {
    // `close` comes when the last line of output has.
    child.once("close", (code, signal) => resolve({ code: code ?? undefined, signal: signal ?? undefined }));
    child.once("error", (error) => {
      onLine(`cannot be started: ${error.message}`, "stderr");
      resolve({ code: 127, signal: undefined });
    });
  });
  return {
    name,
    pid: child.pid,
    exited,
    async stop(deadlineMs) {
      signalGroup(child, "SIGTERM");
      const timer = setTimeout(() => signalGroup(child, "SIGKILL"), deadlineMs);
      const exit = await exited;
      clearTimeout(timer);
      return exit;
    },
  };
}

function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  try {
    process.kill(-child.pid, signal);
  } catch (error) {
    // Gone between the look and the signal.
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** For a person: `ended with status 1`. */
export function describeExit({ code, signal }: Exit): string {
  return signal === undefined ? `ended with status ${code ?? 0}` : `was ended by ${signal}`;
}
