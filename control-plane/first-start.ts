/** What has to be in the store before a control plane can serve: the Mesh, the authority, its bundle, the first epochs. */
import { ConfigError } from "../common/runtime/environment.ts";
import type { Clock } from "../common/runtime/clock.ts";
import type { Logger } from "../common/runtime/logger.ts";
import { readResource } from "../common/resources/read.ts";
import { apiVersion, defaultNamespace, kindSchemas, meshName } from "../common/resources/resource.ts";
import { trustDomainFromString } from "../common/spiffe/trust-domain.ts";
import type { TrustDomain } from "../common/spiffe/trust-domain.ts";
import { openAuthority } from "./ca/authority.ts";
import type { Authority } from "./ca/authority.ts";
import type { ControlPlaneConfig } from "./config.ts";
import { recordBundle } from "./distribution/bundle-record.ts";
import { resourceKey } from "./resources/mesh-state.ts";
import type { Sealer } from "./store/sealed.ts";
import type { Store } from "./store/store.ts";
import type { Epochs } from "./sts/epochs.ts";

/** Throws ConfigError where the trust domain is missing or another than the Mesh's; CaError, StoreError. */
export async function prepareStore(options: {
  readonly config: ControlPlaneConfig;
  readonly store: Store;
  readonly sealer: Sealer;
  readonly epochs: Epochs;
  readonly clock: Clock;
  readonly logger: Logger;
}): Promise<Authority> {
  const { config, store, sealer, epochs, clock, logger } = options;
  const trustDomain = await ensureMesh(config.trustDomain, store, logger);
  const authority = await openAuthority({
    store,
    sealer,
    trustDomain,
    clock,
    async onIssue({ spiffeId, serial, notAfter }) {
      logger.info({ event: "svid-issued", spiffeId, serial, notAfter }, "certificate issued");
    },
  });
  await recordBundle(store, authority.bundle());
  await epochs.maintain(clock.now());
  return authority;
}

async function ensureMesh(given: string | undefined, store: Store, logger: Logger): Promise<TrustDomain> {
  const key = resourceKey("Mesh", defaultNamespace, meshName);
  const entry = await store.get(key);
  if (entry !== undefined) {
    const mesh = readResource(Buffer.from(entry.value).toString(), key);
    const present = mesh.kind === "Mesh" ? mesh.spec.trustDomain : "";
    if (given === undefined || given === present) return trustDomainFromString(present);
    throw new ConfigError([`COUNTERSIGN_TRUST_DOMAIN: the data folder is that of trust domain ${present}, not of ${given}`]);
  }
  if (given === undefined)
    throw new ConfigError(["COUNTERSIGN_TRUST_DOMAIN: expected a trust domain for the first start, but it is not set"]);
  const mesh = kindSchemas.Mesh.parse({ apiVersion, kind: "Mesh", metadata: { name: meshName }, spec: { trustDomain: given } });
  await store.put(key, Buffer.from(JSON.stringify(mesh)), { expectRevision: 0 });
  logger.info({ trustDomain: given }, "a new mesh begins");
  return trustDomainFromString(given);
}
