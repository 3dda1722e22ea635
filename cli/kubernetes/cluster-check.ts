/**
 * Whether a cluster's mesh is as it should be: what it needs of the cluster, what was installed, and the pods of the meshed
 * namespaces. What fails comes with the command that mends it, where there is one.
 */
import { z } from "zod";
import type { Ask } from "./connect.ts";
import { pluralsInCluster } from "./custom-resources.ts";
import {
  initContainerName,
  injectAnnotation,
  injectLabel,
  injectLabelValue,
  meshConfigMap,
  proxyContainerName,
  settingsConfigMap,
  systemNamespace,
} from "../../common/injection/names.ts";
import { failed, note, ok, type Finding } from "./finding.ts";

/** Since then policies inject, and no webhook is needed. */
const leastMinor = 36;
const install = "kubectl apply -k k8s/overlays/dev";

const version = z.object({ major: z.string(), minor: z.string(), gitVersion: z.string() });
const resourceList = z.object({ resources: z.array(z.object({ name: z.string() })) });
const settings = z.object({ data: z.object({ image: z.string() }) });
const deployment = z.object({ status: z.object({ availableReplicas: z.number().default(0) }).prefault({}) });
const metadata = z.object({
  name: z.string(),
  labels: z.record(z.string(), z.string()).default({}),
  annotations: z.record(z.string(), z.string()).default({}),
  deletionTimestamp: z.string().optional(),
});
const namespaces = z.object({ items: z.array(z.object({ metadata })) });
const container = z.object({ name: z.string(), image: z.string() });
const stateOfContainer = z.object({
  name: z.string(),
  ready: z.boolean(),
  state: z.object({ waiting: z.object({ reason: z.string().default(""), message: z.string().default("") }).optional() }).prefault({}),
});
const pods = z.object({
  items: z.array(
    z.object({
      metadata,
      spec: z.object({ hostNetwork: z.boolean().default(false), initContainers: z.array(container).default([]) }),
      status: z
        .object({
          phase: z.string().default("Pending"),
          initContainerStatuses: z.array(stateOfContainer).default([]),
          containerStatuses: z.array(stateOfContainer).default([]),
        })
        .prefault({}),
    }),
  ),
});
type Pod = z.infer<typeof pods>["items"][number];

/** Stops after the first group that fails: what follows would only follow from it. */
export async function checkCluster(ask: Ask): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  for (const group of [checkVersion, checkInstalled, checkControlPlane, checkNamespaces]) {
    findings.push(...(await group(ask)));
    if (findings.some(({ state }) => state === "failed")) break;
  }
  return findings;
}

async function checkVersion(ask: Ask): Promise<readonly Finding[]> {
  const { major, minor, gitVersion } = version.parse(await ask("/version"));
  if (major === "1" && Number.parseInt(minor, 10) < leastMinor) {
    return [failed(`Kubernetes is ${gitVersion}, and injection needs 1.${leastMinor} or later (MutatingAdmissionPolicy v1)`)];
  }
  const served = resourceList.safeParse(await ask("/apis/admissionregistration.k8s.io/v1")).data?.resources.map(({ name }) => name) ?? [];
  const missing = ["mutatingadmissionpolicies", "validatingadmissionpolicies"].filter((name) => !served.includes(name));
  if (missing.length > 0) return [failed(`the API server serves no ${missing.join(" and no ")} in admissionregistration.k8s.io/v1`)];
  return [ok(`Kubernetes ${gitVersion} can inject`)];
}

async function checkInstalled(ask: Ask): Promise<readonly Finding[]> {
  const served = resourceList.safeParse(await ask("/apis/countersign.dev/v1")).data?.resources.map(({ name }) => name) ?? [];
  const kinds = pluralsInCluster.filter((name) => !served.includes(name));
  const admission = "/apis/admissionregistration.k8s.io/v1";
  const needed: readonly (readonly [string, string])[] = [
    ["Namespace countersign-system", `/api/v1/namespaces/${systemNamespace}`],
    ["MutatingAdmissionPolicy countersign-inject", `${admission}/mutatingadmissionpolicies/countersign-inject`],
    ["its binding", `${admission}/mutatingadmissionpolicybindings/countersign-inject`],
    ["ValidatingAdmissionPolicy countersign-guard", `${admission}/validatingadmissionpolicies/countersign-guard`],
    ["its binding", `${admission}/validatingadmissionpolicybindings/countersign-guard`],
    [`ConfigMap ${settingsConfigMap}`, `/api/v1/namespaces/${systemNamespace}/configmaps/${settingsConfigMap}`],
  ];
  const missing: string[] = [];
  for (const [what, path] of needed) if ((await ask(path)) === undefined) missing.push(what);
  if (kinds.length > 0) missing.push(`CustomResourceDefinitions of ${kinds.join(", ")}`);
  if (missing.length === 0) return [ok("everything is installed")];
  return [failed(`missing: ${missing.join("; ")}`, install)];
}

