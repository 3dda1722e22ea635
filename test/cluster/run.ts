/** Programs of this machine, run to their end. */
import { spawn } from "node:child_process";
import { text } from "node:stream/consumers";

export interface Finished {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly input?: string;
  readonly cwd?: string;
  /** Added to those of this process. */
  readonly env?: Readonly<Record<string, string>>;
  /** Default: two minutes, then SIGTERM. */
  readonly timeoutMs?: number;
}

/** Rejects only where it cannot be started. */
export async function run(command: readonly string[], options: RunOptions = {}): Promise<Finished> {
  const [program = "", ...args] = command;
  const child = spawn(program, args, {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: ["pipe", "pipe", "pipe"],
    timeout: options.timeoutMs ?? 120_000,
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  // One that does not read what it is given says why on stderr.
  child.stdin.on("error", () => undefined);
  child.stdin.end(options.input);
  const [status, stdout, stderr] = await Promise.all([ended, text(child.stdout), text(child.stderr)]);
  return { status, stdout, stderr };
}

/** Its output. Throws with what it said where it does not end with 0. */
export async function must(command: readonly string[], options: RunOptions = {}): Promise<string> {
  const { status, stdout, stderr } = await run(command, options);
  if (status === 0) return stdout;
  const said = `${stdout}\n${stderr}`.trim().split("\n").slice(-30).join("\n");
  throw new Error(`${command.join(" ")} ended with ${status}: ${said}`);
}
