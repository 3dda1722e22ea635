/** `images` and `labels` of a kustomization. */
import type { Json } from "../../../common/injection/cel.ts";
import { asList, asObject, asText, type JsonObject } from "../../../common/injection/json.ts";
import type { Kustomization } from "./kustomization.ts";
import { identityOf, type Resource } from "./resource.ts";

type Image = Kustomization["images"][number];

/** In every list of containers or init containers, at any depth and of any kind, as kustomize does it; but not in definitions. */
export function setImages(resources: readonly Resource[], images: readonly Image[]): readonly Resource[] {
  if (images.length === 0) return resources;
  const rename = (image: string) => images.reduce((name, each) => renamed(name, each), image);
  return resources.map((resource) => {
    const { object } = resource;
    return object["kind"] === "CustomResourceDefinition"
      ? resource
      : { ...resource, object: asObject(withImages(object, rename)) ?? object };
  });
}

function withImages(value: Json, rename: (image: string) => string): Json {
  if (Array.isArray(value)) return (value as readonly Json[]).map((item) => withImages(item, rename));
  const object = asObject(value);
  if (object === undefined) return value;
  const entries = Object.entries(object).map(([key, each]): [string, Json] => {
    const inside = withImages(each, rename);
    const isContainers = (key === "containers" || key === "initContainers") && Array.isArray(inside);
    return [key, isContainers ? asList(inside).map((item) => withImage(item, rename)) : inside];
  });
  return Object.fromEntries(entries);
}

function withImage(item: Json, rename: (image: string) => string): Json {
  const container = asObject(item);
  return container === undefined || !("image" in container) ? item : { ...container, image: rename(asText(container["image"])) };
}

function renamed(image: string, { name, newName, newTag, digest }: Image): string {
  const escaped = name.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);
  const found = new RegExp(`^${escaped}(:[a-zA-Z0-9_.{}-]*)?(@sha256:[a-zA-Z0-9_.{}-]*)?$`).exec(image);
  if (found === null) return image;
  const [, tag = "", hash = ""] = found;
  const isPinned = newTag !== undefined || digest !== undefined;
  const suffix = isPinned ? `${newTag === undefined ? "" : `:${newTag}`}${digest === undefined ? "" : `@${digest}`}` : tag + hash;
  return `${newName ?? name}${suffix}`;
}

/** Where a kind has templates, from the outermost. */
const templates: ReadonlyMap<string, readonly (readonly string[])[]> = new Map([
  [
    "CronJob",
    [
      ["spec", "jobTemplate"],
      ["spec", "jobTemplate", "spec", "template"],
    ],
  ],
  ...["Deployment", "ReplicaSet", "DaemonSet", "StatefulSet", "Job"].map((kind): [string, string[][]] => [kind, [["spec", "template"]]]),
]);

export function setLabels(resources: readonly Resource[], labels: Kustomization["labels"]): readonly Resource[] {
  let result = resources;
  for (const { pairs, includeTemplates } of labels) {
    result = result.map((resource) => {
      let object = withLabels(resource.object, [], pairs);
      const paths = includeTemplates ? (templates.get(identityOf(object).kind) ?? []) : [];
      for (const path of paths) object = withLabels(object, path, pairs);
      return { ...resource, object };
    });
  }
  return result;
}

function withLabels(object: JsonObject, [key, ...rest]: readonly string[], pairs: Readonly<Record<string, string>>): JsonObject {
  if (key !== undefined) return { ...object, [key]: withLabels(asObject(object[key]) ?? {}, rest, pairs) };
  const metadata = asObject(object["metadata"]);
  return { ...object, metadata: { ...metadata, labels: { ...asObject(metadata?.["labels"]), ...pairs } } };
}