async function checkControlPlane(ask: Ask): Promise<readonly Finding[]> {
  const found = await ask(`/apis/apps/v1/namespaces/${systemNamespace}/deployments/countersign`);
  if (found === undefined) return [failed("there is no control plane: no Deployment countersign", install)];
  if (deployment.parse(found).status.availableReplicas > 0) return [ok("the control plane is available")];
  const selector = encodeURIComponent("app.kubernetes.io/component=control-plane");
  const { items } = pods.parse(await ask(`/api/v1/namespaces/${systemNamespace}/pods?labelSelector=${selector}`));
  const reasons = items.map((pod) => `${pod.metadata.name}: ${waitingOf(pod) ?? pod.status.phase}`);
  const why = reasons.length === 0 ? "it has no pod" : reasons.join("; ");
  return [failed(`the control plane is not available: ${why}`, `kubectl describe pods -n ${systemNamespace}`)];
}

async function checkNamespaces(ask: Ask): Promise<readonly Finding[]> {
  const { image } = settings.parse(await ask(`/api/v1/namespaces/${systemNamespace}/configmaps/${settingsConfigMap}`)).data;
  const { items } = namespaces.parse(await ask(`/api/v1/namespaces?labelSelector=${encodeURIComponent(injectLabel)}`));
  const lasting = items.filter(({ metadata: { deletionTimestamp } }) => deletionTimestamp === undefined);
  if (lasting.length === 0) return [note("no namespace is meshed", `kubectl label namespace NAME ${injectLabel}=${injectLabelValue}`)];
  const findings: Finding[] = [];
  for (const { metadata: found } of lasting) {
    const value = found.labels[injectLabel] ?? "";
    if (value === injectLabelValue) findings.push(...(await checkNamespace(ask, found.name, image)));
    else {
      const mend = `kubectl label --overwrite namespace ${found.name} ${injectLabel}=${injectLabelValue}`;
      findings.push(note(`namespace ${found.name} is not meshed: its label ${injectLabel} is ${JSON.stringify(value)}`, mend));
    }
  }
  return findings;
}

async function checkNamespace(ask: Ask, name: string, image: string): Promise<readonly Finding[]> {
  const restart = `kubectl rollout restart deployment,statefulset,daemonset -n ${name}`;
  if ((await ask(`/api/v1/namespaces/${name}/configmaps/${meshConfigMap}`)) === undefined) {
    const mend = `kubectl logs -n ${systemNamespace} deployment/countersign`;
    return [failed(`namespace ${name} has no ConfigMap ${meshConfigMap}, which the control plane writes: its pods wait for it`, mend)];
  }
  const { items } = pods.parse(await ask(`/api/v1/namespaces/${name}/pods`));
  const live = items.filter(
    ({ metadata: { deletionTimestamp }, status }) =>
      deletionTimestamp === undefined && status.phase !== "Succeeded" && status.phase !== "Failed",
  );
  const wanted = live.filter(({ metadata: { annotations }, spec }) => annotations[injectAnnotation] !== "false" && !spec.hostNetwork);
  const meshed = wanted.filter(({ spec }) => spec.initContainers.some((each) => each.name === proxyContainerName));
  const bare = wanted.filter((pod) => !meshed.includes(pod));
  const waiting = meshed.filter(
    ({ status }) => !status.initContainerStatuses.some((each) => each.name === proxyContainerName && each.ready),
  );
  const old = meshed.filter(({ spec }) => spec.initContainers.some((each) => each.name === proxyContainerName && each.image !== image));
  const findings: Finding[] = [];
  if (bare.length > 0) findings.push(failed(`namespace ${name}: without a sidecar: ${namesOf(bare)}`, restart));
  for (const pod of waiting) {
    const mend = `kubectl logs -n ${name} ${pod.metadata.name} -c ${proxyContainerName}`;
    findings.push(failed(`namespace ${name}: the sidecar of ${pod.metadata.name} is not ready: ${waitingOf(pod) ?? "it runs"}`, mend));
  }
  if (old.length > 0) findings.push(note(`namespace ${name}: with a sidecar of another image than ${image}: ${namesOf(old)}`, restart));
  const apart = live.length - wanted.length;
  if (findings.length === 0) {
    findings.push(ok(`namespace ${name}: ${meshed.length} pods in the mesh${apart === 0 ? "" : `, ${apart} left alone`}`));
  }
  return findings;
}

/** Why a container of ours, or of the control plane's, does not run. */
function waitingOf({ status }: Pod): string | undefined {
  const states = [...status.initContainerStatuses, ...status.containerStatuses];
  const found = states.find(({ state }) => state.waiting && !["PodInitializing", "ContainerCreating", ""].includes(state.waiting.reason));
  const { reason, message } = found?.state.waiting ?? {};
  if (reason === undefined) return undefined;
  const which = found?.name === initContainerName ? `${initContainerName}: ` : "";
  return `${which}${reason}${message === "" || message === undefined ? "" : ` (${message})`}`;
}

const mostNames = 5;

function namesOf(list: readonly Pod[]): string {
  const names = list.map((pod) => pod.metadata.name);
  return names.length <= mostNames ? names.join(", ") : `${names.slice(0, mostNames).join(", ")} and ${names.length - mostNames} more`;
}
