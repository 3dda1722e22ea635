/** The command line as a user has it: a process, its output, its end. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";

export const countersign = join(import.meta.dirname, "../../bin/countersign");

export interface Finished {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly cwd?: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly input?: string;
  /** Instead of bin/countersign. */
  readonly program?: string;
}

function start(args: readonly string[], options: RunOptions): ChildProcess & { readonly stdout: NodeJS.ReadableStream } {
  return spawn(options.program ?? countersign, [...args], {
    cwd: options.cwd,
    env: { PATH: process.env["PATH"], HOME: "/nonexistent", ...options.environment },
    stdio: [options.input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
  }) as ChildProcess & { readonly stdout: NodeJS.ReadableStream };
}

/** Runs to the end. */
export async function run(args: readonly string[], options: RunOptions = {}): Promise<Finished> {
  const child = start(args, options);
  child.stdin?.end(options.input);
  const [stdout, stderr, [status]] = await Promise.all([
    text(child.stdout),
    child.stderr ? text(child.stderr) : "",
    once(child, "close") as Promise<[number | null]>,
  ]);
  return { status, stdout, stderr };
}

export interface Running {
  readonly pid: number;
  readonly lines: readonly string[];
  /** Resolves with the next line of output, or with the end. */
  change(): Promise<void>;
  signal(name: NodeJS.Signals): void;
  /** Its own end; what it has started may still hold its output. */
  readonly closed: Promise<void>;
  readonly finished: Promise<Finished>;
}

/** Runs until it is signalled. */
export function launch(args: readonly string[], options: RunOptions = {}): Running {
  const child = start(args, options);
  const lines: string[] = [];
  let changed = Promise.withResolvers<void>();
  const change = () => {
    changed.resolve();
    changed = Promise.withResolvers();
  };
  createInterface({ input: child.stdout }).on("line", (line) => {
    lines.push(line);
    change();
  });
  const closed = once(child, "exit").then(() => undefined);
  const stderr = child.stderr ? text(child.stderr) : Promise.resolve("");
  const finished = (once(child, "close") as Promise<[number | null]>).then(async ([status]) => {
    const outcome = { status, stdout: lines.join("\n"), stderr: await stderr };
    change();
    return outcome;
  });
  return { pid: child.pid ?? 0, lines, finished, closed, change: () => changed.promise, signal: (name) => child.kill(name) };
}

/** One line on stderr and nothing else, for whoever reads logs or scripts. */
export function failure(finished: Finished): string {
  const lines = finished.stderr.trimEnd().split("\n");
  if (finished.status === 0 || lines.length !== 1) {
    throw new Error(`expected one line and a status other than 0, got ${finished.status}: ${finished.stderr}`);
  }
  return lines[0] ?? "";
}
