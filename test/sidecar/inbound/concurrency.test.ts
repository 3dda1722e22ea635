/** How many calls of a service may be with its application at once. */
import { expect, test } from "vitest";
import { createConcurrency, leave } from "../../../sidecar/inbound/concurrency.ts";

test("as many as the limit, and one more when one has left", () => {
  const concurrency = createConcurrency();
  const first = concurrency.enter("target.shop", 2);
  expect(concurrency.enter("target.shop", 2)).toBeDefined();
  expect(concurrency.enter("target.shop", 2)).toBeUndefined();
  // What was refused has not been counted.
  leave(first!);
  expect(concurrency.enter("target.shop", 2)).toBeDefined();
  expect(concurrency.enter("target.shop", 2)).toBeUndefined();
  expect(concurrency.active().get("target.shop")?.active).toBe(2);
});

test("0 is no limit, and a limit that is lowered holds for those that come", () => {
  const concurrency = createConcurrency();
  for (let call = 0; call < 10; call++) expect(concurrency.enter("target.shop", 0)).toBeDefined();
  expect(concurrency.enter("target.shop", 5)).toBeUndefined();
});

test("services do not count for each other", () => {
  const concurrency = createConcurrency();
  expect(concurrency.enter("target.shop", 1)).toBeDefined();
  expect(concurrency.enter("constructor", 1)).toBeDefined();
  expect(concurrency.enter("constructor", 1)).toBeUndefined();
});
