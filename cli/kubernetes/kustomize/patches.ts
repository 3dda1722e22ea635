/** `patches` of a kustomization. */
import { join } from "node:path";
import type { Json } from "../../../common/injection/cel.ts";
import { asObject, type JsonObject } from "../../../common/injection/json.ts";
import { KustomizeError } from "./error.ts";
import { applyJsonPatch, jsonPatchFrom } from "./json-patch.ts";
import type { Kustomization } from "./kustomization.ts";
import { documentsOf, type ReadText } from "./read.ts";
import { identityOf, isSame, isSelected, resourceFrom, textOf, type Resource } from "./resource.ts";
import { mergeStrategically } from "./strategic-merge.ts";

type Patch = Kustomization["patches"][number];

/** Throws KustomizeError. */
export function applyPatches(
  resources: readonly Resource[],
  patches: readonly Patch[],
  folder: string,
  read: ReadText,
): readonly Resource[] {
  let result = resources;
  for (const patch of patches) result = applyPatch(result, patch, folder, read);
  return result;
}

function applyPatch(resources: readonly Resource[], { path, patch, target }: Patch, folder: string, read: ReadText): readonly Resource[] {
  if ((path === undefined) === (patch === undefined)) throw new KustomizeError("invalid", `${folder}: patches: expected path or patch`);
  const where = path === undefined ? `${folder}: patch ${JSON.stringify(patch?.slice(0, 40))}` : join(folder, path);
  const documents = documentsOf(path === undefined ? (patch ?? "") : read(where), where);
  if (Array.isArray(documents[0])) {
    if (target === undefined) throw new KustomizeError("invalid", `${where}: a JSON patch needs a target`);
    const operations = jsonPatchFrom(documents[0] as Json, where);
    return resources.map((resource) => {
      if (!isSelected(resource, target, where)) return resource;
      const object = asObject(applyJsonPatch(resource.object, operations, where));
      if (object === undefined || !isSame(identityOf(object), identityOf(resource.object))) {
        throw new KustomizeError("unsupported", `${where}: the patch changes what ${textOf(identityOf(resource.object))} is called`);
      }
      return { ...resource, object };
    });
  }
  if (target !== undefined) {
    const [document, ...more] = documents.map((value) => asObject(value));
    if (document === undefined || more.length > 0) throw new KustomizeError("invalid", `${where}: expected one patch for its target`);
    return resources.flatMap((resource) => (isSelected(resource, target, where) ? merged(resource, document, where) : [resource]));
  }
  let result = resources;
  for (const document of documents) {
    const { object } = resourceFrom(document, where);
    const identity = identityOf(object);
    const found = result.find((resource) => isSame(identityOf(resource.object), identity));
    if (found === undefined) throw new KustomizeError("no-target", `${where}: there is no ${textOf(identity)} to be patched`);
    result = result.flatMap((resource) => (resource === found ? merged(resource, object, where) : [resource]));
  }
  return result;
}

/** What a manifest is called stays. */
function merged(resource: Resource, patch: JsonObject, where: string): readonly Resource[] {
  const { apiVersion: _apiVersion, kind: _kind, metadata, ...rest } = patch;
  const { name: _name, namespace: _namespace, ...otherMetadata } = asObject(metadata) ?? {};
  const object = mergeStrategically(
    resource.object,
    metadata === undefined ? rest : { ...rest, metadata: otherMetadata },
    identityOf(resource.object).kind,
    where,
  );
  return object === undefined ? [] : [{ ...resource, object }];
}
