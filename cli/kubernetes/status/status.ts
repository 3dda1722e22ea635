/** The state of a cluster's mesh, and what of it is not as it should be. */
import { injectLabel, injectLabelValue, meshConfigMap, proxyContainerName, systemNamespace } from "../../../common/injection/names.ts";
import type { ClusterConnection } from "../connect.ts";
import { failed, note, ok, type Finding } from "../finding.ts";
import { textOfTrouble, type Trouble } from "../pods.ts";
import { controlPlaneStatus, type ControlPlaneStatus } from "./control-plane.ts";
import { injectionStatus, type InjectionStatus } from "./injection.ts";
import { namespaceStatuses, type NamespaceStatus } from "./namespaces.ts";
import { resourceStatus, type ResourceStatus } from "./resources.ts";

export interface MeshStatus {
  readonly controlPlane: ControlPlaneStatus | undefined;
  readonly injection: InjectionStatus;
  readonly namespaces: readonly NamespaceStatus[];
  readonly resources: ResourceStatus;
}

/** Throws KubernetesError. */
export async function meshStatus(cluster: ClusterConnection): Promise<MeshStatus> {
  const injection = await injectionStatus(cluster.ask);
  const [controlPlane, namespaces, resources] = await Promise.all([
    controlPlaneStatus(cluster),
    namespaceStatuses(cluster, injection.image),
    resourceStatus(cluster.ask),
  ]);
  return { controlPlane, injection, namespaces, resources };
}

/** Whether there is anything of a mesh at all. */
export function isInstalled({ controlPlane, resources, injection }: MeshStatus): boolean {
  return controlPlane !== undefined || resources.undefinedKinds.length === 0 || injection.by !== "none";
}

const install = "countersign install";

/** A line for each part that is well, and for each thing that is not, with what mends it. */
export function findingsOf(status: MeshStatus): readonly Finding[] {
  const { controlPlane, injection, namespaces, resources } = status;
  if (!isInstalled(status)) return [failed("the mesh is not installed", install)];
  const kinds = resources.undefinedKinds;
  const findings = [...controlPlaneFindings(controlPlane), ...injectionFindings(injection)];
  if (kinds.length > 0) findings.push(failed(`missing: CustomResourceDefinitions of ${kinds.join(", ")}`, install));
  if (namespaces.length === 0)
    findings.push(note("no namespace is meshed", `kubectl label namespace NAME ${injectLabel}=${injectLabelValue}`));
  for (const each of namespaces) findings.push(...namespaceFindings(each, injection.image));
  return [...findings, ...resourceFindings(resources)];
}

function controlPlaneFindings(status: ControlPlaneStatus | undefined): readonly Finding[] {
  if (status === undefined) return [failed("there is no control plane: no Deployment countersign", install)];
  const { replicas, pods, ending } = status;
  const findings = pods.flatMap(({ name, trouble }) =>
    trouble === undefined
      ? []
      : [failed(`the control plane's pod ${name} is not ready: ${textOfTrouble(trouble)}`, mendOf(trouble, systemNamespace, name))],
  );
  if (replicas.wanted === 0)
    findings.push(failed("the control plane has no replica", `kubectl scale -n ${systemNamespace} deployment/countersign --replicas=1`));
  else if (pods.length === 0 && ending.length > 0) {
    const text = `the control plane's next pod waits until ${ending.join(", ")} has ended`;
    findings.push(failed(text, `kubectl describe pods -n ${systemNamespace}`));
  } else if (pods.length === 0) findings.push(failed("the control plane has no pod", `kubectl describe replicasets -n ${systemNamespace}`));
  if (findings.length > 0) return findings;
  const missing = replicas.wanted - replicas.ready;
  return missing > 0
    ? [failed(`the control plane has ${replicas.ready} of ${replicas.wanted} replicas ready`)]
    : [ok("the control plane is ready")];
}

function injectionFindings({ missing, warnings, by }: InjectionStatus): readonly Finding[] {
  if (missing.length > 0) return [failed(`missing: ${missing.join("; ")}`, install)];
  if (warnings.length > 0) return warnings.map((warning) => failed(`ValidatingAdmissionPolicy countersign-guard: ${warning}`, install));
  return [ok(`pods are injected by ${by}, and guarded`)];
}

