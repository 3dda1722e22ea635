/**
 * `npm run bench`: what a pair of sidecars costs, beside the same application behind other pairs of mTLS proxies, and what
 * our own parts take: the rows of the design's performance page, each against its target.
 *
 * Progress goes to standard error and the tables to standard output. Everything listens on loopback, lives in a temporary
 * folder and is ended and removed whatever happens. Exits 1 if any figure could not be had.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { BenchError } from "./errors.ts";
import { checkTools, isInstalled, machine, versions } from "./machine.ts";
import { help, optionsFrom, type Options } from "./options.ts";
import { formatSummary, formatTable, jsonRows } from "./report.ts";
import { runWork, type Outcome } from "./run-work.ts";
import { worksOf } from "./works.ts";

function progress(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** Throws BenchError `bad-option` now rather than after minutes of measuring, if `path` cannot be written. */
async function prepareFile(path: string): Promise<void> {
  try {
    await writeFile(path, "", { flag: "a" });
  } catch (cause) {
    throw new BenchError("bad-option", `--json: ${(cause as Error).message}`, { cause });
  }
}

/** Resolves to the exit code. */
async function bench(options: Options, signal: AbortSignal): Promise<number> {
  const before = machine();
  const used = await versions(options);
  if (options.json !== undefined) await prepareFile(options.json);
  if (options.profile !== undefined) await mkdir(options.profile, { recursive: true });

  const outcomes: Outcome[] = [];
  for (const work of worksOf(options.connections)) {
    if (!options.works.includes(work.name)) continue;
    if (work.kind === "own" && !options.peers.includes("countersign")) continue;
    outcomes.push(await runWork(work, { ...options, progress, signal }));
  }

  const made = Object.entries(used).map(([name, version]) => `${name} ${version}`);
  process.stdout.write(`\n${before.cores} × ${before.cpu}, load ${before.load.toFixed(1)} before; ${made.join(", ")}\n`);
  process.stdout.write(`Medians of ${options.rounds} rounds of ${options.seconds} s; ratios are within a round\n`);
  for (const outcome of outcomes) process.stdout.write(`\n${outcome.work.name}: ${formatTable(outcome)}`);
  process.stdout.write(`\n${formatSummary(outcomes)}`);
  if (options.json !== undefined) {
    const rows = outcomes.flatMap(jsonRows);
    await writeFile(options.json, `${JSON.stringify({ rows, machine: before, versions: used }, undefined, 2)}\n`);
  }
  return outcomes.every(({ failures }) => failures.size === 0) ? 0 : 1;
}

/** Resolves to the exit code; what went wrong is one line on standard error. */
async function main(args: readonly string[]): Promise<number> {
  const interrupted = new AbortController();
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(name, () => interrupted.abort());
  try {
    const options = optionsFrom(args, isInstalled("envoy"));
    if (options === "help") {
      process.stdout.write(help);
      return 0;
    }
    checkTools(options);
    return await bench(options, interrupted.signal);
  } catch (error) {
    if (interrupted.signal.aborted) {
      progress("interrupted");
      return 130;
    }
    if (!(error instanceof BenchError)) throw error;
    progress(`bench: ${error.message}`);
    return 1;
  }
}

process.exitCode = await main(process.argv.slice(2));
