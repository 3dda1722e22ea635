/** Runs the open loop as the process that it is. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { BenchError } from "../errors.ts";
import type { OpenLoopResult } from "./open-loop.ts";
import type { Target } from "./target.ts";

const script = join(import.meta.dirname, "open-loop.ts");

/** Throws BenchError `bad-response` when a single request failed. */
export async function runOpenLoop(
  target: Target,
  load: { readonly perSecond: number; readonly seconds: number; readonly seed: number },
  signal: AbortSignal,
): Promise<OpenLoopResult> {
  const args = [script, target.origin, target.host ?? "", String(load.perSecond), String(load.seconds), String(load.seed)];
  try {
    const { stdout } = await promisify(execFile)(process.execPath, args, { signal });
    return JSON.parse(stdout) as OpenLoopResult;
  } catch (error) {
    signal.throwIfAborted();
    throw new BenchError(
      "bad-response",
      `at ${load.perSecond} requests/s: ${(error as { stderr?: string }).stderr?.trim() ?? String(error)}`,
      {
        cause: error,
      },
    );
  }
}
