import { describe, expect, test } from "vitest";
import type { Sample, Values } from "./figures.ts";
import type { PeerName } from "./options.ts";
import { formatColumns, formatSummary, formatTable, jsonRows } from "./report.ts";
import type { Outcome } from "./run-work.ts";
import { targets, verdictsOn, verdictText } from "./targets.ts";
import type { Work } from "./work.ts";
import { worksOf } from "./works.ts";
import { withAdded } from "./works/latency.ts";

const works = worksOf([1, 32]);

function workCalled(name: string): Work {
  const found = works.find((work) => work.name === name);
  if (found === undefined) throw new TypeError(`no work ${name}`);
  return found;
}

function sample(peer: PeerName, round: number, values: Values, load = 32): Sample {
  return { peer, load, round, values };
}

function outcome(name: string, peers: readonly PeerName[], samples: readonly Sample[], failures: Outcome["failures"] = new Map()): Outcome {
  return { work: workCalled(name), peers, samples, failures };
}

function run(peer: PeerName, round: number, cpuMicros: number, p50Micros = 100, p99Micros = 1000): Sample {
  return sample(peer, round, { cpuMicros, p50Micros, p99Micros });
}

describe("JSON", () => {
  test("ratios are of two runs of one round: a machine that slows down between rounds changes none", () => {
    const samples = [1, 10, 3].flatMap((slowness, round) => [
      run("nginx", round, 40 * slowness, 100 * slowness),
      run("countersign", round, 30 * slowness, 120 * slowness),
    ]);
    expect(jsonRows(outcome("http1-63B", ["nginx", "countersign"], samples))).toEqual([
      {
        work: "http1-63B",
        connections: 32,
        peer: "nginx",
        cpuMicros: 90,
        peerCpuMicros: 120,
        cpuRatio: 0.75,
        p50Micros: 360,
        peerP50Micros: 300,
        p50Ratio: 1.2,
        p99Micros: 1000,
        peerP99Micros: 1000,
        p99Ratio: 1,
        targets: [{ figure: "cpuRatio", most: 0.85, met: true }],
      },
    ]);
  });

  test("has no row for the application alone, nor without our own figures", () => {
    const direct = sample("direct", 1, { perSecond: 9 });
    expect(jsonRows(outcome("http1-63B", ["direct", "countersign"], [direct, run("countersign", 1, 30)]))).toMatchObject([
      { work: "http1-63B", connections: 32, cpuMicros: 30 },
    ]);
    expect(jsonRows(outcome("http1-63B", ["nginx", "haproxy-h2"], [run("nginx", 1, 40), run("haproxy-h2", 1, 20)]))).toEqual([]);
  });

  test("what only we have is a row without a peer", () => {
    const own = sample("countersign", 1, { operationMicros: 10.123 }, 0);
    expect(jsonRows(outcome("sigv4-verify", ["countersign"], [own]))).toEqual([
      { work: "sigv4-verify", operationMicros: 10.12, targets: [{ figure: "operationMicros", most: 10, met: false }] },
    ]);
  });
});

describe("the table", () => {
  test("shows what failed as failed and what is no figure as a dash, and says of ours what the target says", () => {
    const samples = [sample("direct", 1, { perSecond: 9 }), run("nginx", 1, 40), run("haproxy-h2", 1, 20, 50), run("countersign", 1, 36)];
    const failures = new Map([["envoy-h2/32", "status 503"]]);
    const peers: PeerName[] = ["direct", "nginx", "haproxy-h2", "envoy-h2", "countersign"];
    const table = formatTable(outcome("http1-63B", peers, samples, failures));
    const lines = table
      .split("\n")
      .filter((line) => line.startsWith("32 "))
      .map((line) => line.split(/ {2,}/));
    expect(lines.map((line) => line.slice(1, 4))).toEqual([
      ["direct", "-", "-"],
      ["nginx", "40.0", "1.00"],
      ["haproxy-h2", "20.0", "0.50"],
      ["envoy-h2", "FAILED"],
      ["countersign", "36.0", "0.90"],
    ]);
    expect(lines.at(-1)?.at(-1)).toBe("CPU µs/request 0.90, at most 0.85 × nginx: MISSED");
    expect(table).toContain("FAILED envoy-h2/32: status 503\n");
  });

  test("has a line for every load", () => {
    const table = formatTable(
      outcome("http1-63B", ["countersign"], [run("countersign", 1, 36), sample("countersign", 1, { cpuMicros: 50 }, 1)]),
    );
    expect(table.split("\n").filter((line) => line.includes("countersign"))).toHaveLength(2);
  });

  test("columns line up: names to the left, figures to the right, words after them to the left", () => {
    const lines = [
      ["a", "100", "met"],
      ["long", "5", "not at all"],
    ];
    expect(formatColumns(1, lines, 1)).toBe("a     100  met\nlong    5  not at all\n");
  });
});

describe("targets", () => {
  test("each is about a work and a figure that there are", () => {
    for (const { work, figure, load, against } of targets) {
      const found = workCalled(work);
      const loads = found.kind === "compared" ? found.loads : [];
      const peers = found.kind === "compared" ? found.peers : [];
      expect(found.figures).toContain(figure);
      expect([undefined, ...loads]).toContain(load);
      expect([undefined, ...peers]).toContain(against);
    }
  });

  test("at the limit is met, at least is met from above, and without a figure it is not measured", () => {
    const large = (ratio: number) => [
      sample("nginx", 1, { megabytesPerCpuSecond: 1000 }, 4),
      sample("countersign", 1, { megabytesPerCpuSecond: 1000 * ratio }, 4),
    ];
    const metAt = (ratio: number) => verdictsOn("http1-1MiB", 4, large(ratio)).map(({ met }) => met);
    expect([metAt(0.69), metAt(0.7), metAt(1)]).toEqual([[false], [true], [true]]);
    const [unmeasured] = verdictsOn("http1-1MiB", 4, []);
    expect(unmeasured?.met).toBeUndefined();
    expect(unmeasured && verdictText(unmeasured)).toBe("MB/CPU s at least 0.7 × nginx: not measured");
  });

  test("the last line counts them", () => {
    const outcomes = [
      outcome("sigv4-verify", ["countersign"], [sample("countersign", 1, { operationMicros: 12 }, 0)]),
      outcome("policy-decision", ["countersign"], [sample("countersign", 1, { operationMicros: 1 }, 0)]),
      outcome("start", ["countersign"], []),
    ];
    expect(formatSummary(outcomes)).toBe("Targets: 1 met, 1 missed (sigv4-verify), 1 not measured\n");
  });
});

test("added latency is over the application alone in the same round", () => {
  const at = (peer: PeerName, round: number, p50Micros: number) =>
    sample(peer, round, { p50Micros, p99Micros: 10 * p50Micros, p999Micros: 100 * p50Micros }, 1000);
  const added = withAdded([at("direct", 1, 50), at("nginx", 1, 80), at("direct", 2, 100), at("nginx", 2, 170), at("nginx", 3, 1)]);
  expect(added.map(({ values }) => values.addedP50Micros)).toEqual([undefined, 30, undefined, 70, undefined]);
  expect(added[1]?.values).toMatchObject({ addedP99Micros: 300, addedP999Micros: 3000 });
});
