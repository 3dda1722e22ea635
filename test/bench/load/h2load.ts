/** One run of h2load (nghttp2-client), the load generator of HTTP/2, and what it reports. */
import { execFile } from "node:child_process";
import { readFile, rm } from "node:fs/promises";
import { promisify } from "node:util";
import { BenchError } from "../errors.ts";
import { percentile } from "../statistics.ts";
import type { Target } from "./target.ts";

export interface H2loadResult {
  readonly requests: number;
  readonly perSecond: number;
  readonly p50Micros: number;
  readonly p99Micros: number;
}

export interface H2loadRun {
  readonly path: string;
  /** On one connection. */
  readonly streams: number;
  readonly seconds: number;
  /** `name: value` */
  readonly headers: readonly string[];
  /** Path of the file that every request posts. */
  readonly body: string;
  /** Path of a file for the times of single requests; it is written and removed. */
  readonly log: string;
}

/** Parses what h2load prints. Throws BenchError: `bad-response` if any request failed, `bad-output` if it is no such report. */
export function parseH2load(output: string): Pick<H2loadResult, "requests" | "perSecond"> {
  const rate = /^finished in [\d.]+\w+, ([\d.]+) req\/s/m.exec(output);
  const counts = /^requests: .* (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout$/m.exec(output);
  if (rate === null || counts === null) throw new BenchError("bad-output", `not a report of h2load:\n${output}`);
  const [done = 0, succeeded = 0] = counts.slice(1).map(Number);
  if (done === 0) throw new BenchError("bad-response", "not one response");
  if (succeeded !== done) {
    const [codes = ""] = /^status codes: .*$/m.exec(output) ?? [];
    throw new BenchError("bad-response", `${counts[0]}; ${codes}`);
  }
  return { requests: done, perSecond: Number(rate[1]) };
}

/** Microseconds of each request, ascending, from h2load's log: start, status and duration between tabs. Throws BenchError `bad-output`. */
export function durationsFrom(log: string): Float64Array {
  const lines = log.split("\n");
  if (lines.at(-1) === "") lines.pop();
  const durations = Float64Array.from(lines, (line) => Number(/^\d+\t\d+\t(\d+)$/.exec(line)?.[1] ?? Number.NaN));
  if (durations.length === 0 || durations.some(Number.isNaN)) throw new BenchError("bad-output", "not a log of h2load");
  return durations.sort();
}

/** Keeps that many streams of one connection busy. */
export async function runH2load(target: Target, run: H2loadRun, signal: AbortSignal): Promise<H2loadResult> {
  const headers = target.host === undefined ? run.headers : [...run.headers, `:authority: ${target.host}`];
  const args = [
    "--clients=1",
    `--max-concurrent-streams=${run.streams}`,
    `--duration=${run.seconds}`,
    `--data=${run.body}`,
    `--log-file=${run.log}`,
    ...headers.map((header) => `--header=${header}`),
    `${target.origin}${run.path}`,
  ];
  try {
    const { stdout } = await promisify(execFile)("h2load", args, { signal });
    const report = parseH2load(stdout);
    const durations = durationsFrom(await readFile(run.log, "utf8"));
    return { ...report, p50Micros: percentile(durations, 0.5), p99Micros: percentile(durations, 0.99) };
  } finally {
    await rm(run.log, { force: true });
  }
}
