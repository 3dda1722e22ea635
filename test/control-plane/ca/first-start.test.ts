/** A first start that is killed (SIGKILL, nothing is cleaned up) at any step of it is made good by the next. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openAuthorityKeys } from "../../../control-plane/ca/stored-authority.ts";
import { openSealer } from "../../../control-plane/store/master-key.ts";
import { openSqliteStore } from "../../../control-plane/store/sqlite-store.ts";
import { NOW } from "../../common/x509/certificate-maker.ts";
import { trustDomain } from "./ca-fixture.ts";

const source = (path: string) => JSON.stringify(join(process.cwd(), "control-plane", path));

/** Dies before or after the n-th call of one function, counted over the whole start. */
const program = (folder: string, call: "linkSync" | "exec", count: number, when: "before" | "after") => `
  import fs from "node:fs";
  import { syncBuiltinESMExports } from "node:module";
  import sqlite from "node:sqlite";
  const owner = ${call === "exec" ? "sqlite.DatabaseSync.prototype" : "fs"};
  const original = owner.${call};
  let calls = 0;
  owner.${call} = function (...parameters) {
    const dies = ++calls === ${count};
    if (dies && "${when}" === "before") process.kill(process.pid, "SIGKILL");
    const result = original.apply(this, parameters);
    if (dies) process.kill(process.pid, "SIGKILL");
    return result;
  };
  syncBuiltinESMExports();
  const { openSqliteStore } = await import(${source("store/sqlite-store.ts")});
  const { openSealer } = await import(${source("store/master-key.ts")});
  const { openAuthorityKeys } = await import(${source("ca/stored-authority.ts")});
  const store = openSqliteStore({ path: ${JSON.stringify(join(folder, "store.sqlite"))} });
  const sealer = await openSealer(store, ${JSON.stringify(join(folder, "master.key"))});
  await openAuthorityKeys({ store, sealer, trustDomain: "${trustDomain}" }, ${NOW});
  await store.close();
  console.log(calls);
`;

const run = (folder: string, ...step: ["linkSync" | "exec", number, "before" | "after"]) =>
  spawnSync(process.execPath, ["--input-type=module", "-e", program(folder, ...step)], { encoding: "utf8" });

async function startAgain(folder: string): Promise<string[]> {
  const store = openSqliteStore({ path: join(folder, "store.sqlite") });
  try {
    const sealer = await openSealer(store, join(folder, "master.key"));
    await openAuthorityKeys({ store, sealer, trustDomain }, NOW);
    return (await store.list("")).entries.map(({ key }) => key);
  } finally {
    await store.close();
  }
}

test.each(["linkSync", "exec"] as const)("killed around each %s", async (call) => {
  const whole = mkdtempSync(join(tmpdir(), "countersign-start-"));
  const steps = Number(run(whole, call, 1000, "before").stdout);
  rmSync(whole, { recursive: true });
  expect(steps).toBeGreaterThan(1);
  for (let step = 1; step <= steps; step++) {
    for (const when of ["before", "after"] as const) {
      const folder = mkdtempSync(join(tmpdir(), "countersign-start-"));
      try {
        expect(run(folder, call, step, when).signal).toBe("SIGKILL");
        expect(await startAgain(folder)).toEqual(["ca/issuer/1", "ca/root/1", "ca/state", "sealer/check"]);
      } finally {
        rmSync(folder, { recursive: true });
      }
    }
  }
});
