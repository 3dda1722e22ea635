/** Which calls may be made again: the table of every case. */
import { describe, expect, test } from "vitest";
import { mayRetry, type TryFailure } from "../../../../sidecar/outbound/traffic/retry.ts";

const whole = { answered: false, bodyWhole: true, bodySent: true };
const streamedUnsent = { answered: false, bodyWhole: false, bodySent: false };
const streamedSent = { answered: false, bodyWhole: false, bodySent: true };
const failures: readonly TryFailure[] = ["connect", "refused", "lost", "rejected", "timeout"];
/** The failures after which such a call may go again. */
const after = (method: string, call: typeof whole) => failures.filter((failure) => mayRetry(failure, { method, ...call }));

describe("a call may be made again", () => {
  test.each(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"])("%s with its body at hand: unless its time is spent", (method) => {
    expect(after(method, whole)).toEqual(["connect", "refused", "lost", "rejected"]);
  });

  test.each(["POST", "PATCH", "CONNECT", "get", "PROPFIND"])("%s with its body at hand: where nobody can have acted on it", (method) => {
    expect(after(method, whole)).toEqual(["connect", "refused", "rejected"]);
  });

  test.each(["GET", "PUT", "POST"])("%s whose body is sent as it comes: while nothing of it has gone", (method) => {
    expect(after(method, streamedUnsent)).toEqual(["connect", "refused"]);
    expect(after(method, streamedSent)).toEqual([]);
  });

  test.each(["GET", "POST"])("%s: never when something of an answer has been seen", (method) => {
    expect(after(method, { ...whole, answered: true })).toEqual([]);
    expect(after(method, { ...streamedUnsent, answered: true })).toEqual([]);
  });
});
