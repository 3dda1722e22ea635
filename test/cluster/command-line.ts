/** `countersign`, as an administrator of the cluster runs it. */
import { join } from "node:path";
import type { OwnCluster } from "./harness.ts";
import type { Finished, RunOptions } from "./run.ts";

export const program = join(import.meta.dirname, "../../bin/countersign");

/** With the cluster's kubeconfig, unless `args` name another. */
export async function countersign(cluster: OwnCluster, args: readonly string[], options: RunOptions = {}): Promise<Finished> {
  const which = args.includes("--kubeconfig") ? [] : ["--kubeconfig", cluster.kubeconfig];
  return await cluster.run([program, ...args, ...which], { timeoutMs: 300_000, ...options });
}

/** Its output. Throws with all that it said where it does not end with 0. */
export async function countersignMust(cluster: OwnCluster, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const { status, stdout, stderr } = await countersign(cluster, args, options);
  if (status !== 0) throw new Error(`countersign ${args.join(" ")} ended with ${status}: ${stdout}${stderr}`);
  return stdout;
}

/**
 * After an uninstallation: when the last policy that is parametrised by ConfigMaps goes, the API server ends the one informer that it has for
 * them, and policies that are made later go by what it saw last (Kubernetes 1.36: policySource.ensureParamsForPolicyLocked).
 */
export async function restartApiServer(cluster: OwnCluster): Promise<void> {
  await cluster.signal("kube-apiserver", "SIGKILL");
  await cluster.restore();
}
