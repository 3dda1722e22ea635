/**
 * Epochs of the token service: for each day (UTC) a key from which sessions' secrets are computed and a key pair that signs
 * their tokens. Tomorrow's is made today, so that every sidecar knows the public key before the first token comes; a past
 * one is kept until the longest session issued under it has expired. They are sealed before they reach the store.
 */
import { createHash, createPrivateKey, generateKeyPairSync, randomBytes } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { z } from "zod";
import { StoreError } from "../store/error.ts";
import type { Sealer } from "../store/sealed.ts";
import type { Entry, Store } from "../store/store.ts";
import { epochCharacter, epochCharacterOf } from "./access-key.ts";

export const epochPrefix = "sts/epochs/";
export const longestSessionSeconds = 43_200;
const dayMilliseconds = 86_400_000;
/** Days that an epoch is kept after its own: the longest session issued at its end, and clocks that disagree. */
const daysKept = 1;

export interface Epoch {
  /** Days since 1970. */
  readonly day: number;
  /** First letter after `CSGN` of its access key ids. */
  readonly character: string;
  /** 32 bytes. */
  readonly secretKey: Buffer;
  readonly signingKey: KeyObject;
  readonly keyId: string;
  readonly publicJwk: Readonly<Record<string, string>>;
}

export interface Epochs {
  /** Makes today's and tomorrow's epoch where they are missing, and removes those past. Resolves to the revision reached. */
  readonly maintain: (now: number) => Promise<number>;
  /** The epoch that sessions issued now belong to. Throws StoreError `store-unavailable` where there is none. */
  readonly signing: (entries: ReadonlyMap<string, Entry>, now: number) => Epoch;
  readonly byAccessKeyId: (entries: ReadonlyMap<string, Entry>, accessKeyId: string) => Epoch | undefined;
  /** JWKS document of every epoch's public key, in the order of days. */
  readonly jwks: (entries: ReadonlyMap<string, Entry>) => string;
}

const stored = z.strictObject({ secretKey: z.base64(), privateKey: z.string() });

function keyOfDay(day: number): string {
  return `${epochPrefix}${String(day).padStart(8, "0")}`;
}

function epochFromEntry(entry: Entry, sealer: Sealer): Epoch {
  const { secretKey, privateKey } = stored.parse(JSON.parse(sealer.unseal(entry.key, entry.value).toString()));
  const day = Number(entry.key.slice(epochPrefix.length));
  const signingKey = createPrivateKey({ key: Buffer.from(privateKey, "base64"), format: "der", type: "pkcs8" });
  const { x = "", y = "" } = signingKey.export({ format: "jwk" });
  const keyId = createHash("sha256").update(`${x}.${y}`).digest("base64url").slice(0, 16);
  return {
    day,
    character: epochCharacter(day),
    secretKey: Buffer.from(secretKey, "base64"),
    signingKey,
    keyId,
    publicJwk: { kty: "EC", crv: "P-256", x, y, kid: keyId, alg: "ES256", use: "sig" },
  };
}

export function createEpochs(store: Store, sealer: Sealer): Epochs {
  const opened = new Map<string, { readonly revision: number; readonly epoch: Epoch }>();

  function open(entry: Entry): Epoch {
    const known = opened.get(entry.key);
    if (known?.revision === entry.revision) return known.epoch;
    const epoch = epochFromEntry(entry, sealer);
    opened.set(entry.key, { revision: entry.revision, epoch });
    return epoch;
  }

  function newEntryValue(key: string): Buffer {
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const content = {
      secretKey: randomBytes(32).toString("base64"),
      privateKey: privateKey.export({ format: "der", type: "pkcs8" }).toString("base64"),
    };
    return sealer.seal(key, Buffer.from(JSON.stringify(content)));
  }

  return {
    async maintain(now) {
      const today = Math.floor(now / dayMilliseconds);
      const { revision, entries } = await store.list(epochPrefix);
      let reached = revision;
      for (const day of [today, today + 1]) {
        const key = keyOfDay(day);
        if (entries.some((entry) => entry.key === key)) continue;
        try {
          reached = await store.put(key, newEntryValue(key), { expectRevision: 0 });
        } catch (error) {
          // Another replica made it first; its epoch is as good.
          if (!(error instanceof StoreError) || error.code !== "conflict") throw error;
        }
      }
      for (const { key } of entries) {
        if (Number(key.slice(epochPrefix.length)) >= today - daysKept) continue;
        reached = await store.delete(key);
        opened.delete(key);
      }
      return reached;
    },
    signing(entries, now) {
      const entry = entries.get(keyOfDay(Math.floor(now / dayMilliseconds)));
      if (entry === undefined) throw new StoreError("store-unavailable", "there is no epoch for today");
      return open(entry);
    },
    byAccessKeyId(entries, accessKeyId) {
      const character = epochCharacterOf(accessKeyId);
      return [...entries.values()].map(open).find((epoch) => epoch.character === character);
    },
    jwks: (entries) => JSON.stringify({ keys: [...entries.values()].map((entry) => open(entry).publicJwk) }),
  };
}
