/** What there is of the mesh in a cluster: what was installed, what the control plane wrote, and what is the users'. */
import { z } from "zod";
import { injectLabel, injectLabelValue, meshConfigMap, proxyContainerName, systemNamespace } from "../../../common/injection/names.ts";
import type { JsonObject } from "../../../common/injection/json.ts";
import type { Ask } from "../connect.ts";
import { fieldManager } from "../install/apply.ts";
import { manifestsOf, overlays } from "../install/manifests.ts";
import { allTypes, pathOf, type ResourceType } from "../install/resource-types.ts";
import { identityOf } from "../kustomize/resource.ts";
import { listAll } from "../lists.ts";

export interface Present {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly path: string;
}

export interface MeshInCluster {
  /** To be removed, but for what is in the system namespace and goes with it. */
  readonly objects: readonly Present[];
  readonly customResources: readonly Present[];
  /** With our label, but made by somebody else: they stay. */
  readonly others: readonly Present[];
  readonly labelledNamespaces: readonly string[];
  /** Namespace and name of pods with a sidecar. */
  readonly meshedPods: readonly Present[];
  /** Volumes that stay when their claim goes, with what is on them. */
  readonly keptVolumes: readonly string[];
}

export const group = "countersign.dev";
const partOf = { labelSelector: "app.kubernetes.io/part-of=countersign" };
const ownMap = { labelSelector: "app.kubernetes.io/managed-by=countersign", fieldSelector: `metadata.name=${meshConfigMap}` };

const metadata = z.object({
  name: z.string(),
  namespace: z.string().default(""),
  managedFields: z.array(z.object({ manager: z.string().default(""), operation: z.string().default("") })).default([]),
});
const anyObject = z.object({ metadata });
const pod = z.object({
  metadata,
  spec: z.object({
    initContainers: z.array(z.object({ name: z.string() })).default([]),
    containers: z.array(z.object({ name: z.string() })).default([]),
  }),
  status: z.object({ phase: z.string().default("") }).prefault({}),
});
const volume = z.object({
  metadata,
  spec: z.object({
    persistentVolumeReclaimPolicy: z.string().default(""),
    claimRef: z.object({ namespace: z.string().default("") }).optional(),
  }),
});

/** Throws KubernetesError. */
export async function findMesh(ask: Ask): Promise<MeshInCluster> {
  const types = await allTypes(ask);
  const known = new Set(overlays().flatMap((overlay) => manifestsOf({ overlay }).map(keyOf)));
  const objects: Present[] = [];
  const others: Present[] = [];
  const customResources: Present[] = [];
  for (const type of types) {
    if (!type.verbs.includes("list") || !type.verbs.includes("delete")) continue;
    if (isOfGroup(type)) {
      customResources.push(...(await list(ask, type)).map(({ present }) => present));
      continue;
    }
    if (type.kind === "ConfigMap") objects.push(...(await list(ask, type, ownMap)).map(({ present }) => present));
    for (const { present, isApplied } of await list(ask, type, partOf)) {
      // What is in our namespace goes with it, and Endpoints have the labels of their Service.
      if (present.namespace === systemNamespace) continue;
      (isApplied || known.has(keyOfPresent(present, type)) ? objects : others).push(present);
    }
    objects.push(...(await unlabelled(ask, type, known, objects)));
  }
  const pods = await listAll(ask, "/api/v1/pods", (item) => pod.parse(item));
  const labelled = await listAll(ask, "/api/v1/namespaces", (item) => anyObject.parse(item), {
    labelSelector: `${injectLabel}=${injectLabelValue}`,
  });
  const volumes = await listAll(ask, "/api/v1/persistentvolumes", (item) => volume.parse(item));
  return {
    objects,
    customResources,
    others,
    labelledNamespaces: labelled.map(({ metadata: { name } }) => name),
    meshedPods: pods.filter(isMeshed).map(({ metadata: { name, namespace } }) => ({ kind: "Pod", namespace, name, path: "" })),
    keptVolumes: volumes
      .filter(({ spec }) => spec.claimRef?.namespace === systemNamespace && spec.persistentVolumeReclaimPolicy !== "Delete")
      .map(({ metadata: { name } }) => name),
  };
}

function isOfGroup({ apiVersion }: ResourceType): boolean {
  const [name = ""] = apiVersion.split("/");
  return name === group || name.endsWith(`.${group}`);
}

function isMeshed({ spec, status }: z.infer<typeof pod>): boolean {
  const names = [...spec.initContainers, ...spec.containers].map(({ name }) => name);
  return names.includes(proxyContainerName) && status.phase !== "Succeeded" && status.phase !== "Failed";
}

interface Listed {
  readonly present: Present;
  /** By `countersign install`, of this version or another. */
  readonly isApplied: boolean;
}

async function list(ask: Ask, type: ResourceType, query: Readonly<Record<string, string>> = {}): Promise<readonly Listed[]> {
  const found = await listAll(ask, pathOf(type), (item) => anyObject.parse(item).metadata, query);
  return found.map(({ name, namespace, managedFields }) => ({
    present: { kind: type.kind, namespace, name, path: pathOf(type, namespace, name) },
    isApplied: managedFields.some(({ manager, operation }) => manager === fieldManager && operation === "Apply"),
  }));
}

/** What the manifests name, though somebody has taken its label off. */
async function unlabelled(
  ask: Ask,
  type: ResourceType,
  known: ReadonlySet<string>,
  found: readonly Present[],
): Promise<readonly Present[]> {
  const result: Present[] = [];
  for (const key of known) {
    const [kind, apiGroup, namespace = "", name = ""] = key.split("|");
    if (kind !== type.kind || apiGroup !== groupOf(type.apiVersion) || namespace === systemNamespace) continue;
    const path = pathOf(type, namespace, name);
    if (found.some((each) => each.path === path) || (await ask(path)) === undefined) continue;
    result.push({ kind, namespace, name, path });
  }
  return result;
}

function keyOf(manifest: JsonObject): string {
  const { kind, group: apiGroup, namespace, name } = identityOf(manifest);
  return [kind, apiGroup, namespace, name].join("|");
}

function keyOfPresent({ kind, namespace, name }: Present, { apiVersion }: ResourceType): string {
  return [kind, groupOf(apiVersion), namespace, name].join("|");
}

function groupOf(apiVersion: string): string {
  return apiVersion.includes("/") ? (apiVersion.split("/")[0] ?? "") : "";
}
