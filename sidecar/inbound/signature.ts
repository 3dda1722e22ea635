/**
 * Reads the signature of a request, in the Authorization field or in the query, as far as that goes without the session's
 * key: well formed, dated rightly, for this region and service, everything signed that has to be.
 *
 * Does not verify anything (authenticate.ts does, once the session is known).
 */
import type { Field } from "../../common/http/field.ts";
import { parseAuthorization, type ParsedAuthorization } from "../../common/sigv4/authorization.ts";
import { checkDate, checkPresignedDate } from "../../common/sigv4/check-date.ts";
import { SigV4Error } from "../../common/sigv4/error.ts";
import { absent, orderForPresigned, orderForVerifying, type HeaderOrder } from "../../common/sigv4/header-order.ts";
import { parseQueryAuthorization } from "../../common/sigv4/query-authorization.ts";
import type { Presigned } from "./served.ts";

export interface Signature {
  readonly authorization: ParsedAuthorization;
  readonly order: HeaderOrder;
  /** In the form of `x-amz-date`. */
  readonly amzDate: string;
  /** The same in seconds since 1970. */
  readonly date: number;
  /** The session token, or empty. */
  readonly token: string;
  /** What is declared of the body, or empty. */
  readonly contentSha256: string;
  /** What of the query is signed, and what of it is the application's. */
  readonly signedQuery: string;
  readonly applicationQuery: string;
  readonly presigned: boolean;
}

/** Epoch seconds, and the skew that the mesh permits. */
export interface SignatureTime {
  readonly nowSeconds: number;
  readonly skewSeconds: number;
}

/** `value` is that of the one Authorization field. Throws SigV4Error. */
export function readSignature(value: string, fields: readonly Field[], query: string, time: SignatureTime): Signature {
  const authorization = parseAuthorization(value);
  const { claim } = authorization;
  const order = orderForVerifying(fields, claim.signedHeaders);
  const amzDate = valueAt(fields, order.date);
  return {
    authorization,
    order,
    amzDate,
    date: checkDate(amzDate, claim.scope, time.nowSeconds, time.skewSeconds),
    token: valueAt(fields, order.securityToken),
    contentSha256: valueAt(fields, order.contentSha256),
    signedQuery: query,
    applicationQuery: query,
    presigned: false,
  };
}

/** For a query that `hasQueryAuthentication`, where the service takes it. Throws SigV4Error. */
export function readPresignature(query: string, fields: readonly Field[], presigned: Presigned, time: SignatureTime): Signature {
  const parsed = parseQueryAuthorization(query);
  const { authorization, amzDate, contentSha256 } = parsed;
  const { claim } = authorization;
  const order = orderForPresigned(fields, claim.signedHeaders);
  if (contentSha256 !== undefined && order.contentSha256 !== absent) {
    throw new SigV4Error("duplicate-header", "both query and fields say the hash of the body");
  }
  const life = Math.min(parsed.expiresSeconds, presigned.maxExpiresSeconds);
  return {
    authorization,
    order,
    amzDate,
    date: checkPresignedDate(amzDate, claim.scope, time.nowSeconds, life, time.skewSeconds),
    token: parsed.securityToken,
    contentSha256: contentSha256 ?? valueAt(fields, order.contentSha256),
    signedQuery: parsed.signedQuery,
    applicationQuery: parsed.applicationQuery,
    presigned: true,
  };
}

/** The value at one of an order's positions; empty where it has none. */
export function valueAt(fields: readonly Field[], position: number): string {
  return position < 0 ? "" : (fields[position]?.value ?? "");
}
