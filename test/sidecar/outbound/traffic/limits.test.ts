/** When a breaker is open. */
import { expect, test } from "vitest";
import { createBreaker, pendingOpen, requestsOpen } from "../../../../sidecar/outbound/traffic/limits.ts";

test.each([
  [0, 2, false],
  [1, 2, false],
  [2, 2, true],
  [3, 2, true],
  [0, 0, false],
  [1_000_000, 0, false],
])("%i calls where %i are allowed", (count, limit, open) => {
  const breaker = { ...createBreaker(), active: count, pending: 0 };
  expect(requestsOpen(breaker, { maxConcurrentRequests: limit, maxPendingRequests: 1 })).toBe(open);
  const waiting = { ...createBreaker(), active: 0, pending: count };
  expect(pendingOpen(waiting, { maxConcurrentRequests: 1, maxPendingRequests: limit })).toBe(open);
});
