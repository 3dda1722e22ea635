/**
 * Whether a cluster's mesh is as it should be: what was installed, the pods of the meshed namespaces, whether the control plane answers,
 * and the clocks; and of a cluster without one, whether it can take it. What fails comes with the command that mends it, where there is one.
 */
import { setTimeout as delay } from "node:timers/promises";
import { z } from "zod";
import { injectLabelValue, systemNamespace } from "../../common/injection/names.ts";
import { KubernetesError } from "../../control-plane/kubernetes/error.ts";
import type { ClusterConnection } from "./connect.ts";
import { failed, note, ok, type Finding } from "./finding.ts";
import { manifestsOf } from "./install/manifests.ts";
import { checkRequirements } from "./install/requirements.ts";
import { typesFor } from "./install/resource-types.ts";
import { listAll } from "./lists.ts";
import { findingsOf, isInstalled, meshStatus } from "./status/status.ts";
import { checkTrialPod } from "./status/trial-pod.ts";

/** `pauseMilliseconds`: before what may be late is asked again. Throws KubernetesError where the API server does not answer. */
export async function checkCluster(cluster: ClusterConnection, overlay: string, pauseMilliseconds = 1000): Promise<readonly Finding[]> {
  try {
    const status = await meshStatus(cluster);
    if (!isInstalled(status)) {
      const manifests = manifestsOf({ overlay });
      const types = await typesFor(cluster.ask, manifests);
      const findings = await checkRequirements(cluster, { manifests, types, force: false });
      const isMissing = findings.some(({ state }) => state === "failed");
      return isMissing ? findings : [...findings, failed("the mesh is not installed", "countersign install")];
    }
    const groups = [...(await checkVersion(cluster)), ...findingsOf(status)];
    // A control plane without a ready pod does not answer: that is said already.
    if ((status.controlPlane?.replicas.ready ?? 0) > 0) groups.push(...(await checkAnswer(cluster, pauseMilliseconds)));
    const first = status.namespaces.find(({ label }) => label === injectLabelValue);
    if (first !== undefined && status.injection.missing.length === 0) {
      groups.push(await checkTrialPod(cluster, first.name, status.injection.image));
    }
    return [...groups, ...(await checkClocks(cluster))];
  } catch (error) {
    if (!(error instanceof KubernetesError) || error.code !== "forbidden") throw error;
    return [failed(`you may not see what has to be checked: ${error.message}`, "kubectl auth whoami")];
  }
}

const mostTries = 5;
const version = z.object({ gitVersion: z.string() });

async function checkVersion({ ask }: ClusterConnection): Promise<readonly Finding[]> {
  return [ok(`Kubernetes ${version.parse(await ask("/version")).gitVersion}`)];
}

/**
 * By its Service, as sidecars find it, though on its port for metrics: the other one takes only the mesh's certificates. What the API
 * server knows of a Service's pods may be seconds old, so it is asked again.
 */
async function checkAnswer({ askText }: ClusterConnection, pauseMilliseconds: number): Promise<readonly Finding[]> {
  for (let tries = 1; ; tries += 1) {
    try {
      await askText(`/api/v1/namespaces/${systemNamespace}/services/http:countersign:http-metrics/proxy/readyz`);
      return [ok("the Service countersign answers")];
    } catch (error) {
      if (!(error instanceof KubernetesError)) throw error;
      if (error.code === "forbidden")
        return [note("whether the Service countersign answers cannot be seen: you may not use services/proxy")];
      if (tries === mostTries) {
        return [
          failed(`the Service countersign does not answer: ${error.message}`, `kubectl get endpointslices,pods -n ${systemNamespace}`),
        ];
      }
      await delay(pauseMilliseconds);
    }
  }
}

const nodeLease = z.object({
  metadata: z.object({ name: z.string(), managedFields: z.array(z.object({ time: z.string().optional() })).default([]) }),
  spec: z.object({ renewTime: z.string().nullish() }).prefault({}),
});
/** Signatures are good for five minutes either way, and a certificate from a minute before it is issued. */
const skewMilliseconds = { note: 5000, failed: 60_000 };

/**
 * Of the nodes against the API server's: a kubelet writes its own time into its lease, and the API server beside it when that was written.
 * Sidecars have the clocks of their nodes.
 */
async function checkClocks({ ask }: ClusterConnection): Promise<readonly Finding[]> {
  let leases: readonly z.infer<typeof nodeLease>[];
  try {
    leases = await listAll(ask, "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases", (item) => nodeLease.parse(item));
  } catch (error) {
    if (!(error instanceof KubernetesError) || error.code !== "forbidden") throw error;
    return [note("the nodes' clocks cannot be seen: you may not list leases in kube-node-lease")];
  }
  const findings = leases.flatMap(({ metadata, spec }): readonly Finding[] => {
    const written = Math.max(...metadata.managedFields.map(({ time }) => Date.parse(time ?? "") || 0));
    const skew = Date.parse(spec.renewTime ?? "") - written;
    if (written <= 0 || !(Math.abs(skew) >= skewMilliseconds.note)) return [];
    const text = `the clock of node ${metadata.name} is ${Math.round(Math.abs(skew) / 1000)} s ${skew > 0 ? "ahead of" : "behind"} the API server's`;
    const mend = "let the node keep time by NTP: signatures and certificates are judged by it";
    return [Math.abs(skew) >= skewMilliseconds.failed ? failed(text, mend) : note(text, mend)];
  });
  if (findings.length > 0 || leases.length === 0) return findings;
  return [
    ok(
      leases.length === 1
        ? "the node's clock agrees with the API server's"
        : `the clocks of ${leases.length} nodes agree with the API server's`,
    ),
  ];
}
