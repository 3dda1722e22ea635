/**
 * The mesh's own trust bundle as it is published: kept in the store with a sequence that rises with every change, so that
 * every process and every restart publishes the same.
 */
import { z } from "zod";
import type { TrustBundle as TrustBundleMessage } from "../../common/gen/mesh/v1/identity.ts";
import type { TrustBundle } from "../../common/x509/bundle.ts";
import type { Store } from "../store/store.ts";

export const bundleKey = "distribution/bundle";
/** How often a holder of the bundle by other means than a Watch should look for a newer one. */
const refreshHintSeconds = 300;

const stored = z.strictObject({ trustDomain: z.string(), sequence: z.int().positive(), authorities: z.array(z.base64()).min(1) });

/** Throws for what `recordBundle` did not write. */
export function bundleFromBytes(value: Uint8Array): TrustBundleMessage {
  const { trustDomain, sequence, authorities } = stored.parse(JSON.parse(Buffer.from(value).toString()));
  const x509Authorities = authorities.map((authority) => Buffer.from(authority, "base64"));
  return { trustDomain, x509Authorities, sequence, refreshHintSeconds };
}

/** Puts the bundle into the store if it is another than the one there. Resolves to the revision at which it is there. */
export async function recordBundle(store: Store, bundle: TrustBundle): Promise<number> {
  const entry = await store.get(bundleKey);
  const authorities = bundle.authorities.map(({ der }) => der.toString("base64")).sort();
  const present = entry === undefined ? undefined : stored.parse(JSON.parse(Buffer.from(entry.value).toString()));
  if (entry !== undefined && present !== undefined && JSON.stringify(present.authorities) === JSON.stringify(authorities))
    return entry.revision;
  const record: z.infer<typeof stored> = { trustDomain: bundle.trustDomain, sequence: (present?.sequence ?? 0) + 1, authorities };
  return await store.put(bundleKey, Buffer.from(JSON.stringify(record)), { expectRevision: entry?.revision ?? 0 });
}
