/**
 * Whether a cluster can take the manifests, found out before anything is changed: every kind is served, the user may do what will be
 * done, the claim finds a volume, no other mesh is there, and the API server takes each manifest on trial.
 */
import { z } from "zod";
import { asText, type JsonObject } from "../../../common/injection/json.ts";
import { systemNamespace } from "../../../common/injection/names.ts";
import { KubernetesError } from "../../../control-plane/kubernetes/error.ts";
import type { Ask, ClusterConnection } from "../connect.ts";
import { failed, note, ok, type Finding } from "../finding.ts";
import { identityOf, textOf } from "../kustomize/resource.ts";
import { applyManifest } from "./apply.ts";
import { checkInstalledStore, checkInstalledTrustDomain } from "./installed-mesh.ts";
import { checkStorage } from "./storage.ts";
import { overlays } from "./manifests.ts";
import { pathOfManifest, typeOf, type ResourceType } from "./resource-types.ts";

const version = z.object({ gitVersion: z.string() });

/** What to do where a kind is not served. */
const needs: ReadonlyMap<string, string> = new Map([
  ["MutatingAdmissionPolicy", "injection by policy needs Kubernetes 1.36 or later, with admissionregistration.k8s.io/v1 as it comes"],
  ["ValidatingAdmissionPolicy", "the guard needs Kubernetes 1.30 or later"],
  ["PodMonitor", "that is the Prometheus operator's; leave the component pod-monitor out"],
]);

export interface RequirementOptions {
  readonly manifests: readonly JsonObject[];
  /** Served, and defined by the manifests. */
  readonly types: readonly ResourceType[];
  readonly force: boolean;
}

/** Stops after the first group that fails. Throws KubernetesError where the API server does not answer. */
export async function checkRequirements(cluster: ClusterConnection, options: RequirementOptions): Promise<readonly Finding[]> {
  const { manifests, types } = options;
  const findings: Finding[] = [];
  const groups = [
    () => checkKinds(cluster.ask, manifests, types),
    () => checkPermissions(cluster, manifests, types),
    () => checkNamespace(cluster.ask),
    () => checkInstalledTrustDomain(cluster.ask, manifests),
    () => checkInstalledStore(cluster.ask, manifests),
    () => checkStorage(cluster.ask, manifests),
    () => tryAll(cluster, options),
  ];
  for (const group of groups) {
    findings.push(...(await group()));
    if (findings.some(({ state }) => state === "failed")) break;
  }
  return findings;
}

/** Whether every kind of the manifests is served, or defined by them. */
export async function checkKinds(ask: Ask, manifests: readonly JsonObject[], types: readonly ResourceType[]): Promise<readonly Finding[]> {
  const { gitVersion } = version.parse(await ask("/version"));
  const missing = new Map<string, string>();
  for (const manifest of manifests) {
    const { kind } = identityOf(manifest);
    if (typeOf(manifest, types) === undefined) missing.set(kind, asText(manifest["apiVersion"]));
  }
  if (missing.size === 0) return [ok(`Kubernetes ${gitVersion} serves every kind of the manifests`)];
  return [...missing].map(([kind, apiVersion]) => {
    const need = needs.get(kind);
    const isOlder = kind === "MutatingAdmissionPolicy" && overlays().includes("webhook");
    return failed(
      `Kubernetes ${gitVersion} serves no ${kind} of ${apiVersion}${need === undefined ? "" : `: ${need}`}`,
      isOlder ? "countersign install --overlay webhook" : undefined,
    );
  });
}

const review = z.object({ status: z.object({ allowed: z.boolean(), reason: z.string().default("") }) });
const verbs = ["get", "create", "patch"] as const;

async function checkPermissions(
  { send }: ClusterConnection,
  manifests: readonly JsonObject[],
  types: readonly ResourceType[],
): Promise<readonly Finding[]> {
  const may = async (resourceAttributes: object): Promise<boolean> => {
    const body = { apiVersion: "authorization.k8s.io/v1", kind: "SelfSubjectAccessReview", spec: { resourceAttributes } };
    const path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    return review.parse(await send({ method: "POST", path, body })).status.allowed;
  };
  if (await may({ verb: "*", group: "*", resource: "*" })) return [ok("you may do everything in this cluster")];
  const wanted = new Map<string, { readonly group: string; readonly resource: string; readonly namespace: string }>();
  for (const manifest of manifests) {
    const type = typeOf(manifest, types);
    if (type === undefined) continue;
    const { group, namespace } = identityOf(manifest);
    wanted.set(`${type.plural}.${group}/${namespace}`, { group, resource: type.plural, namespace });
  }
  const refused: string[] = [];
  for (const { group, resource, namespace } of wanted.values()) {
    const answers = await Promise.all(verbs.map((verb) => may({ verb, group, resource, ...(namespace !== "" && { namespace }) })));
    const denied = verbs.filter((_verb, index) => answers[index] === false);
    const name = group === "" ? resource : `${resource}.${group}`;
    if (denied.length > 0) refused.push(`${denied.join(", ")} ${name}${namespace === "" ? "" : ` in namespace ${namespace}`}`);
  }
  if (refused.length === 0) return [ok("you may apply every manifest")];
  return refused.map((what) => failed(`you may not ${what}`, "kubectl auth whoami; a cluster administrator has to install"));
}

const namespace = z.object({ metadata: z.object({ deletionTimestamp: z.string().optional() }) });

async function checkNamespace(ask: Ask): Promise<readonly Finding[]> {
  const found = namespace.optional().parse(await ask(`/api/v1/namespaces/${systemNamespace}`));
  if (found?.metadata.deletionTimestamp === undefined) return [];
  return [failed(`namespace ${systemNamespace} is being deleted`, `kubectl wait --for=delete namespace/${systemNamespace} --timeout=5m`)];
}

/** The API server's own say on each manifest, as if it were applied. What is in a namespace that is not there yet cannot be tried. */
async function tryAll(cluster: ClusterConnection, { manifests, types, force }: RequirementOptions): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  let tried = 0;
  for (const manifest of manifests) {
    const type = typeOf(manifest, types);
    if (type === undefined) continue;
    try {
      await applyManifest(cluster, manifest, pathOfManifest(manifest, type), { dryRun: true, force });
      tried += 1;
    } catch (error) {
      if (!(error instanceof KubernetesError)) throw error;
      if (error.code === "not-found") continue;
      const what = textOf(identityOf(manifest));
      if (error.code === "conflict") {
        findings.push(failed(`${what}: ${error.message}`, "with --force-conflicts, these fields become what the manifests say"));
      } else findings.push(failed(`${what}: ${error.message}`));
    }
  }
  if (findings.length > 0) return findings;
  const later = manifests.length - tried;
  return [
    ok(`the API server would take ${tried} manifests`),
    ...(later === 0 ? [] : [note(`${later} more can be tried only in their namespace, which is not there yet`)]),
  ];
}
