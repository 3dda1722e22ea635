/**
 * Verifies signatures on the receiver's side.
 *
 * Guarantees for a request that passes: the holder of the key signed this method, path, query, host, payload hash and every
 * field that the claim's `signedNames` has, among them all `x-amz-*`, sequence and audience fields there are.
 * Does not check the date (check-date.ts), the scope against the service (scope.ts), the body against its hash, or
 * whether the request was seen before.
 *
 * Hot path: a canonical request, its hash and an HMAC each time.
 */
import type { KeyObject } from "node:crypto";
import type { ParsedAuthorization } from "./authorization.ts";
import { fieldAt, stringToSign, type SignableRequest } from "./canonical-request.ts";
import { hmacSha256Hex } from "./digest.ts";
import { SigV4Error } from "./error.ts";
import { orderForVerifying, type HeaderOrder } from "./header-order.ts";
import { sameSignature } from "./same-signature.ts";

/**
 * `order` comes from `orderForVerifying(request.fields, authorization.claim.signedHeaders)`; a caller that needed it before
 * the key was known hands it in. For a signature in the query it comes from `orderForPresigned`, `amzDate` and the query to
 * verify from `parseQueryAuthorization`. Compares in constant time. Returns the order.
 *
 * Throws SigV4Error: `signature-mismatch`, `malformed-query`, and what orderForVerifying throws.
 */
export function verifyRequest(
  request: SignableRequest,
  authorization: ParsedAuthorization,
  key: KeyObject,
  order: HeaderOrder = orderForVerifying(request.fields, authorization.claim.signedHeaders),
  amzDate: string = fieldAt(request.host, request.fields, order.date).value,
): HeaderOrder {
  const expected = hmacSha256Hex(key, stringToSign(request, order, amzDate, authorization.claim.scopeText));
  if (!sameSignature(expected, authorization.signature)) {
    throw new SigV4Error("signature-mismatch", "the signature is not that of this request");
  }
  return order;
}
