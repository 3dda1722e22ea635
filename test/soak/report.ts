/** What a soak found, for a person and as JSON, and whether it passed. */
import type { Disturbances } from "./disturbances.ts";
import type { MemorySample, Trend } from "./memory-watch.ts";
import type { Kind } from "./options.ts";
import type { KindCount, Problem } from "./tally.ts";

export interface Findings {
  readonly seconds: number;
  /** Why it ended before its time; undefined where it did not. */
  readonly broken: string | undefined;
  readonly counts: ReadonlyMap<Kind, KindCount>;
  readonly problems: readonly Problem[];
  /** Calls to the gate whose decision was compared with its revision. */
  readonly gateChecked: number;
  readonly renewals: number;
  readonly disturbances: Disturbances;
  readonly memory: readonly { readonly sidecar: string; readonly samples: readonly MemorySample[] }[];
  readonly trends: readonly Trend[];
}

function total(findings: Findings, outcome: keyof KindCount): number {
  return [...findings.counts.values()].reduce((sum, count) => sum + count[outcome], 0);
}

/** Why it did not pass; empty where it did. What never happened was not tried, and is a failure too. */
export function verdictOn(findings: Findings): string[] {
  const { counts, disturbances, renewals, trends, gateChecked, broken } = findings;
  const reasons = broken === undefined ? [] : [broken];
  for (const [kind, { begun, right, lost, wrong }] of counts) {
    if (lost > 0) reasons.push(`${lost} of ${begun} ${kind} calls lost`);
    if (wrong > 0) reasons.push(`${wrong} of ${begun} ${kind} calls wrong`);
    if (right === 0) reasons.push(`no ${kind} call was right`);
  }
  if (counts.has("gate") && gateChecked === 0) reasons.push("no decision was compared with its revision");
  const happened = {
    "certificate renewed": renewals,
    "policy flipped": disturbances.flips,
    "receiver restarted": disturbances.receiverRestarts,
  };
  for (const [what, count] of Object.entries({ ...happened, "control plane restarted": disturbances.planeRestarts })) {
    if (count === 0) reasons.push(`no ${what}`);
  }
  for (const trend of trends) if (!trend.flat) reasons.push(`${trendText(trend)}, over ${trend.limitMegabytes.toFixed(0)} MB more`);
  return reasons;
}

function trendText({ sidecar, figure, fromMegabytes, toMegabytes }: Trend): string {
  return `${sidecar} ${figure} memory from ${fromMegabytes.toFixed(1)} to ${toMegabytes.toFixed(1)} MB`;
}

/** `   30 s: 12345 right, 0 lost, 0 wrong; …` */
export function progressLine(findings: Findings): string {
  const { seconds, disturbances, renewals, memory } = findings;
  const now = memory.flatMap(({ sidecar, samples }) => {
    const last = samples.at(-1);
    return last === undefined ? [] : `${sidecar} ${last.residentMegabytes.toFixed(0)} (heap ${last.heapMegabytes.toFixed(0)}) MB`;
  });
  return [
    `${seconds.toFixed(0).padStart(5)} s: ${total(findings, "right")} right, ${total(findings, "lost")} lost, ${total(findings, "wrong")} wrong`,
    `${renewals} renewals, ${disturbances.flips} flips, ${disturbances.receiverRestarts} receivers and ${disturbances.planeRestarts} control planes restarted`,
    now.join(", "),
  ].join("; ");
}

export function formatFindings(findings: Findings): string {
  const lines = [progressLine(findings).trimStart()];
  for (const [kind, { begun, right, lost, wrong }] of findings.counts) {
    lines.push(`  ${kind.padEnd(9)} ${String(begun).padStart(8)} begun, ${right} right, ${lost} lost, ${wrong} wrong`);
  }
  if (findings.counts.has("gate")) lines.push(`  ${findings.gateChecked} decisions compared with their revision`);
  for (const trend of findings.trends) lines.push(`  ${trendText(trend)}: ${trend.flat ? "flat" : "NOT FLAT"}`);
  for (const { kind, outcome, count, firstAt, lastAt, what } of findings.problems) {
    lines.push(`  ${count} ${kind} ${outcome} from ${firstAt.toFixed(1)} to ${lastAt.toFixed(1)} s: ${what}`);
  }
  const reasons = verdictOn(findings);
  lines.push(reasons.length === 0 ? "PASSED" : `FAILED: ${reasons.join("; ")}`);
  return lines.map((line) => `${line}\n`).join("");
}

export function findingsAsJson(findings: Findings): object {
  const { seconds, counts, problems, gateChecked, renewals, disturbances, trends } = findings;
  const failures = verdictOn(findings);
  return {
    passed: failures.length === 0,
    failures,
    seconds,
    counts: Object.fromEntries(counts),
    gateChecked,
    renewals,
    ...disturbances,
    trends,
    problems,
  };
}
