/**
 * The role sessions under which this workload calls: one a role, assumed when first needed, renewed at half of their life
 * and kept until they expire while the control plane cannot be reached.
 */
import { createSecretKey, type KeyObject } from "node:crypto";
import type { Logger } from "pino";
import { createField, type Field } from "../../common/http/field.ts";
import type { Clock } from "../../common/runtime/clock.ts";
import { deriveSigningKey } from "../../common/sigv4/signing-key.ts";
import { callPatiently, type ControlPlane } from "./control-plane.ts";

export interface RoleCredentials {
  readonly roleArn: string;
  readonly sessionArn: string;
  readonly accessKeyId: string;
  /** The `x-amz-security-token` field; one object for all requests, so that HPACK sends it by index. */
  readonly tokenField: Field;
  /** Epoch milliseconds. */
  readonly issuedAt: number;
  readonly expiresAt: number;
  /** The SigV4 signing key for a day and a service, derived once. */
  signingKey(date: string, region: string, service: string): KeyObject;
}

/** `maxSeconds` is the longest life that the destination accepts; 0 leaves it to the mesh. */
export interface RoleSessions {
  /** Credentials that are good now, or undefined: then wait for `ready`. Starts a renewal in the background when due. */
  current(roleArn: string, maxSeconds: number): RoleCredentials | undefined;
  /** Rejects when the control plane refuses or cannot be reached. Single flight. */
  ready(roleArn: string, maxSeconds: number): Promise<RoleCredentials>;
  /** Role ARN → epoch seconds before which its sessions are void: those held are replaced before their next use. */
  revoke(roles: ReadonlyMap<string, number>): void;
  list(): RoleCredentials[];
}

const assumeTimeoutMs = 5000;
/** After a failed renewal of a session that still holds, and after a refusal. */
const retryAfterMs = 2000;
/** Calls take time and clocks differ: a session about to expire is not used for a new call. */
const expiryMarginMs = 5000;

interface Entry {
  credentials: RoleCredentials | undefined;
  renewAt: number;
  pending: Promise<RoleCredentials> | undefined;
  refused: { until: number; error: unknown } | undefined;
  /** Epoch milliseconds: what was issued before is void, once that time has come. */
  revokedBefore: number;
}

export interface RoleSessionOptions {
  readonly controlPlane: () => ControlPlane;
  /** `[\w+=,.@-]{2,64}`: shows in every decision. */
  readonly sessionName: string;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Logger;
  readonly onAssumed: (credentials: RoleCredentials) => void;
}

export function createRoleSessions(options: RoleSessionOptions): RoleSessions {
  const { clock, log } = options;
  const entries = new Map<string, Map<number, Entry>>();
  let revoked: ReadonlyMap<string, number> = new Map();

  function entryOf(roleArn: string, maxSeconds: number): Entry {
    let ofRole = entries.get(roleArn);
    if (!ofRole) {
      ofRole = new Map();
      entries.set(roleArn, ofRole);
    }
    let entry = ofRole.get(maxSeconds);
    if (!entry) {
      const revokedBefore = (revoked.get(roleArn) ?? 0) * 1000;
      entry = { credentials: undefined, renewAt: 0, pending: undefined, refused: undefined, revokedBefore };
      ofRole.set(maxSeconds, entry);
    }
    return entry;
  }

  async function assume(roleArn: string, maxSeconds: number, entry: Entry): Promise<RoleCredentials> {
    const issuedAt = clock.now();
    try {
      const response = await callPatiently(
        () => {
          const { tokens } = options.controlPlane();
          return tokens.assumeRole.bind(tokens);
        },
        { roleArn, roleSessionName: options.sessionName, durationSeconds: maxSeconds, policy: "", tags: {}, sourceIdentity: "" },
        { timeoutMs: assumeTimeoutMs, clock },
      );
      const credentials = createCredentials(roleArn, response, issuedAt);
      entry.credentials = credentials;
      entry.refused = undefined;
      entry.renewAt = issuedAt + (credentials.expiresAt - issuedAt) * (0.5 + (options.random() - 0.5) * 0.2);
      options.onAssumed(credentials);
      return credentials;
    } catch (error) {
      entry.renewAt = clock.now() + retryAfterMs;
      entry.refused = { until: clock.now() + retryAfterMs, error };
      log.warn({ err: error, roleArn }, "role session not assumed");
      throw error;
    } finally {
      entry.pending = undefined;
    }
  }

  return {
    current(roleArn, maxSeconds) {
      const entry = entryOf(roleArn, maxSeconds);
      const now = clock.now();
      if (!entry.credentials || entry.credentials.expiresAt - expiryMarginMs <= now) return undefined;
      if (entry.credentials.issuedAt < entry.revokedBefore && entry.revokedBefore <= now) return undefined;
      if (now >= entry.renewAt && !entry.pending) {
        entry.pending = assume(roleArn, maxSeconds, entry);
        // The valid session serves on; the failure is logged and tried again.
        entry.pending.catch(() => undefined);
      }
      return entry.credentials;
    },
    ready(roleArn, maxSeconds) {
      const entry = entryOf(roleArn, maxSeconds);
      if (entry.pending) return entry.pending;
      if (entry.refused && entry.refused.until > clock.now()) return Promise.reject(entry.refused.error);
      entry.pending = assume(roleArn, maxSeconds, entry);
      return entry.pending;
    },
    revoke(roles) {
      revoked = roles;
      for (const [roleArn, ofRole] of entries) {
        for (const entry of ofRole.values()) entry.revokedBefore = (roles.get(roleArn) ?? 0) * 1000;
      }
    },
    list() {
      return [...entries.values()]
        .flatMap((ofRole) => [...ofRole.values()])
        .flatMap((entry) => (entry.credentials ? [entry.credentials] : []));
    },
  };
}

function createCredentials(
  roleArn: string,
  issued: { accessKeyId: string; secretAccessKey: string; sessionToken: string; expiresAtSeconds: number; assumedRoleArn: string },
  issuedAt: number,
): RoleCredentials {
  const keys = new Map<string, KeyObject>();
  let keysDate = "";
  return {
    roleArn,
    sessionArn: issued.assumedRoleArn,
    accessKeyId: issued.accessKeyId,
    tokenField: createField("x-amz-security-token", issued.sessionToken),
    issuedAt,
    expiresAt: issued.expiresAtSeconds * 1000,
    signingKey(date, region, service) {
      if (date !== keysDate) {
        keys.clear();
        keysDate = date;
      }
      let key = keys.get(service);
      if (!key) {
        key = createSecretKey(deriveSigningKey(issued.secretAccessKey, date, region, service));
        keys.set(service, key);
      }
      return key;
    },
  };
}