function namespaceFindings(status: NamespaceStatus, image: string | undefined): readonly Finding[] {
  const { name, label, hasBundle, withoutSidecar, troubles, refused, otherImage, inMesh, leftAlone } = status;
  const restart = `kubectl rollout restart deployment,statefulset,daemonset -n ${name}`;
  if (label !== injectLabelValue) {
    const mend = `kubectl label --overwrite namespace ${name} ${injectLabel}=${injectLabelValue}`;
    return [note(`namespace ${name} is not meshed: its label ${injectLabel} is ${JSON.stringify(label)}`, mend)];
  }
  const findings: Finding[] = [];
  if (!hasBundle) {
    const mend = `kubectl logs -n ${systemNamespace} deployment/countersign`;
    findings.push(
      failed(`namespace ${name} has no ConfigMap ${meshConfigMap}, which the control plane writes: its pods wait for it`, mend),
    );
  }
  for (const { owner, message } of refused) findings.push(failed(`namespace ${name}: ${owner} cannot make its pods: ${message}`));
  if (withoutSidecar.length > 0) findings.push(failed(`namespace ${name}: without a sidecar: ${namesOf(withoutSidecar)}`, restart));
  for (const { pod, trouble } of troubles.slice(0, mostNames)) {
    findings.push(failed(`namespace ${name}: ${pod} is not ready: ${textOfTrouble(trouble)}`, mendOf(trouble, name, pod)));
  }
  if (troubles.length > mostNames)
    findings.push(failed(`namespace ${name}: ${troubles.length - mostNames} more pods are not ready`, `kubectl get pods -n ${name}`));
  if (otherImage.length > 0)
    findings.push(note(`namespace ${name}: with a sidecar of another image than ${image ?? ""}: ${namesOf(otherImage)}`, restart));
  if (findings.length > 0) return findings;
  const pods = inMesh === 1 ? "1 pod" : `${inMesh} pods`;
  return [ok(`namespace ${name}: ${pods} in the mesh${leftAlone === 0 ? "" : `, ${leftAlone} left alone`}`)];
}

function resourceFindings({ notInForce, total }: ResourceStatus): readonly Finding[] {
  const findings = notInForce.map(({ plural, namespace, name, condition, reason, message }) => {
    const where = namespace === "" ? "" : ` -n ${namespace}`;
    const text = `${plural}/${name}${where} is not ${condition}: ${reason}: ${message}`;
    const mend = `kubectl describe ${plural}.countersign.dev/${name}${where}`;
    // Sidecars come and go: what some do not hold yet is no failure.
    return condition === "Enforced" && reason === "Distributing" ? note(text, mend) : failed(text, mend);
  });
  if (findings.length > 0 || total === 0) return findings;
  return [ok(`${total === 1 ? "1 custom resource is" : `${total} custom resources are`} accepted and enforced`)];
}

/** The next command for whoever has that trouble. */
function mendOf({ reason, message, container, ended }: Trouble, namespace: string, pod: string): string {
  if (/image/i.test(reason) && container !== undefined) {
    const isOurs = namespace === systemNamespace || container.startsWith("countersign-");
    if (isOurs) return `${install} --image NAME:TAG, with an image that the node has or can pull`;
  }
  if (ended && container !== undefined) return `kubectl logs -n ${namespace} ${pod} -c ${container} --previous`;
  if (reason === "FailedMount" && message.includes(`"${meshConfigMap}" not found`))
    return `kubectl logs -n ${systemNamespace} deployment/countersign`;
  if (container === proxyContainerName) return `kubectl logs -n ${namespace} ${pod} -c ${container}`;
  return `kubectl describe pod -n ${namespace} ${pod}`;
}

const mostNames = 5;

function namesOf(names: readonly string[]): string {
  return names.length <= mostNames ? names.join(", ") : `${names.slice(0, mostNames).join(", ")} and ${names.length - mostNames} more`;
}
