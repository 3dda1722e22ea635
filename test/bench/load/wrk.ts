/** One run of wrk, the load generator, and what it reports. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { BenchError } from "../errors.ts";
import type { Target } from "./target.ts";

export interface WrkResult {
  readonly requests: number;
  readonly perSecond: number;
  readonly p50Micros: number;
  readonly p99Micros: number;
  /** To the three digits that wrk shows. */
  readonly readBytes: number;
}

const unitMicros = new Map([
  ["us", 1],
  ["ms", 1e3],
  ["s", 1e6],
  ["m", 60e6],
  ["h", 3600e6],
]);

const unitBytes = new Map([
  ["B", 1],
  ["KB", 2 ** 10],
  ["MB", 2 ** 20],
  ["GB", 2 ** 30],
  ["TB", 2 ** 40],
]);

function numbersAfter(pattern: RegExp, output: string): string[] {
  const found = pattern.exec(output);
  if (found === null) throw new BenchError("bad-output", `wrk's report has nothing like ${pattern.source}:\n${output}`);
  return found.slice(1);
}

function percentile(percent: number, output: string): number {
  const [amount = "", unit = ""] = numbersAfter(new RegExp(`^\\s+${percent}%\\s+([\\d.]+)(us|ms|s|m|h) *$`, "m"), output);
  return Number(amount) * (unitMicros.get(unit) ?? Number.NaN);
}

/** Parses the output of `wrk --latency`. Throws BenchError: `bad-response` if any request failed, `bad-output` if it is no such report. */
export function parseWrk(output: string): WrkResult {
  for (const pattern of [/^\s+Socket errors: .*$/m, /^\s+Non-2xx or 3xx responses: .*$/m]) {
    const found = pattern.exec(output);
    if (found !== null) throw new BenchError("bad-response", found[0].trim());
  }
  const [requests = "", amount = "", unit = ""] = numbersAfter(/^\s+(\d+) requests in \S+, ([\d.]+)([KMGT]?B) read$/m, output);
  if (Number(requests) === 0) throw new BenchError("bad-response", "not one response");
  const [perSecond = ""] = numbersAfter(/^Requests\/sec:\s+([\d.]+)$/m, output);
  return {
    requests: Number(requests),
    perSecond: Number(perSecond),
    p50Micros: percentile(50, output),
    p99Micros: percentile(99, output),
    readBytes: Number(amount) * (unitBytes.get(unit) ?? Number.NaN),
  };
}

/**
 * Past this wrk counts an answer as an error too. Its own limit of 2 s is passed now and then at 256 connections on
 * a machine with other work; how late answers come is what the percentiles say.
 */
const timeoutSeconds = 10;

export interface WrkRun {
  readonly path: string;
  readonly connections: number;
  readonly seconds: number;
  /** Path of a Lua script that makes the request; without one it is a GET. */
  readonly script?: string;
}

/** Keeps the connections busy for that long. One thread: it is to take no more than one of the machine's cores. */
export async function runWrk(target: Target, run: WrkRun, signal: AbortSignal): Promise<WrkResult> {
  const host = target.host === undefined ? [] : ["--header", `Host: ${target.host}`];
  const script = run.script === undefined ? [] : ["--script", run.script];
  const load = ["-t1", `-c${run.connections}`, `-d${run.seconds}s`, `-T${timeoutSeconds}s`, "--latency"];
  const { stdout } = await promisify(execFile)("wrk", [...load, ...script, ...host, `${target.origin}${run.path}`], { signal });
  return parseWrk(stdout);
}
