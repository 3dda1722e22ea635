/** The programs of the cluster, built from Go modules once a version of go.mod. */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rename, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { must } from "./run.ts";

/** Outside of the work tree, since a build takes a quarter of an hour. */
function cacheFolder(): string {
  return (
    process.env["COUNTERSIGN_CLUSTER_CACHE"] ?? join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "countersign", "cluster")
  );
}

/** The folder that has them; built where there is none yet. `say` hears of a build that begins. */
export async function clusterPrograms(say: (message: string) => void): Promise<string> {
  const version = createHash("sha256").update(await readFile(join(import.meta.dirname, "go.mod")));
  const folder = join(cacheFolder(), version.digest("hex").slice(0, 16));
  if (existsSync(folder)) return folder;
  say(`building the cluster's programs into ${folder}: about 13 minutes on two cores`);
  await mkdir(cacheFolder(), { recursive: true });
  const building = await mkdtemp(join(cacheFolder(), "building-"));
  try {
    await must([join(import.meta.dirname, "build"), building], { timeoutMs: 90 * 60_000 });
    // Whole or not at all; whoever built the same meanwhile has it there.
    await rename(building, folder).catch((error: unknown) => {
      if (!existsSync(folder)) throw error;
    });
  } finally {
    await rm(building, { recursive: true, force: true });
  }
  return folder;
}
