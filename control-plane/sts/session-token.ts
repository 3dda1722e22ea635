/** Writes session tokens; what is in them stands in common/session/claims.ts, which reads them. */
import { SignJWT } from "jose";
import { maxSessionTokenLength, sessionAudience, sessionTokenType } from "../../common/session/claims.ts";
import type { Session, SessionClaims } from "../../common/session/claims.ts";
import { RequestError } from "../server/request-error.ts";
import type { Epoch } from "./epochs.ts";

/** Throws RequestError `packed-policy-too-large` when policy and tags together do not fit into a token. */
export async function signSessionToken(session: Session, epoch: Epoch): Promise<string> {
  const claims: SessionClaims = {
    iss: session.trustDomain,
    aud: sessionAudience(session.trustDomain),
    sub: session.roleArn,
    jti: session.accessKeyId,
    iat: session.issuedAtSeconds,
    exp: session.expiresAtSeconds,
    ssn: session.sessionName,
    cnf: { spiffe: session.spiffeId },
    att: session.attestation,
    ...(session.tags.size === 0 ? {} : { tags: [...session.tags] }),
    ...(session.sourceIdentity === undefined ? {} : { src: session.sourceIdentity }),
    ...(session.sessionPolicy === undefined ? {} : { policy: session.sessionPolicy }),
  };
  const token = await new SignJWT(claims)
    .setProtectedHeader({ alg: "ES256", typ: sessionTokenType, kid: epoch.keyId })
    .sign(epoch.signingKey);
  if (token.length <= maxSessionTokenLength) return token;
  throw new RequestError("invalid-argument", "packed-policy-too-large", "session policy and tags together are too large");
}
