/** ConfigMaps that are generated from files, under names that change with their content, and what refers to them by name. */
import { createHash } from "node:crypto";
import { basename, join } from "node:path";
import type { Json } from "../../../common/injection/cel.ts";
import { asList, asObject, asText, type JsonObject } from "../../../common/injection/json.ts";
import { KustomizeError } from "./error.ts";
import type { Kustomization } from "./kustomization.ts";
import type { ReadText } from "./read.ts";
import { identityOf, type Resource } from "./resource.ts";

/** Throws KustomizeError. */
export function generateConfigMaps(
  { configMapGenerator, generatorOptions }: Kustomization,
  folder: string,
  read: ReadText,
): readonly Resource[] {
  return configMapGenerator.map(({ name, namespace, files, literals, options }) => {
    const data: Record<string, Json> = {};
    const add = (key: string, value: string) => {
      if (key in data) throw new KustomizeError("invalid", `${folder}: the ConfigMap ${name} would have ${key} twice`);
      data[key] = value;
    };
    for (const file of files) {
      const [, key = basename(file), path = file] = /^([^=]+)=(.+)$/.exec(file) ?? [];
      add(key, read(join(folder, path)));
    }
    for (const literal of literals) {
      const [, key, value] = /^([^=]+)=(.*)$/s.exec(literal) ?? [];
      if (key === undefined || value === undefined)
        throw new KustomizeError("invalid", `${folder}: ConfigMap ${name}: ${literal}: expected key=value`);
      add(key, /^(["']).*\1$/s.test(value) && value.length > 1 ? value.slice(1, -1) : value);
    }
    const labels = { ...generatorOptions?.labels, ...options?.labels };
    const annotations = { ...generatorOptions?.annotations, ...options?.annotations };
    const metadata = {
      name,
      ...(namespace !== undefined && { namespace }),
      ...(Object.keys(labels).length > 0 && { labels }),
      ...(Object.keys(annotations).length > 0 && { annotations }),
    };
    const hashed = !(options?.disableNameSuffixHash || generatorOptions?.disableNameSuffixHash);
    return { object: { apiVersion: "v1", kind: "ConfigMap", metadata, ...(Object.keys(data).length > 0 && { data }) }, hashed };
  });
}

/** Gives what was generated its name with the hash, and everything else that name. */
export function withHashes(resources: readonly Resource[]): readonly Resource[] {
  const renamed = new Map<string, string>();
  for (const { object, hashed } of resources) {
    const { name, namespace } = identityOf(object);
    if (hashed) renamed.set(`${namespace || "default"}/${name}`, `${name}-${hashOf(object)}`);
  }
  if (renamed.size === 0) return resources;
  return resources.map((resource) => {
    const { object, hashed } = resource;
    const { name, namespace, kind } = identityOf(object);
    const rename = (present: string) => renamed.get(`${namespace || "default"}/${present}`) ?? present;
    if (!hashed) return { ...resource, object: withReferences(object, kind, rename) };
    return { ...resource, object: { ...object, metadata: { ...asObject(object["metadata"]), name: rename(name) } } };
  });
}

/**
 * kustomize's api/hasher: ten digits of the SHA-256 of Go's JSON, in letters that form no words. It means to hash the name as well, and
 * looks for it where it never is.
 */
function hashOf(object: JsonObject): string {
  const data = asObject(object["data"]) ?? {};
  const ordered = Object.fromEntries(
    Object.keys(data)
      .sort()
      .map((key) => [key, data[key]]),
  );
  const json = JSON.stringify({ data: "data" in object ? ordered : "", kind: "ConfigMap", name: "" });
  const asGo = json.replaceAll(/[<>&\u2028\u2029]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`);
  const digits = createHash("sha256").update(asGo).digest("hex").slice(0, 10);
  const letters: Readonly<Record<string, string>> = { "0": "g", "1": "h", "3": "k", a: "m", e: "t" };
  return digits.replaceAll(/[013ae]/g, (digit) => letters[digit] ?? digit);
}

/** Where kustomize looks for names of ConfigMaps in a pod (api/internal/konfig/builtinpluginconsts/namereference.go). */
const inPod = ["containers", "initContainers"]
  .flatMap((list) => [`${list}/env/valueFrom/configMapKeyRef/name`, `${list}/envFrom/configMapRef/name`])
  .concat("volumes/configMap/name", "volumes/projected/sources/configMap/name")
  .map((path) => path.split("/"));

const podSpecOfKind: ReadonlyMap<string, readonly string[]> = new Map([
  ["Pod", ["spec"]],
  ["CronJob", ["spec", "jobTemplate", "spec", "template", "spec"]],
  ...["Deployment", "ReplicaSet", "DaemonSet", "StatefulSet", "Job"].map((kind): [string, string[]] => [
    kind,
    ["spec", "template", "spec"],
  ]),
]);

function withReferences(object: JsonObject, kind: string, rename: (name: string) => string): JsonObject {
  if (kind === "Role" || kind === "ClusterRole") {
    const rules = asList(object["rules"]).map((rule) => renameAt(rule, ["resourceNames"], rename));
    return "rules" in object ? { ...object, rules } : object;
  }
  const podSpec = podSpecOfKind.get(kind);
  if (podSpec === undefined) return object;
  let result: Json = object;
  for (const path of inPod) result = renameAt(result, [...podSpec, ...path], rename);
  return asObject(result) ?? object;
}

/** Changes the text there, in every item of the lists on the way. */
function renameAt(value: Json, path: readonly string[], rename: (name: string) => string): Json {
  if (Array.isArray(value)) return (value as readonly Json[]).map((item) => renameAt(item, path, rename));
  const [key, ...rest] = path;
  if (key === undefined) return rename(asText(value));
  const object = asObject(value);
  const next = object?.[key];
  return object === undefined || next === undefined ? value : { ...object, [key]: renameAt(next, rest, rename) };
}
