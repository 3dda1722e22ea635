/**
 * Verifies signatures on the receiver's side.
 *
 * Guarantees for a request that passes: the holder of the key signed this method, path, query, host, payload hash and every
 * field that the claim's `signedNames` has, among them all `x-amz-*`, sequence and audience fields there are.
 * Does not check the date (check-date.ts), the scope against the service (scope.ts), the body against its hash, or
 * whether the request was seen before.
 *
 * Hot path: one hash and one HMAC a request.
 */
import { createHmac, timingSafeEqual, type KeyObject } from "node:crypto";
import type { ParsedAuthorization } from "./authorization.ts";
import { fieldAt, stringToSign, type SignableRequest } from "./canonical-request.ts";
import { SigV4Error } from "./error.ts";
import { orderForVerifying, type HeaderOrder } from "./header-order.ts";

const claimed = Buffer.alloc(32);

/**
 * `order` comes from `orderForVerifying(request.fields, authorization.claim.signedHeaders)`; a caller that needed it before
 * the key was known hands it in. Compares in constant time. Returns the order.
 *
 * Throws SigV4Error: `signature-mismatch`, `malformed-query`, and what orderForVerifying throws.
 */
export function verifyRequest(
  request: SignableRequest,
  authorization: ParsedAuthorization,
  key: KeyObject,
  order: HeaderOrder = orderForVerifying(request.fields, authorization.claim.signedHeaders),
): HeaderOrder {
  const date = fieldAt(request.host, request.fields, order.date).value;
  const text = stringToSign(request, order, date, authorization.claim.scopeText);
  const expected = createHmac("sha256", key).update(text).digest();
  // A signature that is not 64 hexadecimal digits would leave bytes of an earlier one behind.
  const written = claimed.write(authorization.signature, "hex");
  if (written !== claimed.length || !timingSafeEqual(expected, claimed)) {
    throw new SigV4Error("signature-mismatch", "the signature is not that of this request");
  }
  return order;
}
