/** A cluster for a run of tests: the one that KUBECONFIG names, or one of this machine's own. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { clusterPrograms } from "./binaries.ts";
import { loadImage } from "./images.ts";
import { missingForCluster, missingForForeignCluster } from "./requirements.ts";
import { must } from "./run.ts";

/** What tests are told of it; plain data, since they run in processes of their own. */
export interface ClusterDescription {
  readonly kubeconfig: string;
  /** Where it was started here; undefined for somebody else's. */
  readonly own?: {
    /** Of its network namespace. */
    readonly name: string;
    /** Certificates, state, `log/` and `pid/` by the names of its programs. */
    readonly folder: string;
    readonly programs: string;
  };
}

export interface StartedCluster extends AsyncDisposable {
  readonly description: ClusterDescription;
}

/** Why there can be none, and what to do about it; undefined where there can be one. */
export function withoutCluster(): string | undefined {
  return process.env["KUBECONFIG"] === undefined ? missingForCluster() : missingForForeignCluster();
}

/** `up` and `down` know it by the same variable. */
function clusterName(): string {
  return process.env["COUNTERSIGN_CLUSTER_NAME"] ?? "countersign-cluster";
}

/**
 * COUNTERSIGN_CLUSTER_DIR keeps the state of a cluster of one's own in that folder, and the cluster running when the tests end: the next
 * run finds it there. Without, it is made for this run. `say` hears of what takes long.
 */
export async function startCluster(say: (message: string) => void): Promise<StartedCluster> {
  const foreign = process.env["KUBECONFIG"];
  if (foreign !== undefined) return { description: { kubeconfig: foreign }, [Symbol.asyncDispose]: async () => undefined };
  const programs = await clusterPrograms(say);
  const kept = process.env["COUNTERSIGN_CLUSTER_DIR"];
  const folder = kept === undefined ? await mkdtemp(join(tmpdir(), "countersign-cluster-")) : resolve(kept);
  const stop = async (): Promise<void> => {
    await must([join(import.meta.dirname, "down"), folder, programs]);
    await rm(folder, { recursive: true, force: true });
  };
  try {
    const kubeconfig = (await must([join(import.meta.dirname, "up"), folder, programs], { timeoutMs: 5 * 60_000 })).trim();
    return {
      description: { kubeconfig, own: { name: clusterName(), folder, programs } },
      [Symbol.asyncDispose]: kept === undefined ? stop : async () => undefined,
    };
  } catch (error) {
    if (kept === undefined) await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

/** Makes an image that was built here one that pods can name; at once where the node has it already. */
export async function bringImage({ own }: ClusterDescription, id: string, name: string): Promise<void> {
  if (own === undefined) throw new Error("images are brought to a cluster of this machine only");
  const marks = join(own.folder, "images");
  const mark = join(marks, name.replaceAll(/[/:]/g, "_"));
  if ((await readFile(mark, "utf8").catch(() => "")) === id) return;
  await loadImage(id, name, [join(own.programs, "ctr"), "--address", `/run/${own.name}/containerd/containerd.sock`]);
  await mkdir(marks, { recursive: true });
  await writeFile(mark, id);
}
