/**
 * The session token: a JWT (ES256) in which the control plane states what one role session is. It proves nothing by
 * itself; a request proves that its sender holds the session's secret by signing with it, and the token travels along as
 * `x-amz-security-token` so that a receiver knows whose signature to expect. Both sides read it here.
 *
 * `verifySessionToken` guarantees: signed by a key of the mesh's JWKS with ES256, of type `csn-session+jwt`, for this
 * trust domain, not expired, every claim present and well formed. It does not check revocation, nor that the bound
 * SPIFFE id is the peer's: the receiver does, with `Session.spiffeId`.
 */
import { createLocalJWKSet, errors, jwtVerify } from "jose";
import type { JSONWebKeySet, JWTPayload } from "jose";
import { z } from "zod";

export const sessionTokenType = "csn-session+jwt";
/** Longest token issued or read, in characters. AWS calls beyond it `PackedPolicyTooLarge`. */
export const maxSessionTokenLength = 8192;
/** How far in the future `iat` may lie, in seconds, for clocks that disagree. */
const maxIssuedAhead = 300;

/** `aud` of every session token of the mesh. */
export function sessionAudience(trustDomain: string): string {
  return `mesh/${trustDomain}`;
}

/** The payload, claim by claim. Optional ones are absent rather than empty. */
const claimsSchema = z.strictObject({
  /** Trust domain that issued it. */
  iss: z.string(),
  /** `sessionAudience(iss)`. */
  aud: z.string(),
  /** ARN of the role: `arn:mesh:iam:<trust domain>:<namespace>:role/<name>`. */
  sub: z.string().startsWith("arn:mesh:iam:"),
  /** Access key id of the session. */
  jti: z.string().regex(/^CSGN[A-Z2-7]{16}$/),
  /** Seconds since 1970. */
  iat: z.int().nonnegative(),
  exp: z.int().nonnegative(),
  /** Session name. */
  ssn: z.string().regex(/^[\w+=,.@-]{2,64}$/),
  /** Confirmation (after RFC 7800): the SPIFFE id of the only workload that may use the session. */
  cnf: z.strictObject({ spiffe: z.string().startsWith("spiffe://") }),
  /** How the caller had been attested when the session was issued: `join-token`, `svid`, … */
  att: z.string().min(1).max(64),
  /** Session tags as pairs, so that no tag's name meets an object's prototype. */
  tags: z
    .array(z.tuple([z.string().min(1).max(128), z.string().max(256)]))
    .max(50)
    .optional(),
  /** Source identity. */
  src: z.string().min(2).max(64).optional(),
  /** Session policy: an IAM document, JSON, at most 2048 characters. */
  policy: z.string().min(1).max(2048).optional(),
});

export type SessionClaims = z.infer<typeof claimsSchema>;

/** A verified session token. */
export interface Session {
  readonly accessKeyId: string;
  readonly trustDomain: string;
  readonly roleArn: string;
  readonly sessionName: string;
  /** The only SPIFFE id that may use the session. */
  readonly spiffeId: string;
  readonly attestation: string;
  readonly tags: ReadonlyMap<string, string>;
  readonly sourceIdentity: string | undefined;
  /** IAM document, JSON, still to be parsed. */
  readonly sessionPolicy: string | undefined;
  readonly issuedAtSeconds: number;
  readonly expiresAtSeconds: number;
}

export type SessionTokenErrorCode =
  | "malformed"
  | "wrong-algorithm"
  | "wrong-type"
  | "unknown-key"
  | "bad-signature"
  | "wrong-issuer"
  | "wrong-audience"
  | "not-yet-valid"
  | "expired"
  | "bad-claim";

export class SessionTokenError extends Error {
  override readonly name = "SessionTokenError";
  readonly code: SessionTokenErrorCode;

  constructor(code: SessionTokenErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** The public keys that may have signed a session token. */
export type SessionKeys = ReturnType<typeof createLocalJWKSet>;

/** Reads a JWKS document, `Snapshot.session_jwks`. Throws SessionTokenError `malformed`. */
export function sessionKeysFromJwks(document: string): SessionKeys {
  try {
    return createLocalJWKSet(JSON.parse(document) as JSONWebKeySet);
  } catch (error) {
    throw new SessionTokenError("malformed", "not a JWKS document", { cause: error });
  }
}

/**
 * Verifies a session token and returns what it says. `now` is in milliseconds since 1970. Rejects with SessionTokenError
 * for anything but a valid token.
 */
export async function verifySessionToken(
  token: string,
  keys: SessionKeys,
  expected: { readonly trustDomain: string; readonly now: number },
): Promise<Session> {
  if (token.length > maxSessionTokenLength) throw new SessionTokenError("malformed", "the session token is too long");
  let payload: JWTPayload;
  try {
    const verified = await jwtVerify(token, keys, {
      algorithms: ["ES256"],
      typ: sessionTokenType,
      issuer: expected.trustDomain,
      audience: sessionAudience(expected.trustDomain),
      requiredClaims: ["iss", "aud", "sub", "jti", "iat", "exp"],
      currentDate: new Date(expected.now),
    });
    if (verified.protectedHeader.kid === undefined) throw new SessionTokenError("unknown-key", "the session token names no key");
    payload = verified.payload;
  } catch (error) {
    throw error instanceof SessionTokenError
      ? error
      : new SessionTokenError(codeOf(error), "the session token is not valid", { cause: error });
  }
  const claims = claimsSchema.safeParse(payload);
  if (!claims.success)
    throw new SessionTokenError("bad-claim", "a claim of the session token is missing or malformed", { cause: claims.error });
  const { data } = claims;
  if (data.iat > expected.now / 1000 + maxIssuedAhead) throw new SessionTokenError("not-yet-valid", "the session token is from the future");
  if (data.exp <= data.iat) throw new SessionTokenError("bad-claim", "the session token expires before it is issued");
  return {
    accessKeyId: data.jti,
    trustDomain: data.iss,
    roleArn: data.sub,
    sessionName: data.ssn,
    spiffeId: data.cnf.spiffe,
    attestation: data.att,
    tags: new Map(data.tags),
    sourceIdentity: data.src,
    sessionPolicy: data.policy,
    issuedAtSeconds: data.iat,
    expiresAtSeconds: data.exp,
  };
}

function codeOf(error: unknown): SessionTokenErrorCode {
  if (error instanceof errors.JWTExpired) return "expired";
  if (error instanceof errors.JWTClaimValidationFailed) {
    if (error.claim === "typ") return "wrong-type";
    if (error.claim === "iss") return "wrong-issuer";
    return error.claim === "aud" ? "wrong-audience" : "bad-claim";
  }
  if (error instanceof errors.JOSEAlgNotAllowed || error instanceof errors.JOSENotSupported) return "wrong-algorithm";
  if (error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys) return "unknown-key";
  if (error instanceof errors.JWSSignatureVerificationFailed) return "bad-signature";
  return "malformed";
}
