/**
 * `npm run soak`: a mesh under mixed load for a long time, while everything happens to it that happens to one. Progress goes
 * to standard error, what was found to standard output. Exits 1 when a call was lost or wrong, or memory grew.
 */
import { writeFile } from "node:fs/promises";
import { BenchError } from "../bench/errors.ts";
import { help, optionsFrom, SoakOptionError } from "./options.ts";
import { findingsAsJson, formatFindings, verdictOn } from "./report.ts";
import { runSoak } from "./soak.ts";

async function main(args: readonly string[]): Promise<number> {
  const interrupted = new AbortController();
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(name, () => interrupted.abort());
  try {
    const options = optionsFrom(args);
    if (options === "help") {
      process.stdout.write(help);
      return 0;
    }
    if (options.json !== undefined) await writeFile(options.json, "", { flag: "a" });
    const findings = await runSoak(options, (line) => process.stderr.write(`${line}\n`), interrupted.signal);
    process.stdout.write(formatFindings(findings));
    if (options.json !== undefined) await writeFile(options.json, `${JSON.stringify(findingsAsJson(findings), undefined, 2)}\n`);
    return verdictOn(findings).length === 0 ? 0 : 1;
  } catch (error) {
    if (interrupted.signal.aborted) {
      process.stderr.write("interrupted\n");
      return 130;
    }
    if (!(error instanceof SoakOptionError || error instanceof BenchError)) throw error;
    process.stderr.write(`soak: ${error.message}\n`);
    return 1;
  }
}

process.exitCode = await main(process.argv.slice(2));
