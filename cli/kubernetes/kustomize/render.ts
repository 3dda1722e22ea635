/**
 * What `kubectl kustomize` makes of a folder, for as much of kustomize as k8s/ uses: resources, components, images, labels, patches,
 * configMapGenerator, replacements. What goes beyond that is refused. A cluster test compares every overlay with kubectl's own.
 *
 * `namespace` is not among it, because the mesh's namespace is fixed: it is in the names that pods know the control plane by.
 */
import { join } from "node:path";
import type { JsonObject } from "../../../common/injection/json.ts";
import { generateConfigMaps, withHashes } from "./config-map.ts";
import { KustomizeError } from "./error.ts";
import { setImages, setLabels } from "./images.ts";
import { kustomizationFile, readKustomization, type Kustomization } from "./kustomization.ts";
import { applyPatches } from "./patches.ts";
import { documentsOf, readText, type ReadText } from "./read.ts";
import { applyReplacements } from "./replacements.ts";
import { identityOf, inOrder, isSame, resourceFrom, textOf, type Resource } from "./resource.ts";

/** In the order in which they can be applied. Throws KustomizeError. */
export function render(folder: string, read: ReadText = readText): readonly JsonObject[] {
  return inOrder(withHashes(build(folder, "Kustomization", [], read))).map(({ object }) => object);
}

/** A component changes what came before it; a kustomization begins with nothing. The steps are in kustomize's order. */
function build(folder: string, kind: Kustomization["kind"], before: readonly Resource[], read: ReadText): readonly Resource[] {
  const where = join(folder, kustomizationFile);
  const kustomization = readKustomization(folder, kind, read);
  let resources = before;
  const add = (more: readonly Resource[]) => {
    for (const { object } of more) {
      const identity = identityOf(object);
      if (!resources.some((present) => isSame(identityOf(present.object), identity))) continue;
      throw new KustomizeError("invalid", `${where}: ${textOf(identity)} is there twice`);
    }
    resources = [...resources, ...more];
  };
  for (const entry of kustomization.resources) add(resourcesOf(entry, folder, read));
  add(generateConfigMaps(kustomization, folder, read));
  for (const component of kustomization.components) resources = build(join(folder, local(component, where)), "Component", resources, read);
  resources = applyPatches(resources, kustomization.patches, folder, read);
  resources = setLabels(resources, kustomization.labels);
  resources = setImages(resources, kustomization.images);
  return applyReplacements(resources, kustomization.replacements, where);
}

function resourcesOf(entry: string, folder: string, read: ReadText): readonly Resource[] {
  const path = join(folder, local(entry, join(folder, kustomizationFile)));
  if (!/\.(?:ya?ml|json)$/.test(entry)) return build(path, "Kustomization", [], read);
  return documentsOf(read(path), path).map((document) => resourceFrom(document, path));
}

function local(entry: string, where: string): string {
  if (/^[a-z]+:\/\/|^git@|^github\.com\/|\?ref=/.test(entry))
    throw new KustomizeError("unsupported", `${where}: ${entry}: only files of this folder are rendered here`);
  return entry;
}
