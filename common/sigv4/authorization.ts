/**
 * The Authorization field of SigV4. Takes what AWS's signers write and nothing beside it: each part once, the signature
 * last and in lower-case hexadecimal, signed headers sorted, once each, `host` among them.
 *
 * Hot path: all but the signature repeats for a caller within a day, so it is parsed once and then shared.
 */
import { createRecentCache } from "../http/recent-cache.ts";
import { algorithm } from "./canonical-request.ts";
import { SigV4Error } from "./error.ts";
import { parseScope, type CredentialScope } from "./scope.ts";

/** What repeats from request to request. */
export interface SignatureClaim {
  readonly accessKeyId: string;
  readonly scope: CredentialScope;
  /** `date/region/service/aws4_request` */
  readonly scopeText: string;
  /** Names joined by semicolons. */
  readonly signedHeaders: string;
  readonly signedNames: ReadonlySet<string>;
}

export interface ParsedAuthorization {
  readonly claim: SignatureClaim;
  /** 64 lower-case hexadecimal digits. */
  readonly signature: string;
}

const claims = createRecentCache<SignatureClaim>(2048, 2048);
const signatureName = "Signature=";
const signatureDigits = 64;
export const signatureText: RegExp = /^[0-9a-f]{64}$/;

/**
 * Throws SigV4Error: `missing-authorization` for another scheme, `unsupported-algorithm`, `malformed-authorization`,
 * `wrong-scope` (a scope with another terminator).
 */
export function parseAuthorization(value: string): ParsedAuthorization {
  const signatureStart = value.length - signatureDigits;
  const claimText = value.slice(0, signatureStart);
  let claim = claims.get(claimText);
  if (claim === undefined) {
    claim = parseClaim(value, claimText);
    claims.set(claimText, claim);
  }
  const signature = value.slice(signatureStart);
  if (!signatureText.test(signature)) throw malformed("the signature is not 64 lower-case hexadecimal digits");
  return { claim, signature };
}

const otherAlgorithm = /^AWS4-/i;
const separator = /,[ \t]*/;
const headerNames = /^[!#$%&'*+.^_`|~0-9a-z-]+(?:;[!#$%&'*+.^_`|~0-9a-z-]+)*$/;
const accessKey = /^\w{1,128}$/;

function parseClaim(value: string, claimText: string): SignatureClaim {
  if (!value.startsWith(`${algorithm} `)) {
    if (otherAlgorithm.test(value)) throw new SigV4Error("unsupported-algorithm", `only ${algorithm} is accepted`);
    throw new SigV4Error("missing-authorization", `the Authorization is not ${algorithm}`);
  }
  if (!claimText.endsWith(signatureName)) throw malformed("the Authorization does not end in a signature of 64 digits");
  const parts = claimText.slice(algorithm.length).trimStart().split(separator);
  if (parts.pop() !== signatureName) throw malformed("the Authorization has a part that is unknown or repeated");
  let credential: string | undefined;
  let signedHeaders: string | undefined;
  for (const part of parts) {
    if (credential === undefined && part.startsWith("Credential=")) credential = part.slice("Credential=".length);
    else if (signedHeaders === undefined && part.startsWith("SignedHeaders=")) signedHeaders = part.slice("SignedHeaders=".length);
    else throw malformed("the Authorization has a part that is unknown or repeated");
  }
  if (credential === undefined || signedHeaders === undefined) throw malformed("the Authorization lacks a part");
  return createClaim(credential, signedHeaders);
}

/**
 * `credential` is `accessKeyId/date/region/service/aws4_request`, `signedHeaders` names joined by semicolons. Throws
 * SigV4Error: `malformed-authorization`, `wrong-scope`.
 */
export function createClaim(credential: string, signedHeaders: string): SignatureClaim {
  const signedNames = parseSignedHeaders(signedHeaders);
  const slash = credential.indexOf("/");
  const accessKeyId = credential.slice(0, Math.max(slash, 0));
  if (!accessKey.test(accessKeyId)) throw malformed("the credential has no access key id");
  const scopeText = credential.slice(slash + 1);
  return { accessKeyId, scope: parseScope(scopeText), scopeText, signedHeaders, signedNames };
}

function parseSignedHeaders(text: string): ReadonlySet<string> {
  if (!headerNames.test(text)) throw malformed("SignedHeaders is not a list of lower-case names");
  const names = new Set<string>();
  let previous = "";
  for (const name of text.split(";")) {
    if (name <= previous) throw malformed("SignedHeaders is not sorted, or names a header twice");
    names.add(name);
    previous = name;
  }
  if (!names.has("host")) throw malformed("SignedHeaders lacks host");
  if (names.has("authorization")) throw malformed("SignedHeaders names authorization");
  return names;
}

/** Whether the signature covers the fields of that lower-case name: what it does not cover, anybody may have written. */
export function isSigned(authorization: ParsedAuthorization, name: string): boolean {
  return authorization.claim.signedNames.has(name);
}

function malformed(message: string): SigV4Error {
  return new SigV4Error("malformed-authorization", message);
}

/** The claim's part of an Authorization value; the signature's digits come after it. */
export function formatClaim(accessKeyId: string, scopeText: string, signedHeaders: string): string {
  return `${algorithm} Credential=${accessKeyId}/${scopeText}, SignedHeaders=${signedHeaders}, ${signatureName}`;
}
