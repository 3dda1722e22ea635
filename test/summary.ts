/**
 * The end of a run in CI: reads vitest's JSON reports, names what was skipped, and prints `N passed, N failed` as its last line.
 * Fails when anything did, when nothing ran, and, where `CI` is `true`, when anything was skipped: a test that does not run
 * holds nothing. Only those may be skipped that read published vectors, where the vectors are not there, or that run the last
 * release, where the clone has no history.
 */
import { existsSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { z } from "zod";
import { missingHistory } from "./mesh/earlier-version.ts";

const root = join(import.meta.dirname, "..");

const report = z.object({
  success: z.boolean(),
  testResults: z.array(
    z.object({
      name: z.string(),
      status: z.string(),
      assertionResults: z.array(z.object({ fullName: z.string(), status: z.string() })),
    }),
  ),
});

export interface Summary {
  readonly passed: number;
  readonly failed: number;
  /** File and name. */
  readonly skipped: readonly { readonly file: string; readonly name: string }[];
  readonly success: boolean;
}

/** A file that could not be run at all counts as one failure. Throws ZodError for what is no report. */
export function summaryFromReport(text: string): Summary {
  const { success, testResults } = report.parse(JSON.parse(text));
  let passed = 0;
  let failed = 0;
  const skipped = [];
  for (const { name: file, status: fileStatus, assertionResults } of testResults) {
    let failedHere = 0;
    for (const { fullName: name, status } of assertionResults) {
      if (status === "passed") passed++;
      else if (status === "failed") failedHere++;
      else skipped.push({ file, name });
    }
    failed += fileStatus === "failed" ? Math.max(1, failedHere) : failedHere;
  }
  return { passed, failed, skipped, success };
}

/** Of several runs, each of which has to have run something. */
export function addSummaries(summaries: readonly Summary[]): Summary {
  const sum = (count: (summary: Summary) => number) => summaries.reduce((before, each) => before + count(each), 0);
  return {
    passed: sum(({ passed }) => passed),
    failed: sum(({ failed }) => failed),
    skipped: summaries.flatMap(({ skipped }) => skipped),
    success: summaries.length > 0 && summaries.every(({ success, passed }) => success && passed > 0),
  };
}

function mayBeSkipped(file: string): boolean {
  const text = readFileSync(file, "utf8");
  if (/vectors/.test(text)) return !existsSync(join(root, "../shared/vectors"));
  return /missingHistory/.test(text) && missingHistory() !== undefined;
}

function main(files: readonly string[]): boolean {
  const summaries = files.map((file) => summaryFromReport(readFileSync(file, "utf8")));
  const { passed, failed, skipped, success } = addSummaries(summaries);
  for (const { file: where, name } of skipped) process.stdout.write(`skipped: ${relative(root, where)}: ${name}\n`);
  const unexcused = process.env["CI"] === "true" ? skipped.filter((each) => !mayBeSkipped(each.file)) : [];
  if (unexcused.length > 0) process.stdout.write(`${unexcused.length} skipped, and nothing may be in CI\n`);
  process.stdout.write(`${passed} passed, ${failed} failed\n`);
  return success && failed === 0 && unexcused.length === 0;
}

if (import.meta.main) process.exitCode = main(process.argv.slice(2)) ? 0 : 1;
