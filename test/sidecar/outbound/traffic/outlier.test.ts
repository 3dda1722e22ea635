/** Who is ejected, for how long, and how it comes back. */
import { array, assert, constantFrom, integer, property, record } from "fast-check";
import { beforeEach, describe, expect, test } from "vitest";
import { isHealthy, type Candidate } from "../../../../sidecar/outbound/traffic/candidate.ts";
import { countEjected, createOutlierDetector, type OutlierDetector } from "../../../../sidecar/outbound/traffic/outlier.ts";
import type { OutlierSettings } from "../../../../sidecar/outbound/traffic/settings.ts";
import { candidates, type TestEndpoint } from "./candidates.ts";

const settings: OutlierSettings = { consecutiveFailures: 3, baseEjectionSeconds: 10, maxEjectionPercent: 50 };
const second = 1000;

let now: number;
let told: string[];
let detector: OutlierDetector;
beforeEach(() => {
  now = 50_000;
  told = [];
  const nameOf = (each: Candidate) => (each as Candidate<TestEndpoint>).endpoint.name;
  detector = createOutlierDetector({
    ejected: (each, milliseconds) => told.push(`${nameOf(each)} out for ${milliseconds / second} s`),
    spared: (each) => told.push(`${nameOf(each)} spared`),
  });
});

function fail(one: Candidate, among: readonly Candidate[], times = 1, change: Partial<OutlierSettings> = {}): void {
  for (let time = 0; time < times; time++) {
    detector.sent(one, now);
    detector.failed(one, among, { ...settings, ...change }, now);
  }
}
function succeed(one: Candidate): void {
  detector.sent(one, now);
  detector.succeeded(one, now);
}
/** Lets its time out pass, and begins its trial. */
function trial(one: Candidate): void {
  now = one.ejectedUntil;
  expect(isHealthy(one, now)).toBe(true);
  detector.sent(one, now);
}

describe("an endpoint", () => {
  test("is ejected after so many failures in a row, and a success begins the row anew", () => {
    const all = candidates(4);
    const [one] = all;
    fail(one!, all, 2);
    succeed(one!);
    fail(one!, all, 2);
    expect(one).toMatchObject({ state: "in", failures: 2 });
    fail(one!, all);
    expect(one).toMatchObject({ state: "out", ejectedUntil: now + 10 * second });
    expect(isHealthy(one!, now + 10 * second - 1)).toBe(false);
    expect(told).toEqual(["endpoint0 out for 10 s"]);
  });

  test("is never ejected where the setting is 0", () => {
    const all = candidates(2);
    fail(all[0]!, all, 100, { consecutiveFailures: 0 });
    expect(all[0]!.state).toBe("in");
  });

  test("that is the only one is never ejected, and is as soon as there is another", () => {
    const [one, other] = candidates(2);
    fail(one!, [one!], 100);
    expect(one!.state).toBe("in");
    fail(one!, [one!, other!]);
    expect(one!.state).toBe("out");
    expect(told).toEqual(["endpoint0 out for 10 s"]);
  });

  test("comes back by one trial: while that is under way nobody else calls it", () => {
    const all = candidates(2);
    const [one] = all;
    fail(one!, all, 3);
    trial(one!);
    expect(one!.state).toBe("trial");
    expect(isHealthy(one!, now)).toBe(false);
    detector.succeeded(one!, now);
    expect(one).toMatchObject({ state: "in", failures: 0 });
    expect(isHealthy(one!, now)).toBe(true);
  });

  test("that fails its trial is out again at once, and longer each time, up to five minutes", () => {
    const all = candidates(2);
    const [one] = all;
    fail(one!, all, 3);
    for (let time = 0; time < 40; time++) {
      trial(one!);
      detector.failed(one!, all, settings, now);
    }
    expect(told.slice(0, 3)).toEqual(["endpoint0 out for 10 s", "endpoint0 out for 20 s", "endpoint0 out for 30 s"]);
    expect(told.at(-1)).toBe("endpoint0 out for 300 s");
  });

  test("gets another trial where one ends without a verdict", () => {
    const all = candidates(2);
    const [one] = all;
    fail(one!, all, 3);
    trial(one!);
    trial(one!);
    expect(one!.state).toBe("trial");
    detector.succeeded(one!, now);
    expect(one!.state).toBe("in");
  });

  test("is forgiven an ejection for every base period of good conduct", () => {
    const all = candidates(2);
    const [one] = all;
    fail(one!, all, 3);
    trial(one!);
    detector.failed(one!, all, settings, now);
    trial(one!);
    detector.succeeded(one!, now);
    // Two ejections behind it. After one period one of them counts.
    now += 10 * second;
    fail(one!, all, 3);
    expect(told.at(-1)).toBe("endpoint0 out for 20 s");
    trial(one!);
    detector.succeeded(one!, now);
    now += 1000 * second;
    fail(one!, all, 3);
    expect(told.at(-1)).toBe("endpoint0 out for 10 s");
  });

  test("is not brought back by the answer to a call from before", () => {
    const all = candidates(2);
    const [one] = all;
    detector.sent(one!, now);
    fail(one!, all, 3);
    detector.succeeded(one!, now);
    expect(one!.state).toBe("out");
  });

  test("that is called for want of others comes back by an answer; its failures do not prolong its time", () => {
    const all = candidates(2);
    const [one] = all;
    fail(one!, all, 3);
    const until = one!.ejectedUntil;
    fail(one!, all, 20);
    expect(one).toMatchObject({ state: "called", ejectedUntil: until });
    detector.succeeded(one!, now);
    expect(one!.state).toBe("in");
  });
});

describe("of a destination", () => {
  test.each([
    [2, 50, 1],
    [3, 50, 1],
    [10, 50, 5],
    [10, 0, 1],
    [10, 9, 1],
    [10, 100, 10],
    [7, 30, 2],
  ])("with %i endpoints and %i % at most %i are out at once", (count, maxEjectionPercent, most) => {
    const all = candidates(count);
    for (const one of all) fail(one, all, 3, { maxEjectionPercent });
    expect(countEjected(all)).toBe(most);
    expect(told.filter((each) => each.endsWith("spared"))).toHaveLength(count - most);
  });

  test("one that was spared is ejected when there is room", () => {
    const all = candidates(2);
    const [first, other] = all;
    fail(first!, all, 3);
    fail(other!, all, 3);
    expect(told.at(-1)).toBe("endpoint1 spared");
    trial(first!);
    detector.succeeded(first!, now);
    fail(other!, all, 3);
    expect(other!.state).toBe("out");
  });

  test("whatever happens, no more are out than may be, and whoever is out has its time", () => {
    const step = record({
      who: integer({ min: 0, max: 5 }),
      what: constantFrom("sent", "succeeded", "failed", "failed", "failed"),
      after: integer({ min: 0, max: 5000 }),
    });
    const anything = property(array(step, { maxLength: 200 }), integer({ min: 0, max: 100 }), (steps, maxEjectionPercent) => {
      const all = candidates(6);
      const most = Math.max(1, Math.floor((6 * maxEjectionPercent) / 100));
      return steps.every(({ who, what, after }) => {
        const one = all[who]!;
        now += after;
        if (what === "sent") detector.sent(one, now);
        else if (what === "succeeded") detector.succeeded(one, now);
        else detector.failed(one, all, { ...settings, maxEjectionPercent }, now);
        return (
          countEjected(all) <= most &&
          all.every((each) => (each.state === "in" ? each.failures < 3 : each.ejectedUntil <= now + 300 * second && each.ejectedUntil > 0))
        );
      });
    });
    expect(() => assert(anything)).not.toThrow();
  });
});
