/** Comparison of two signatures in constant time. */
import { timingSafeEqual } from "node:crypto";

const digits = 64;
const expectedBytes = Buffer.alloc(digits);
const claimedBytes = Buffer.alloc(digits);

/** Both in lower-case hexadecimal; of another length than a signature's, they are not the same. */
export function sameSignature(expected: string, claimed: string): boolean {
  // Shorter text would leave bytes of an earlier signature behind.
  if (expected.length !== digits || claimed.length !== digits) return false;
  expectedBytes.write(expected, "latin1");
  claimedBytes.write(claimed, "latin1");
  return timingSafeEqual(expectedBytes, claimedBytes);
}
