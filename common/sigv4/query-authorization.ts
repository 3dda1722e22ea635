/**
 * Signatures in the query: presigned URLs ("Authenticating Requests: Using Query Parameters", for services other than S3:
 * nothing says that the body is unsigned unless `X-Amz-Content-Sha256` does). As strict as the Authorization field: each
 * parameter once, spelt as AWS's signers spell it.
 */
import { createClaim, signatureText, type ParsedAuthorization } from "./authorization.ts";
import { decodeQuery } from "./canonical-query.ts";
import { algorithm } from "./canonical-request.ts";
import { SigV4Error } from "./error.ts";

export interface QueryAuthorization {
  readonly authorization: ParsedAuthorization;
  /** In the form of `x-amz-date`, not yet parsed. */
  readonly amzDate: string;
  /** 1 to 604,800 from the date on. */
  readonly expiresSeconds: number;
  /** Empty where there is none. */
  readonly securityToken: string;
  /** What `X-Amz-Content-Sha256` says, not yet parsed; undefined where there is none. */
  readonly contentSha256: string | undefined;
  /** The query that the signature covers: all but the signature itself. */
  readonly signedQuery: string;
  /** What is left for the application: nothing that belongs to the signature. */
  readonly applicationQuery: string;
}

/** By lower-case name. AWS's SDKs turn the field `x-amz-content-sha256` into a parameter as it was spelt. */
const parameterNames = new Map([
  ["x-amz-algorithm", "X-Amz-Algorithm"],
  ["x-amz-credential", "X-Amz-Credential"],
  ["x-amz-date", "X-Amz-Date"],
  ["x-amz-expires", "X-Amz-Expires"],
  ["x-amz-signedheaders", "X-Amz-SignedHeaders"],
  ["x-amz-signature", "X-Amz-Signature"],
  ["x-amz-security-token", "X-Amz-Security-Token"],
  ["x-amz-content-sha256", undefined],
]);

const maxExpiresSeconds = 604_800;
const wholeSeconds = /^[1-9]\d{0,5}$/;

/**
 * `query` as sent, without its question mark; `hasQueryAuthentication` said that it carries a signature.
 *
 * Throws SigV4Error: `malformed-authorization`, `unsupported-algorithm`, `wrong-scope` (a scope with another terminator),
 * `malformed-query`.
 */
export function parseQueryAuthorization(query: string): QueryAuthorization {
  const values = new Map<string, string>();
  const signedParts: string[] = [];
  const applicationParts: string[] = [];
  for (const part of query.split("&")) {
    const equals = part.indexOf("=");
    const rawName = equals < 0 ? part : part.slice(0, equals);
    const name = decodeQuery(rawName).toLowerCase();
    if (name !== "x-amz-signature") signedParts.push(part);
    if (!parameterNames.has(name)) {
      applicationParts.push(part);
      continue;
    }
    const escaped = rawName.toLowerCase() !== name;
    if (escaped || rawName !== (parameterNames.get(name) ?? rawName)) {
      throw malformed("a parameter of the signature is not spelt as AWS spells it");
    }
    if (values.has(name)) throw malformed("a parameter of the signature comes twice");
    values.set(name, equals < 0 ? "" : decodeQuery(part.slice(equals + 1)));
  }

  const signedAlgorithm = required(values, "x-amz-algorithm");
  if (signedAlgorithm !== algorithm) throw new SigV4Error("unsupported-algorithm", `only ${algorithm} is accepted`);
  const claim = createClaim(required(values, "x-amz-credential"), required(values, "x-amz-signedheaders"));
  const signature = required(values, "x-amz-signature");
  if (!signatureText.test(signature)) throw malformed("the signature is not 64 lower-case hexadecimal digits");
  return {
    authorization: { claim, signature },
    amzDate: required(values, "x-amz-date"),
    expiresSeconds: parseExpires(required(values, "x-amz-expires")),
    securityToken: values.get("x-amz-security-token") ?? "",
    contentSha256: values.get("x-amz-content-sha256"),
    signedQuery: signedParts.join("&"),
    applicationQuery: applicationParts.join("&"),
  };
}

function required(values: ReadonlyMap<string, string>, name: string): string {
  const value = values.get(name);
  if (value === undefined || value === "") throw malformed("the signature in the query lacks a parameter");
  return value;
}

function parseExpires(text: string): number {
  const seconds = wholeSeconds.test(text) ? Number(text) : Number.NaN;
  if (!(seconds <= maxExpiresSeconds)) throw malformed("X-Amz-Expires is not a number of seconds from 1 to 604800");
  return seconds;
}

function malformed(message: string): SigV4Error {
  return new SigV4Error("malformed-authorization", message);
}
