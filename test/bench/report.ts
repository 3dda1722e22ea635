/** What the benchmark found, for a person and as JSON. */
import { figureOf } from "./figures.ts";
import type { PeerName } from "./options.ts";
import { failureKey, type Outcome } from "./run-work.ts";
import { medianOf, medianRatio, samplesOf } from "./samples.ts";
import { verdictText, verdictsOn, type Verdict } from "./targets.ts";

/** One line of `--json`: countersign, against one peer where the work has any. Figures as `figures.ts` names them. */
export type Row = Readonly<Record<string, number | string | readonly object[]>>;

const ours: PeerName = "countersign";

function loadsOf({ work }: Outcome): readonly number[] {
  return work.kind === "compared" ? work.loads : [0];
}

function rounded(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}

/** `cpuMicros` as `peerCpuMicros` */
function peerKey(name: string): string {
  return `peer${name.charAt(0).toUpperCase()}${name.slice(1)}`;
}

/** Ours against every peer that was measured with it, and ours alone where there is none. Nothing is compared with `direct`. */
export function jsonRows(outcome: Outcome): Row[] {
  const { work, samples, peers } = outcome;
  const rows: Row[] = [];
  for (const load of loadsOf(outcome)) {
    if (samplesOf(samples, ours, load).length === 0) continue;
    const verdicts = verdictsOn(work.name, load, samples).filter(({ met }) => met !== undefined);
    const others = peers.filter((peer) => peer !== ours && peer !== "direct" && samplesOf(samples, peer, load).length > 0);
    for (const peer of others.length === 0 ? [undefined] : others) {
      const row: Record<string, number | string | readonly object[]> = { work: work.name };
      if (work.kind === "compared") row[work.loadKey] = load;
      if (peer !== undefined) row["peer"] = peer;
      for (const name of work.figures) {
        const { digits, ratio }: ReturnType<typeof figureOf> = figureOf(name);
        const own = medianOf(samples, ours, load, name);
        if (!Number.isNaN(own)) row[name] = rounded(own, digits);
        if (peer === undefined) continue;
        const theirs = medianOf(samples, peer, load, name);
        if (!Number.isNaN(theirs)) row[peerKey(name)] = rounded(theirs, digits);
        const quotient = medianRatio(samples, ours, peer, load, name);
        if (ratio !== undefined && !Number.isNaN(quotient)) row[ratio] = rounded(quotient, 2);
      }
      const concerning = verdicts.filter(({ target }) => target.against === undefined || target.against === peer).map(jsonVerdict);
      if (concerning.length > 0) row["targets"] = concerning;
      rows.push(row);
    }
  }
  return rows;
}

function jsonVerdict({ target, met }: Verdict): object {
  const { figure, against, bound, limit } = target;
  return { figure: against === undefined ? figure : (figureOf(figure).ratio ?? figure), [bound]: limit, met };
}

/** Lines up columns: the first `names` to the left, the others, which are figures, to the right; what is past `figureCount` of those again to the left. */
export function formatColumns(names: number, lines: readonly (readonly string[])[], figureCount = Number.POSITIVE_INFINITY): string {
  const widths: number[] = [];
  for (const line of lines) for (const [column, cell] of line.entries()) widths[column] = Math.max(widths[column] ?? 0, cell.length);
  const isFigure = (column: number) => column >= names && column < names + figureCount;
  return lines
    .map((line) =>
      line
        .map((cell, column) => (isFigure(column) ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0)))
        .join("  ")
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join("");
}

function shown(value: number, digits: number): string {
  return Number.isFinite(value) ? value.toFixed(digits) : "-";
}

/** The table that a person reads: medians of every peer, with ratios to the nginx pair, and what our targets have to say. */
export function formatTable(outcome: Outcome): string {
  const { work, peers, samples, failures } = outcome;
  const baseline = peers.includes("nginx");
  const head = work.kind === "compared" ? [work.loadTitle, "peer"] : ["peer"];
  const names = head.length;
  for (const name of work.figures) {
    head.push(figureOf(name).title);
    if (baseline && figureOf(name).ratio !== undefined) head.push("× nginx");
  }
  const figureColumns = head.length - names;
  const lines = [[...head, "target"]];
  for (const load of loadsOf(outcome)) {
    for (const peer of peers) {
      const line = work.kind === "compared" ? [String(load), peer] : [peer];
      if (failures.has(failureKey(peer, load))) {
        lines.push([...line, "FAILED"]);
        continue;
      }
      for (const name of work.figures) {
        const { digits, ratio } = figureOf(name);
        line.push(shown(medianOf(samples, peer, load, name), digits));
        if (baseline && ratio !== undefined) line.push(shown(medianRatio(samples, peer, "nginx", load, name), 2));
      }
      if (peer === ours) line.push(verdictsOn(work.name, load, samples).map(verdictText).join("; "));
      lines.push(line);
    }
  }
  const failed = [...failures].map(([key, reason]) => `FAILED ${key}: ${reason}\n`).join("");
  return `${work.title}\n${formatColumns(names, lines, figureColumns)}${failed}`;
}

/** `Targets: 5 met, 1 missed (http1-63B), 2 not measured` */
export function formatSummary(outcomes: readonly Outcome[]): string {
  const verdicts = outcomes.flatMap((outcome) => loadsOf(outcome).flatMap((load) => verdictsOn(outcome.work.name, load, outcome.samples)));
  const missed = verdicts.filter(({ met }) => met === false);
  const names = missed.length === 0 ? "" : ` (${[...new Set(missed.map(({ target }) => target.work))].join(", ")})`;
  const met = verdicts.filter((verdict) => verdict.met === true).length;
  return `Targets: ${met} met, ${missed.length} missed${names}, ${verdicts.length - met - missed.length} not measured\n`;
}
