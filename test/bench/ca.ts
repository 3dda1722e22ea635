/**
 * Certificates a CPU second, in one process: a CSR checked, a leaf signed, read back and verified. `bin/node26 test/bench/ca.ts`, with
 * `--json` for `npm run bench`.
 */
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../common/runtime/clock.ts";
import { forWorkload } from "../../common/spiffe/id.ts";
import { trustDomainFromString } from "../../common/spiffe/trust-domain.ts";
import { createCsr } from "../../common/x509/csr.ts";
import { openAuthority } from "../../control-plane/ca/authority.ts";
import { checkCsr } from "../../control-plane/ca/csr.ts";
import { openSealer } from "../../control-plane/store/master-key.ts";
import { openSqliteStore } from "../../control-plane/store/sqlite-store.ts";
import { median } from "./statistics.ts";

const ROUNDS = 5;
const CERTIFICATES = 2000;

function cpuMicroseconds(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

const folder = mkdtempSync(join(tmpdir(), "countersign-bench-"));
try {
  const store = openSqliteStore({ path: join(folder, "store.sqlite") });
  const sealer = await openSealer(store, join(folder, "master.key"));
  const trustDomain = trustDomainFromString("bench.example");
  const authority = await openAuthority({ store, sealer, trustDomain, clock: systemClock, onIssue: () => Promise.resolve() });
  const spiffeId = forWorkload(trustDomain, "shop", "orders");
  const rates: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const requests = Array.from({ length: CERTIFICATES }, () => createCsr(generateKeyPairSync("ec", { namedCurve: "P-256" })));
    const start = cpuMicroseconds();
    for (const csr of requests) await authority.issueSvid({ spiffeId, key: checkCsr(csr), lifetimeSeconds: 3600 });
    rates.push((CERTIFICATES * 1e6) / (cpuMicroseconds() - start));
  }
  const rate = median(rates);
  process.stdout.write(`${Math.round(rate)} certificates a CPU second (median of ${ROUNDS} rounds)\n`);
  if (process.argv.includes("--json")) process.stdout.write(`${JSON.stringify({ certificatesPerCpuSecond: rate })}\n`);
  await store.close();
} finally {
  rmSync(folder, { recursive: true });
}
