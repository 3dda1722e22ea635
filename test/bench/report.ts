/** From single runs to medians, ratios and the table. Ratios are of two runs of one round, which had the same machine to themselves. */
import type { PeerName } from "./options.ts";

export interface Measurement {
  readonly peer: PeerName;
  readonly connections: number;
  readonly round: number;
  /** CPU of both proxies a request; 0 where there is none. */
  readonly cpuMicros: number;
  readonly perSecond: number;
  readonly p50Micros: number;
  readonly p99Micros: number;
}

/** One line of `--json`: countersign against one peer. Ratios under 1 are in its favour. */
export interface Row {
  readonly work: "http1-63B";
  readonly connections: number;
  readonly peer: PeerName;
  readonly cpuMicros: number;
  readonly peerCpuMicros: number;
  readonly cpuRatio: number;
  readonly p50Ratio: number;
  readonly p99Ratio: number;
}

/** NaN of nothing. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  const upper = sorted[Math.floor(middle)] ?? Number.NaN;
  if (!Number.isInteger(middle)) return upper;
  return (upper + (sorted[middle - 1] ?? Number.NaN)) / 2;
}

function rounded(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}

function runsOf(runs: readonly Measurement[], peer: PeerName, connections: number): Measurement[] {
  return runs.filter((run) => run.peer === peer && run.connections === connections);
}

type Figure = "cpuMicros" | "perSecond" | "p50Micros" | "p99Micros";

function medianOf(runs: readonly Measurement[], figure: Figure): number {
  return median(runs.map((run) => run[figure]));
}

/** Median over the rounds of `ours / theirs`; NaN where no round has both, or the figure is nothing for them. */
function ratioOf(ours: readonly Measurement[], theirs: readonly Measurement[], figure: Figure): number {
  const ratios = ours.flatMap((our) => {
    const their = theirs.find((run) => run.round === our.round);
    return their === undefined || their[figure] === 0 ? [] : [our[figure] / their[figure]];
  });
  return median(ratios);
}

/** Countersign against every peer that was measured with it. `direct` has no proxies to compare with and is left out. */
export function comparisonRows(runs: readonly Measurement[]): Row[] {
  const rows: Row[] = [];
  for (const connections of new Set(runs.map((run) => run.connections))) {
    const ours = runsOf(runs, "countersign", connections);
    if (ours.length === 0) continue;
    for (const peer of new Set(runs.map((run) => run.peer))) {
      const theirs = runsOf(runs, peer, connections);
      if (peer === "countersign" || peer === "direct" || theirs.length === 0) continue;
      rows.push({
        work: "http1-63B",
        connections,
        peer,
        cpuMicros: rounded(medianOf(ours, "cpuMicros"), 1),
        peerCpuMicros: rounded(medianOf(theirs, "cpuMicros"), 1),
        cpuRatio: rounded(ratioOf(ours, theirs, "cpuMicros"), 2),
        p50Ratio: rounded(ratioOf(ours, theirs, "p50Micros"), 2),
        p99Ratio: rounded(ratioOf(ours, theirs, "p99Micros"), 2),
      });
    }
  }
  return rows;
}

/** Lines up columns: the first `names` to the left, the others, which are figures, to the right. */
export function formatColumns(names: number, lines: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const line of lines) for (const [column, cell] of line.entries()) widths[column] = Math.max(widths[column] ?? 0, cell.length);
  return lines
    .map((line) =>
      line
        .map((cell, column) => (column < names ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
        .join("  ")
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join("");
}

function shown(value: number, digits: number): string {
  return Number.isFinite(value) ? value.toFixed(digits) : "-";
}

/** The table that a person reads: medians of every peer, with ratios to the nginx pair. `failures` by `peer/connections`. */
export function formatTable(
  peers: readonly PeerName[],
  connections: readonly number[],
  runs: readonly Measurement[],
  failures: ReadonlyMap<string, string>,
): string {
  const lines = [["connections", "peer", "CPU µs/request", "× nginx", "requests/s", "p50 µs", "× nginx", "p99 µs", "× nginx"]];
  for (const count of connections) {
    for (const peer of peers) {
      if (failures.has(`${peer}/${count}`)) {
        lines.push([String(count), peer, "FAILED"]);
        continue;
      }
      const own = runsOf(runs, peer, count);
      const nginx = runsOf(runs, "nginx", count);
      const cpu = medianOf(own, "cpuMicros");
      lines.push([
        String(count),
        peer,
        cpu === 0 ? "-" : shown(cpu, 1),
        cpu === 0 ? "-" : shown(ratioOf(own, nginx, "cpuMicros"), 2),
        shown(medianOf(own, "perSecond"), 0),
        shown(medianOf(own, "p50Micros"), 0),
        shown(ratioOf(own, nginx, "p50Micros"), 2),
        shown(medianOf(own, "p99Micros"), 0),
        shown(ratioOf(own, nginx, "p99Micros"), 2),
      ]);
    }
  }
  return formatColumns(2, lines);
}
