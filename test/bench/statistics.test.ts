import { expect, test } from "vitest";
import { median, percentile, slope } from "./statistics.ts";

test("medians of an odd and an even count, and of nothing", () => {
  expect(median([9, 1, 2])).toBe(2);
  expect(median([4, 1, 2, 100])).toBe(3);
  expect(median([])).toBeNaN();
});

test("a percentile is a value that occurred: the least that enough of them do not exceed", () => {
  const hundred = Array.from({ length: 100 }, (_, index) => index + 1);
  expect([0, 0.5, 0.99, 0.999, 1].map((share) => percentile(hundred, share))).toEqual([1, 50, 99, 100, 100]);
  expect(percentile([7], 0.5)).toBe(7);
  expect(percentile([], 0.5)).toBeNaN();
});

test("the slope of a line is found under noise around it, and there is none through one point", () => {
  const points = Array.from({ length: 50 }, (_, x) => ({ x, y: 3 + 2 * x + (x % 2 === 0 ? 5 : -5) }));
  expect(slope(points)).toBeCloseTo(2, 1);
  expect(slope([{ x: 1, y: 1 }])).toBeNaN();
  expect(slope([])).toBeNaN();
  expect(slope([1, 2, 3].map((x) => ({ x, y: 10 })))).toBe(0);
});
