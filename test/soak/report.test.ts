import { describe, expect, test } from "vitest";
import { trendsOf, type MemorySample } from "./memory-watch.ts";
import { optionsFrom, SoakOptionError } from "./options.ts";
import { findingsAsJson, formatFindings, verdictOn, type Findings } from "./report.ts";
import { createTally } from "./tally.ts";

/** A second apart: a heap that fills for six seconds and is collected, on a ground that rises by so much a second. */
function sawtooth(seconds: number, risePerSecond: number): MemorySample[] {
  return Array.from({ length: seconds }, (_, at) => ({
    at,
    residentMegabytes: 90 + at * risePerSecond,
    heapMegabytes: 20 + at * risePerSecond + 4 * (at % 6),
  }));
}

describe("memory", () => {
  test("a heap that fills and is collected is flat, whatever it did while it warmed up", () => {
    const samples = sawtooth(600, 0).map((sample) => (sample.at < 100 ? { ...sample, heapMegabytes: 5, residentMegabytes: 50 } : sample));
    expect(trendsOf("caller", samples, 200, { resident: 5, heap: 5 }).map(({ flat }) => flat)).toEqual([true, true]);
  });

  test("a leak of a megabyte in ten seconds is found, and by how much", () => {
    const [resident, heap] = trendsOf("caller", sawtooth(600, 0.1), 200, { resident: 5, heap: 5 });
    expect(resident).toMatchObject({ sidecar: "caller", figure: "resident", flat: false });
    expect(resident?.fromMegabytes).toBeCloseTo(110, -1);
    expect(resident?.toMegabytes).toBeCloseTo(150, -1);
    expect(heap).toMatchObject({ figure: "heap", flat: false });
  });

  test("growth within the slack is flat, and of nothing there is no trend to call flat", () => {
    expect(trendsOf("caller", sawtooth(60, 0.1), 20, { resident: 40, heap: 40 }).every(({ flat }) => flat)).toBe(true);
    expect(trendsOf("caller", [], 20, { resident: 40, heap: 40 }).every(({ flat }) => !flat)).toBe(true);
  });
});

describe("the tally", () => {
  test("problems that differ in numbers alone are one, with their count and times", () => {
    let at = 0;
    const tally = createTally(["small", "gate"], () => at);
    for (const number of [1, 2, 3]) {
      at += 1000;
      tally.begin("small");
      tally.lost("small", `/page/${number}: status 503`);
    }
    tally.begin("small");
    tally.right("small");
    tally.wrong("gate", "allowed");
    expect(tally.problems()).toEqual([
      { kind: "small", outcome: "lost", count: 3, firstAt: 1, lastAt: 3, what: "/page/1: status 503" },
      { kind: "gate", outcome: "wrong", count: 1, firstAt: 3, lastAt: 3, what: "allowed" },
    ]);
    expect(tally.counts().get("small")).toEqual({ begun: 4, right: 1, lost: 3, wrong: 0 });
  });
});

const good: Findings = {
  seconds: 60,
  broken: undefined,
  counts: new Map([["gate", { begun: 9, right: 9, lost: 0, wrong: 0 }]]),
  problems: [],
  gateChecked: 9,
  renewals: 4,
  disturbances: { flips: 10, receiverRestarts: 3, planeRestarts: 2 },
  memory: [{ sidecar: "caller", samples: sawtooth(60, 0) }],
  trends: trendsOf("caller", sawtooth(60, 0), 20, { resident: 5, heap: 5 }),
};

describe("the verdict", () => {
  test("everything happened and nothing was lost: passed", () => {
    expect(verdictOn(good)).toEqual([]);
    expect(formatFindings(good)).toMatch(/^60 s: 9 right, 0 lost, 0 wrong; 4 renewals, .*\nPASSED\n$/s);
    expect(findingsAsJson(good)).toMatchObject({ passed: true, counts: { gate: { right: 9 } }, flips: 10 });
  });

  test.each<[string, Partial<Findings>, string]>([
    ["one call lost", { counts: new Map([["gate", { begun: 9, right: 8, lost: 1, wrong: 0 }]]) }, "1 of 9 gate calls lost"],
    ["one wrong", { counts: new Map([["gate", { begun: 9, right: 8, lost: 0, wrong: 1 }]]) }, "1 of 9 gate calls wrong"],
    ["none right", { counts: new Map([["small", { begun: 0, right: 0, lost: 0, wrong: 0 }]]) }, "no small call was right"],
    ["no decision seen", { gateChecked: 0 }, "no decision was compared with its revision"],
    ["no renewal", { renewals: 0 }, "no certificate renewed"],
    ["no restart", { disturbances: { flips: 1, receiverRestarts: 1, planeRestarts: 0 } }, "no control plane restarted"],
    ["broken off", { broken: "a sidecar ended" }, "a sidecar ended"],
    ["a leak", { trends: trendsOf("caller", sawtooth(600, 1), 20, { resident: 5, heap: 5 }) }, "caller resident memory from"],
  ])("%s: failed", (_name, finding, reason) => {
    const findings = { ...good, ...finding };
    expect(verdictOn(findings).join("; ")).toContain(reason);
    expect(formatFindings(findings)).toContain("FAILED: ");
    expect(findingsAsJson(findings)).toMatchObject({ passed: false });
  });
});

describe("options", () => {
  test("ten minutes of everything, or what is asked for", () => {
    expect(optionsFrom([])).toMatchObject({ seconds: 600, kinds: ["small", "post", "large", "websocket", "grpc", "gate"] });
    expect(optionsFrom(["--minutes", "1.5", "--kinds", "gate,small,gate"])).toMatchObject({ seconds: 90, kinds: ["gate", "small"] });
    expect(optionsFrom(["--help"])).toBe("help");
  });

  test.each([["--minutes=0"], ["--minutes=x"], ["--kinds=smal"], ["--frobnicate"]])("%s is refused", (argument) => {
    expect(() => optionsFrom([argument])).toThrow(SoakOptionError);
  });
});
