/**
 * Join tokens: a secret that an operator mints for one registered workload, good once and not for long. The store holds
 * only its hash, under which it is looked up: no comparison sees the secret, and a stolen store mints no identity. Using it
 * up is one compare-and-set, so of two who come with the same token one is refused.
 */
import { createHash, randomBytes } from "node:crypto";
import { z } from "zod";
import { identityOfWorkload } from "../../common/resources/service-names.ts";
import type { Clock } from "../../common/runtime/clock.ts";
import { RequestError } from "../server/request-error.ts";
import { StoreError } from "../store/error.ts";
import type { Store } from "../store/store.ts";
import { attestationKey, attestationToBytes } from "./attestation-record.ts";
import type { Attestor } from "./attestor.ts";

const prefix = "join-tokens/";
const tokenForm = /^csjt_[A-Za-z0-9_-]{43}$/;
export const defaultTokenSeconds = 600;
export const maxTokenSeconds = 86_400;

const stored = z.strictObject({ namespace: z.string(), workload: z.string(), expiresAtSeconds: z.int() });

function keyOfToken(token: string): string {
  return prefix + createHash("sha256").update(token).digest("hex");
}

export interface MintedToken {
  readonly token: string;
  readonly expiresAtSeconds: number;
}

/** Mints a token for a workload, and takes those off that have expired. */
export async function createJoinToken(
  store: Store,
  now: number,
  workload: { readonly namespace: string; readonly name: string },
  lifetimeSeconds: number,
): Promise<MintedToken> {
  await removeExpired(store, now);
  const token = `csjt_${randomBytes(32).toString("base64url")}`;
  const expiresAtSeconds = Math.floor(now / 1000) + lifetimeSeconds;
  const record: z.infer<typeof stored> = { namespace: workload.namespace, workload: workload.name, expiresAtSeconds };
  await store.put(keyOfToken(token), Buffer.from(JSON.stringify(record)), { expectRevision: 0 });
  return { token, expiresAtSeconds };
}

async function removeExpired(store: Store, now: number): Promise<void> {
  const { entries } = await store.list(prefix);
  for (const { key, value } of entries) {
    const { expiresAtSeconds } = stored.parse(JSON.parse(Buffer.from(value).toString()));
    if (expiresAtSeconds * 1000 <= now) await store.delete(key);
  }
}

const method = "join-token";

export function createJoinTokenAttestor(store: Store, clock: Pick<Clock, "now">): Attestor<"joinToken"> {
  return {
    method,
    async attest({ token }, { state }) {
      // One answer to every token that is not good: a caller learns nothing from which.
      const refuse = (reason: string, cause?: unknown) =>
        new RequestError("unauthenticated", reason, "the join token is not valid: unknown, used or expired", { cause });
      if (!tokenForm.test(token)) throw refuse("join-token-malformed");
      const key = keyOfToken(token);
      const entry = await store.get(key);
      if (entry === undefined) throw refuse("join-token-unknown");
      const record = stored.parse(JSON.parse(Buffer.from(entry.value).toString()));
      if (record.expiresAtSeconds * 1000 <= clock.now()) throw refuse("join-token-expired");
      const workload = state.workloads.get(`${record.namespace}/${record.workload}`);
      if (workload === undefined) throw refuse("workload-not-registered");
      const spiffeId = identityOfWorkload(workload, state.trustDomain);
      const attested = attestationToBytes({ method, atSeconds: Math.floor(clock.now() / 1000) });
      try {
        await store.commit([
          { kind: "delete", key, expectRevision: entry.revision },
          { kind: "put", key: attestationKey(spiffeId), value: attested },
        ]);
      } catch (error) {
        if (error instanceof StoreError && error.code === "conflict") throw refuse("join-token-used", error);
        throw error;
      }
      return spiffeId;
    },
  };
}
