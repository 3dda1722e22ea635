/** What each reason of a receiving sidecar says about it as an endpoint. */
import { expect, test } from "vitest";
import { reasonStatus } from "../../../../sidecar/reason.ts";
import { failureOfRefusal } from "../../../../sidecar/outbound/traffic/peer-refusal.ts";

test("decisions about a caller or a request are no failures of the endpoint", () => {
  const failures = Object.keys(reasonStatus).filter((reason) => failureOfRefusal(reason) !== undefined);
  expect(failures.toSorted()).toEqual([
    "not-ready",
    "overloaded",
    "replay-memory-full",
    "upstream-failed",
    "upstream-refused",
    "upstream-timeout",
    "wrong-audience",
  ]);
});

test("a reason that is none is none", () => {
  expect(failureOfRefusal("constructor")).toBeUndefined();
  expect(failureOfRefusal("")).toBeUndefined();
});
