/** What would become of a pod that is made now in a meshed namespace: made on trial, and never there. */
import { z } from "zod";
import { proxyContainerName } from "../../../common/injection/names.ts";
import { KubernetesError } from "../../../control-plane/kubernetes/error.ts";
import type { ClusterConnection } from "../connect.ts";
import { failed, note, ok, type Finding } from "../finding.ts";

const containers = z.array(z.object({ name: z.string(), image: z.string().default("") })).default([]);
const pod = z.object({ spec: z.object({ initContainers: containers, containers }) });

/** As the strictest Pod Security level would have it, so that the pod itself is no reason to refuse it. */
const trial = {
  apiVersion: "v1",
  kind: "Pod",
  metadata: { generateName: "countersign-check-" },
  spec: {
    securityContext: { runAsNonRoot: true, runAsUser: 65_534, seccompProfile: { type: "RuntimeDefault" } },
    containers: [
      {
        name: "app",
        image: "countersign-check",
        resources: { requests: { cpu: "1m", memory: "1Mi" }, limits: { cpu: "1m", memory: "1Mi" } },
        securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } },
      },
    ],
  },
};

/** `image`: that the settings name. Throws KubernetesError where the API server does not answer. */
export async function checkTrialPod({ send }: ClusterConnection, namespace: string, image: string | undefined): Promise<Finding> {
  let made: z.infer<typeof pod>;
  try {
    made = pod.parse(await send({ method: "POST", path: `/api/v1/namespaces/${namespace}/pods?dryRun=All`, body: trial }));
  } catch (error) {
    if (!(error instanceof KubernetesError) || !["forbidden", "rejected"].includes(error.code)) throw error;
    if (error.message.includes("cannot create resource")) {
      return note(`namespace ${namespace}: whether new pods get a sidecar cannot be tried: you may not create pods`);
    }
    const text = `namespace ${namespace}: a pod that is made now would be refused: ${error.message}`;
    return error.message.includes("countersign-guard") ? failed(text, "countersign install") : note(text);
  }
  const proxy = [...made.spec.initContainers, ...made.spec.containers].find(({ name }) => name === proxyContainerName);
  if (proxy === undefined) return failed(`namespace ${namespace}: a pod that is made now would get no sidecar`, "countersign install");
  if (image === undefined || proxy.image === image) return ok(`namespace ${namespace}: a pod that is made now gets its sidecar`);
  return failed(
    `namespace ${namespace}: a pod that is made now would get the sidecar ${proxy.image}, though the settings name ${image}: the API server no longer reads them, as happens when policies were deleted and made again`,
    "restart kube-apiserver, on every node that runs it",
  );
}
