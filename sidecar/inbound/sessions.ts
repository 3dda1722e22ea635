/**
 * The sessions that callers came with: each token is verified once, its scoped key fetched once a service and day, and
 * both are kept until the session expires. What the control plane or the token's own signature refused is remembered
 * for a moment, so that a storm of bad tokens costs nobody else anything.
 *
 * Guarantees: a session handed out was signed by the control plane, has not expired, and its role is in the snapshot by
 * which the caller decides. Does not check that the caller may use it (see authenticate.ts).
 */
import { createSecretKey, type KeyObject } from "node:crypto";
import type { Clock } from "../../common/runtime/clock.ts";
import {
  maxSessionTokenLength,
  SessionTokenError,
  verifySessionToken,
  type Session,
  type SessionKeys,
} from "../../common/session/claims.ts";
import { callPatiently, isRefusal, type ControlPlane } from "../sync/control-plane.ts";
import type { Reason } from "../reason.ts";

/** A session together with the key that verifies its signatures for one service on one day. */
export interface SessionKey {
  readonly session: Session;
  readonly key: KeyObject;
  /** Names session, service and day: what a sequence of request numbers belongs to. */
  readonly id: string;
  readonly scopeService: string;
  readonly date: string;
}

export class SessionRefusedError extends Error {
  override readonly name = "SessionRefusedError";
  readonly reason: Reason;

  constructor(reason: Reason, cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
    this.reason = reason;
  }
}

export interface SessionsOptions {
  readonly controlPlane: () => ControlPlane;
  /** What verifies tokens, from the snapshot in force. */
  readonly keys: () => SessionKeys;
  readonly trustDomain: string;
  /** Resolves once the snapshot in force has at least that revision, or a short time has passed. */
  readonly revisionReached: (revision: number) => Promise<void>;
  readonly clock: Clock;
  readonly maxSessions: number;
}

export interface Sessions {
  /** What is known already, at no more than a few map look-ups; undefined when `resolve` has to find out. */
  lookup(token: string, scopeService: string, date: string): SessionKey | undefined;
  /** Single flight a token, service and day. Rejects with SessionRefusedError. */
  resolve(token: string, scopeService: string, date: string): Promise<SessionKey>;
  /** Drops sessions that have expired; to be called from time to time. */
  sweep(): void;
  size(): number;
}

interface Entry {
  readonly session: Session;
  last: SessionKey | undefined;
  readonly keys: Map<string, SessionKey>;
}

/** A control plane that is being restarted is back within it. */
const resolveTimeoutMs = 5000;
const refusedForMs = 5000;
const unreachableForMs = 500;
const maxRefused = 10_000;

export function createSessions(options: SessionsOptions): Sessions {
  const { clock } = options;
  const entries = new Map<string, Entry>();
  const pending = new Map<string, Promise<SessionKey>>();
  const refused = new Map<string, { readonly until: number; readonly error: SessionRefusedError }>();

  function remember(id: string, error: SessionRefusedError): void {
    if (refused.size >= maxRefused) {
      const [oldest] = refused.keys();
      if (oldest !== undefined) refused.delete(oldest);
    }
    const lasting = error.reason === "session-unresolved" ? unreachableForMs : refusedForMs;
    refused.set(id, { until: clock.now() + lasting, error });
  }

  async function verifiedSession(token: string): Promise<Session> {
    const known = entries.get(token);
    if (known && known.session.expiresAtSeconds * 1000 > clock.now()) return known.session;
    try {
      return await verifySessionToken(token, options.keys(), { trustDomain: options.trustDomain, now: clock.now() });
    } catch (error) {
      const expired = error instanceof SessionTokenError && error.code === "expired";
      throw new SessionRefusedError(expired ? "session-expired" : "session-invalid", error);
    }
  }

  async function fetchKey(token: string, scopeService: string, date: string): Promise<SessionKey> {
    const session = await verifiedSession(token);
    let response;
    try {
      response = await callPatiently(
        () => {
          const { tokens } = options.controlPlane();
          return tokens.resolveSession.bind(tokens);
        },
        { sessionToken: token, scopeService, date },
        { timeoutMs: resolveTimeoutMs, clock },
      );
    } catch (error) {
      throw new SessionRefusedError(isRefusal(error) ? "session-invalid" : "session-unresolved", error);
    }
    if (response.signingKey.length !== 32 || response.accessKeyId !== session.accessKeyId) {
      throw new SessionRefusedError("session-unresolved", "the control plane's answer does not belong to the session");
    }
    await options.revisionReached(response.revision);
    const id = `${session.accessKeyId}/${scopeService}/${date}`;
    const key: SessionKey = { session, key: createSecretKey(response.signingKey), id, scopeService, date };
    let entry = entries.get(token);
    if (!entry) {
      if (entries.size >= options.maxSessions) sweepOrEvict();
      entry = { session, last: key, keys: new Map() };
      entries.set(token, entry);
    }
    entry.last = key;
    // Today and a neighbour within the skew for every service of this sidecar: small by nature, bounded all the same.
    if (entry.keys.size >= 64) entry.keys.clear();
    entry.keys.set(`${scopeService}/${date}`, key);
    return key;
  }

  function sweepOrEvict(): void {
    sweep();
    if (entries.size < options.maxSessions) return;
    const [oldest] = entries.keys();
    if (oldest !== undefined) entries.delete(oldest);
  }

  function sweep(): void {
    const now = clock.now();
    for (const [token, entry] of entries) if (entry.session.expiresAtSeconds * 1000 <= now) entries.delete(token);
    for (const [id, { until }] of refused) if (until <= now) refused.delete(id);
  }

  return {
    lookup(token, scopeService, date) {
      const entry = entries.get(token);
      if (!entry) return undefined;
      const { last } = entry;
      if (last && last.date === date && last.scopeService === scopeService) return last;
      const key = entry.keys.get(`${scopeService}/${date}`);
      if (key) entry.last = key;
      return key;
    },
    resolve(token, scopeService, date) {
      if (token.length > maxSessionTokenLength) return Promise.reject(new SessionRefusedError("session-invalid", "token too long"));
      const id = `${scopeService}/${date}/${token}`;
      const before = refused.get(id);
      if (before && before.until > clock.now()) return Promise.reject(before.error);
      const running = pending.get(id);
      if (running) return running;
      const started = fetchKey(token, scopeService, date)
        .catch((error: unknown) => {
          const refusal = error instanceof SessionRefusedError ? error : new SessionRefusedError("session-unresolved", error);
          remember(id, refusal);
          throw refusal;
        })
        .finally(() => pending.delete(id));
      pending.set(id, started);
      return started;
    },
    sweep,
    size: () => entries.size,
  };
}
