/** How old, or how far ahead, a signed request may be. */
import { parseAmzDate } from "./amz-date.ts";
import { SigV4Error } from "./error.ts";
import type { CredentialScope } from "./scope.ts";

/** Seconds either way (signing.md, "Time and replay"; AWS's own figure). */
export const defaultSkewSeconds = 300;

/**
 * Holds `x-amz-date` to the receiver's clock and to the scope's day. Returns the date in seconds since 1970.
 *
 * Throws SigV4Error: `malformed-date`, `request-expired`, `request-in-future`, `scope-date-mismatch`.
 */
export function checkDate(amzDate: string, scope: CredentialScope, nowSeconds: number, skewSeconds: number = defaultSkewSeconds): number {
  return checkAge(amzDate, scope, nowSeconds, skewSeconds, skewSeconds);
}

/**
 * The same for a signature in the query, which is good for `lifeSeconds` from its date on: the skew only excuses a date
 * that lies ahead.
 */
export function checkPresignedDate(
  amzDate: string,
  scope: CredentialScope,
  nowSeconds: number,
  lifeSeconds: number,
  skewSeconds: number = defaultSkewSeconds,
): number {
  return checkAge(amzDate, scope, nowSeconds, lifeSeconds, skewSeconds);
}

function checkAge(amzDate: string, scope: CredentialScope, nowSeconds: number, oldest: number, furthestAhead: number): number {
  const date = parseAmzDate(amzDate);
  // Written so that a clock that reads NaN refuses.
  if (!(nowSeconds - date <= oldest)) throw new SigV4Error("request-expired", "the request was signed too long ago");
  if (!(date - nowSeconds <= furthestAhead))
    throw new SigV4Error("request-in-future", "the request's date lies ahead of the receiver's clock");
  if (!amzDate.startsWith(scope.date))
    throw new SigV4Error("scope-date-mismatch", "the credential scope is for another day than the request's");
  return date;
}
