/** The choice among endpoints. */
import { array, assert, constantFrom, double, integer, property, record } from "fast-check";
import { describe, expect, test } from "vitest";
import { isHealthy, type Candidate, type CandidateState } from "../../../../sidecar/outbound/traffic/candidate.ts";
import { noneTried, pickCandidate } from "../../../../sidecar/outbound/traffic/pick.ts";
import { candidate, candidates, randomly, type TestEndpoint } from "./candidates.ts";

const now = 1_000_000;

const shape = record({
  inFlight: integer({ min: 0, max: 9 }),
  failing: constantFrom(true, false),
  state: constantFrom<CandidateState>("in", "in", "out", "called", "trial"),
  due: constantFrom(true, false),
  tried: constantFrom(true, false, false),
});
const some = array(shape, { maxLength: 8 }).map((shapes) =>
  shapes.map(({ inFlight, failing, state, due, tried }, index) => {
    const one = candidate(`endpoint${index}`, { inFlight, failingUntil: failing ? now + 1 : now });
    one.state = state;
    one.ejectedUntil = state === "in" ? 0 : due ? now : now + 1;
    return { one, tried };
  }),
);
const draws = array(double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), { minLength: 2, maxLength: 6 });

/** What may be chosen, said in another way than the code says it. */
function eligible(all: readonly Candidate<TestEndpoint>[], tried: readonly Candidate<TestEndpoint>[]): readonly Candidate<TestEndpoint>[] {
  const untried = all.filter((each) => !tried.includes(each));
  const healthy = untried.filter((each) => isHealthy(each, now));
  // The only one there is is taken as it is.
  return healthy.length > 0 ? healthy : untried;
}

describe("the choice among endpoints", () => {
  test("is one that was not tried, and one that is out only where all are", () => {
    const choice = property(some, draws, (shapes, numbers) => {
      const all = shapes.map(({ one }) => one);
      const tried = shapes.filter((each) => each.tried).map(({ one }) => one);
      const picked = pickCandidate(all, now, randomly(...numbers), tried);
      const right = eligible(all, tried);
      return right.length === 0 ? picked === undefined : picked !== undefined && right.includes(picked);
    });
    expect(() => assert(choice, { numRuns: 1000 })).not.toThrow();
  });

  test("reaches every endpoint that is eligible, and has never more calls than two drawn would have", () => {
    const choice = property(some, (shapes) => {
      const all = shapes.map(({ one }) => one);
      const tried = shapes.filter((each) => each.tried).map(({ one }) => one);
      const right = eligible(all, tried);
      const busiest = Math.max(...right.map(({ endpoint }) => endpoint.inFlight));
      const picked = new Set<Candidate<TestEndpoint> | undefined>();
      // Every pair of draws that can make a difference.
      for (let first = 0; first < 60; first++) {
        for (let second = 0; second < 60; second++) picked.add(pickCandidate(all, now, randomly(first / 60, second / 60), tried));
      }
      // With two or more, the busiest is drawn against another each time, and loses unless they are alike.
      const alone = right.filter(({ endpoint }) => endpoint.inFlight === busiest).length === 1 && right.length > 1;
      return right.every((each) => picked.has(each) !== (alone && each.endpoint.inFlight === busiest));
    });
    expect(() => assert(choice, { numRuns: 50 })).not.toThrow();
  });

  test("is even among endpoints that are alike, with some out as well", () => {
    const all = candidates(5);
    all[1]!.state = "out";
    all[1]!.ejectedUntil = now + 1;
    const counts = new Map<string, number>();
    const steps = 200;
    for (let first = 0; first < steps; first++) {
      for (let second = 0; second < steps; second++) {
        const { name } = pickCandidate(all, now, randomly(first / steps, second / steps), noneTried)!.endpoint;
        counts.set(name, (counts.get(name) ?? 0) + 1);
      }
    }
    expect(counts.size).toBe(4);
    const even = (steps * steps) / 4;
    // A draw that met the one that is out is followed by another on the same numbers, which are not independent here.
    for (const count of counts.values()) expect(Math.abs(count - even) / even).toBeLessThan(0.4);
  });

  test("of two is always the less busy one", () => {
    const busy = candidate("busy", { inFlight: 5 });
    const idle = candidate("idle", { inFlight: 1 });
    for (const numbers of [
      [0, 0],
      [0, 0.99],
      [0.99, 0],
      [0.99, 0.99],
    ] as const) {
      expect(pickCandidate([busy, idle], now, randomly(...numbers), noneTried)).toBe(idle);
    }
  });

  test("keeps load even where endpoints answer at different speeds", () => {
    const [slow, fast] = [candidate("slow"), candidate("fast")];
    const taken = new Map<string, number>();
    let seed = 1;
    const random = () => (seed = (seed * 48271) % 0x7fffffff) / 0x7fffffff;
    for (let turn = 0; turn < 3000; turn++) {
      const picked = pickCandidate([slow, fast], now, random, noneTried)!;
      picked.endpoint.inFlight++;
      taken.set(picked.endpoint.name, (taken.get(picked.endpoint.name) ?? 0) + 1);
      // The fast one has answered by the next turn; the slow one answers one call in ten turns.
      fast.endpoint.inFlight = 0;
      if (turn % 10 === 0 && slow.endpoint.inFlight > 0) slow.endpoint.inFlight--;
    }
    expect(taken.get("slow")!).toBeLessThan(400);
    expect(slow.endpoint.inFlight).toBeLessThan(3);
  });

  test("of none, or of those that were all tried, is none", () => {
    const [first, second] = candidates(2);
    expect(pickCandidate([], now, Math.random, noneTried)).toBeUndefined();
    expect(pickCandidate([], now, Math.random, [first!])).toBeUndefined();
    expect(pickCandidate([first!], now, Math.random, [first!])).toBeUndefined();
    expect(pickCandidate([first!], now, Math.random, [second!])).toBe(first);
    expect(pickCandidate([first!, second!], now, Math.random, [second!, first!])).toBeUndefined();
  });

  test("the only one is taken as it is", () => {
    const only = candidate("only", { failingUntil: now + 1 });
    only.state = "out";
    only.ejectedUntil = now + 1;
    expect(pickCandidate([only], now, Math.random, noneTried)).toBe(only);
  });
});
