/** A store, a sealer and a clock on a folder of their own: what an authority needs. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { trustDomainFromString } from "../../../common/spiffe/trust-domain.ts";
import { createCsr } from "../../../common/x509/csr.ts";
import { openAuthority } from "../../../control-plane/ca/authority.ts";
import type { Authority, AuthorityOptions } from "../../../control-plane/ca/authority.ts";
import { checkCsr } from "../../../control-plane/ca/csr.ts";
import type { ProvenKey } from "../../../control-plane/ca/csr.ts";
import { openSealer } from "../../../control-plane/store/master-key.ts";
import { openSqliteStore } from "../../../control-plane/store/sqlite-store.ts";
import { newKeys, NOW } from "../../common/x509/certificate-maker.ts";

export const trustDomain = trustDomainFromString("mesh.example");

export interface CaFixture {
  readonly options: AuthorityOptions;
  readonly open: (overrides?: Partial<AuthorityOptions>) => Promise<Authority>;
  /** Seconds since 1970; starts at `NOW`. */
  readonly setTime: (seconds: number) => void;
  readonly dispose: () => Promise<void>;
}

export async function createCaFixture(): Promise<CaFixture> {
  const folder = mkdtempSync(join(tmpdir(), "countersign-ca-"));
  const store = openSqliteStore({ path: join(folder, "store.sqlite") });
  const sealer = await openSealer(store, join(folder, "master.key"));
  let seconds = NOW;
  const options: AuthorityOptions = { store, sealer, trustDomain, clock: { now: () => seconds * 1000 }, onIssue: async () => {} };
  return {
    options,
    open: async (overrides) => openAuthority({ ...options, ...overrides }),
    setTime(next) {
      seconds = next;
    },
    async dispose() {
      await store.close();
      rmSync(folder, { recursive: true });
    },
  };
}

/** A new key that proved itself by a request. */
export function newProvenKey(): ProvenKey {
  return checkCsr(createCsr(newKeys()));
}
