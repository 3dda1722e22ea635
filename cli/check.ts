/** `countersign check` */
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../common/runtime/clock.ts";
import { createKubernetesClient } from "../control-plane/kubernetes/client.ts";
import { KubernetesError } from "../control-plane/kubernetes/error.ts";
import { checkCluster, type Finding } from "./kubernetes/cluster-check.ts";

const signs: Readonly<Record<Finding["state"], string>> = { ok: "ok    ", failed: "FAILED", note: "note  " };

/** Ends with status 1 where something failed. */
export async function check(options: { readonly kubeconfig?: string; readonly json?: true }): Promise<void> {
  const client = await createKubernetesClient(kubeconfigOf(options.kubeconfig), systemClock);
  try {
    const findings = await checkCluster(async (path) => {
      try {
        return await client.request({ method: "GET", path, signal: AbortSignal.timeout(30_000) });
      } catch (error) {
        if (error instanceof KubernetesError && error.code === "not-found") return undefined;
        throw error;
      }
    });
    if (options.json) process.stdout.write(`${JSON.stringify(findings)}\n`);
    else for (const finding of findings) process.stdout.write(format(finding));
    if (findings.some(({ state }) => state === "failed")) process.exitCode = 1;
  } finally {
    await client.close();
  }
}

/** As kubectl finds it; in a pod without one, the service account's. */
function kubeconfigOf(given: string | undefined): string | undefined {
  const usual = join(homedir(), ".kube", "config");
  return given ?? (process.env["KUBECONFIG"] || (existsSync(usual) ? usual : undefined));
}

function format({ state, text, mend }: Finding): string {
  return `${signs[state]} ${text}\n${mend === undefined ? "" : `         ${mend}\n`}`;
}
