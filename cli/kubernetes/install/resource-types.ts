/** Where the API server keeps objects of a kind: by its discovery, and by the definitions among the manifests. */
import { z } from "zod";
import { asList, asObject, asText, type JsonObject } from "../../../common/injection/json.ts";
import type { Ask } from "../connect.ts";
import { identityOf } from "../kustomize/resource.ts";

export interface ResourceType {
  readonly apiVersion: string;
  readonly kind: string;
  readonly plural: string;
  readonly namespaced: boolean;
  readonly verbs: readonly string[];
}

const resourceList = z.object({
  groupVersion: z.string(),
  resources: z.array(z.object({ name: z.string(), kind: z.string(), namespaced: z.boolean(), verbs: z.array(z.string()).default([]) })),
});

/** Those of one group and version; none where it is not served. Throws KubernetesError. */
export async function servedTypes(ask: Ask, apiVersion: string): Promise<readonly ResourceType[]> {
  const found = await ask(apiVersion.includes("/") ? `/apis/${apiVersion}` : `/api/${apiVersion}`);
  if (found === undefined) return [];
  return resourceList
    .parse(found)
    .resources.filter(({ name }) => !name.includes("/"))
    .map(({ name, kind, namespaced, verbs }) => ({ apiVersion, kind, plural: name, namespaced, verbs }));
}

const groupList = z.object({ groups: z.array(z.object({ preferredVersion: z.object({ groupVersion: z.string() }) })) });

/** All that the API server serves, each group in the version that it prefers. Throws KubernetesError. */
export async function allTypes(ask: Ask): Promise<readonly ResourceType[]> {
  const { groups } = groupList.parse(await ask("/apis"));
  const versions = ["v1", ...groups.map(({ preferredVersion }) => preferredVersion.groupVersion)];
  const lists = await Promise.all(versions.map((apiVersion) => servedTypes(ask, apiVersion)));
  return lists.flat();
}

/** What CustomResourceDefinitions define. */
export function definedTypes(manifests: readonly JsonObject[]): readonly ResourceType[] {
  return manifests.flatMap((manifest) => {
    const spec = asObject(manifest["spec"]);
    const names = asObject(spec?.["names"]);
    if (manifest["kind"] !== "CustomResourceDefinition" || spec === undefined || names === undefined) return [];
    return asList(spec["versions"]).map((version) => ({
      apiVersion: `${asText(spec["group"])}/${asText(asObject(version)?.["name"])}`,
      kind: asText(names["kind"]),
      plural: asText(names["plural"]),
      namespaced: spec["scope"] === "Namespaced",
      verbs: ["create", "delete", "get", "list", "patch"],
    }));
  });
}

/** All that the manifests are of, for as much as is served or defined by them. Throws KubernetesError. */
export async function typesFor(ask: Ask, manifests: readonly JsonObject[]): Promise<readonly ResourceType[]> {
  const versions = new Set(manifests.map((manifest) => asText(manifest["apiVersion"])));
  const served = await Promise.all([...versions].map((apiVersion) => servedTypes(ask, apiVersion)));
  return [...definedTypes(manifests), ...served.flat()];
}

export function typeOf(manifest: JsonObject, types: readonly ResourceType[]): ResourceType | undefined {
  return types.find(({ apiVersion, kind }) => apiVersion === manifest["apiVersion"] && kind === manifest["kind"]);
}

/** Of all objects of the type, or of one namespace, or of one object. */
export function pathOf({ apiVersion, plural, namespaced }: ResourceType, namespace = "", name = ""): string {
  const root = apiVersion.includes("/") ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  const within = namespaced && namespace !== "" ? `/namespaces/${namespace}` : "";
  return `${root}${within}/${plural}${name === "" ? "" : `/${encodeURIComponent(name)}`}`;
}

export function pathOfManifest(manifest: JsonObject, type: ResourceType): string {
  const { namespace, name } = identityOf(manifest);
  return pathOf(type, namespace || "default", name);
}
