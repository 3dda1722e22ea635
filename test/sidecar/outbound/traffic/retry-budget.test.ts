/** How many retries a destination bears. */
import { array, assert, integer, property, record, constantFrom } from "fast-check";
import { describe, expect, test } from "vitest";
import { createRetryBudget, leastPerSecond, windowSeconds } from "../../../../sidecar/outbound/traffic/retry-budget.ts";

const always = leastPerSecond * windowSeconds;
const start = 123_456_789;

function granted(budget: ReturnType<typeof createRetryBudget>, now: number, percent: number): number {
  let count = 0;
  while (budget.retry(now, percent)) count++;
  return count;
}

describe("a retry budget", () => {
  test("is never nothing: a quiet caller may retry", () => {
    expect(granted(createRetryBudget(), start, 20)).toBe(always);
    expect(granted(createRetryBudget(), start, 0)).toBe(always);
  });

  test("is a share of the requests", () => {
    const budget = createRetryBudget();
    for (let request = 0; request < 10_000; request++) budget.request(start);
    expect(granted(budget, start, 20)).toBe(2000);
    // No request, no further retry.
    expect(budget.retry(start, 20)).toBe(false);
    for (let request = 0; request < 5; request++) budget.request(start);
    expect(granted(budget, start, 20)).toBe(1);
  });

  test("forgets requests, and retries, after ten seconds", () => {
    const budget = createRetryBudget();
    for (let request = 0; request < 10_000; request++) budget.request(start);
    expect(granted(budget, start + 9000, 20)).toBe(2000);
    // The requests have left the window; the retries that were made for them have not.
    expect(granted(budget, start + 10_000, 20)).toBe(0);
    expect(granted(budget, start + 19_000, 20)).toBe(always);
  });

  test("is whole again after any silence", () => {
    const budget = createRetryBudget();
    expect(granted(budget, start, 20)).toBe(always);
    expect(granted(budget, start + 1e9, 20)).toBe(always);
  });

  test("takes a time that is a little late for the present", () => {
    const budget = createRetryBudget();
    budget.request(start);
    budget.request(start - 900);
    expect(granted(budget, start - 900, 100)).toBe(always);
  });

  test("over any ten seconds grants at most what it says", () => {
    const step = record({ what: constantFrom("request", "request", "retry"), after: integer({ min: 0, max: 300 }) });
    const bounded = property(array(step, { maxLength: 600 }), integer({ min: 0, max: 100 }), (steps, percent) => {
      const budget = createRetryBudget();
      const requests: number[] = [];
      const retries: number[] = [];
      let now = start;
      for (const { what, after } of steps) {
        now += after;
        if (what === "request") {
          budget.request(now);
          requests.push(now);
        } else if (budget.retry(now, percent)) retries.push(now);
        // Whole seconds leave the window: at least nine seconds are in it, at most ten.
        const long = (each: number) => each > now - windowSeconds * 1000;
        const short = (each: number) => each > now - (windowSeconds - 1) * 1000;
        const most = Math.max(always, (requests.filter(long).length * percent) / 100);
        if (retries.filter(short).length > most) return false;
      }
      return true;
    });
    expect(() => assert(bounded)).not.toThrow();
  });
});
