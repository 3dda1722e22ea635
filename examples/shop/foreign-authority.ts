/** A certificate that is right in every respect but one: another control plane issued it, which calls itself by the same name. */
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../common/runtime/clock.ts";
import { fromString, trustDomainOf } from "../../common/spiffe/id.ts";
import { createCsr } from "../../common/x509/csr.ts";
import { certificatesToPem } from "../../common/x509/pem.ts";
import { openAuthority } from "../../control-plane/ca/authority.ts";
import { checkCsr } from "../../control-plane/ca/csr.ts";
import { createSealer } from "../../control-plane/store/sealed.ts";
import { openSqliteStore } from "../../control-plane/store/sqlite-store.ts";
import type { Identity } from "../../sidecar/tls/profile.ts";

/** For the same SPIFFE id as `genuine`, and for whoever trusts what `genuine` trusts. */
export async function identityOfAnotherAuthority(genuine: Identity): Promise<Identity> {
  const spiffeId = fromString(genuine.spiffeId);
  const folder = await mkdtemp(join(tmpdir(), "countersign-foreign-"));
  const store = openSqliteStore({ path: join(folder, "store.db") });
  try {
    const authority = await openAuthority({
      store,
      sealer: createSealer(randomBytes(32)),
      trustDomain: trustDomainOf(spiffeId),
      clock: systemClock,
      onIssue: () => Promise.resolve(),
    });
    const keys = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const svid = await authority.issueSvid({ spiffeId, key: checkCsr(createCsr(keys)), lifetimeSeconds: 300 });
    return {
      ...genuine,
      certificateChain: certificatesToPem(svid.chain),
      privateKey: keys.privateKey.export({ type: "pkcs8", format: "pem" }),
    };
  } finally {
    await store.close();
    await rm(folder, { recursive: true, force: true });
  }
}
