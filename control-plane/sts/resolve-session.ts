/**
 * ResolveSession: the key by which a receiver verifies one session's signatures, good for one day and the receiver's own
 * service. The receiver never sees the secret, and gets no key for a service that it does not serve.
 */
import { identitiesOfService } from "../../common/resources/service-names.ts";
import { scopeServiceOf } from "../../common/resources/service-names.ts";
import type { Session } from "../../common/session/claims.ts";
import { deriveSigningKey } from "../../common/sigv4/signing-key.ts";
import type { SpiffeId } from "../../common/spiffe/id.ts";
import { fromString } from "../../common/spiffe/id.ts";
import type { MeshState } from "../resources/mesh-state.ts";
import { checkNotQuarantined } from "../server/peer.ts";
import { RequestError } from "../server/request-error.ts";
import { secretAccessKeyOf } from "./access-key.ts";
import type { Epoch } from "./epochs.ts";
import { rolesOf } from "./roles.ts";

/** Throws RequestError `permission-denied` unless the receiver serves the service of that credential scope. */
export function checkServes(receiver: SpiffeId, scopeService: string, state: MeshState): void {
  for (const service of state.services.values()) {
    if (scopeServiceOf(service) === scopeService && identitiesOfService(service, state.trustDomain).includes(receiver)) return;
  }
  throw new RequestError("permission-denied", "not-serving", "the caller does not serve this service");
}

/**
 * Throws RequestError `invalid-argument` unless `date` (`yyyymmdd`) is a day of the session's life so far, by some clock within
 * the permitted skew: what was signed for later use (a presigned URL) may be of yesterday.
 */
export function checkScopeDate(date: string, { issuedAtSeconds }: Pick<Session, "issuedAtSeconds">, state: MeshState, now: number): void {
  const skew = state.mesh.spec.maxClockSkewSeconds * 1000;
  // No session lasts a whole day, so these are all its days.
  const days = [issuedAtSeconds * 1000 - skew, now - skew, now, now + skew].map((time) =>
    new Date(time).toISOString().slice(0, 10).replaceAll("-", ""),
  );
  if (!days.includes(date)) throw new RequestError("invalid-argument", "wrong-date", "the date is no day of the session's life");
}

/** Whether the session is still wanted. Throws RequestError `permission-denied`. */
export function checkSessionStands(session: Session, state: MeshState): void {
  const role = rolesOf(state).get(session.roleArn);
  if (role === undefined) throw new RequestError("permission-denied", "unknown-role", "the session's role does not exist any more");
  if (session.issuedAtSeconds < role.revokedBeforeSeconds) {
    throw new RequestError("permission-denied", "session-revoked", "the session is revoked");
  }
  checkNotQuarantined(fromString(session.spiffeId), state);
}

/** 32 bytes. */
export function scopedKey(session: Session, epoch: Epoch, date: string, region: string, scopeService: string): Buffer {
  return deriveSigningKey(secretAccessKeyOf(session.accessKeyId, epoch.secretKey), date, region, scopeService);
}
