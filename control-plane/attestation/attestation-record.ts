/** How an identity was first proven. Renewals by certificate do not change it; sessions carry it to those who decide. */
import { z } from "zod";
import type { SpiffeId } from "../../common/spiffe/id.ts";
import type { Store } from "../store/store.ts";

const stored = z.strictObject({ method: z.string(), atSeconds: z.int() });

export function attestationKey(spiffeId: SpiffeId): string {
  return `attestations/${spiffeId.slice("spiffe://".length)}`;
}

export function attestationToBytes(record: z.infer<typeof stored>): Uint8Array {
  return Buffer.from(JSON.stringify(record));
}

/** The method by which that identity was last attested; `svid` where nothing is recorded but that it holds a certificate. */
export async function attestationMethodOf(store: Store, spiffeId: SpiffeId): Promise<string> {
  const entry = await store.get(attestationKey(spiffeId));
  return entry === undefined ? "svid" : stored.parse(JSON.parse(Buffer.from(entry.value).toString())).method;
}
