/** Signs requests on the caller's side. Hot path: a canonical request, its hash and an HMAC each time. */
import type { KeyObject } from "node:crypto";
import { formatClaim } from "./authorization.ts";
import { fieldAt, stringToSign, type SignableRequest } from "./canonical-request.ts";
import { hmacSha256Hex } from "./digest.ts";
import { SigV4Error } from "./error.ts";
import { orderForSigning } from "./header-order.ts";
import { formatScope, type CredentialScope } from "./scope.ts";

export interface RequestSignerOptions extends CredentialScope {
  readonly accessKeyId: string;
  /** For exactly this scope: see signing-key.ts. */
  readonly signingKey: KeyObject;
}

/** Returns the value of the Authorization field. */
export type RequestSigner = (request: SignableRequest) => string;

/**
 * A signer for one session, one day and one service. The request's fields must hold `x-amz-date`, of the scope's day, and
 * whatever else the receiver is to trust; header-order.ts says which of them are signed.
 *
 * The signer throws SigV4Error: `missing-date`, `scope-date-mismatch`, `duplicate-header`, `malformed-query`.
 */
export function createRequestSigner(options: RequestSignerOptions): RequestSigner {
  const { accessKeyId, signingKey } = options;
  const scopeText = formatScope(options);
  // Callers repeat themselves: most requests sign the names that the one before signed.
  let lastHeaders = "";
  let lastClaim = "";

  return (request) => {
    const order = orderForSigning(request.fields);
    const date = fieldAt(request.host, request.fields, order.date).value;
    if (!date.startsWith(options.date)) throw new SigV4Error("scope-date-mismatch", "x-amz-date is of another day than the signer's");
    if (order.text !== lastHeaders) {
      lastHeaders = order.text;
      lastClaim = formatClaim(accessKeyId, scopeText, order.text);
    }
    return lastClaim + hmacSha256Hex(signingKey, stringToSign(request, order, date, scopeText));
  };
}
