/** Manifests while they are rendered: who they are, how they are selected, and in which order they come out. */
import type { Json } from "../../../common/injection/cel.ts";
import { asObject, asText, type JsonObject } from "../../../common/injection/json.ts";
import { KustomizeError } from "./error.ts";
import type { Selector } from "./kustomization.ts";

export interface Resource {
  readonly object: JsonObject;
  /** Its name gets the hash of its content: it was generated. */
  readonly hashed: boolean;
}

export interface Identity {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly name: string;
  /** Empty where none is written. */
  readonly namespace: string;
}

export function identityOf(object: JsonObject): Identity {
  const [version = "", group = ""] = asText(object["apiVersion"]).split("/").toReversed();
  const metadata = asObject(object["metadata"]);
  return { group, version, kind: asText(object["kind"]), name: asText(metadata?.["name"]), namespace: asText(metadata?.["namespace"]) };
}

/** Throws KustomizeError `invalid` for what is no manifest. */
export function resourceFrom(value: Json, path: string): Resource {
  const object = asObject(value);
  const { version, kind, name } = identityOf(object ?? {});
  if (object === undefined || version === "" || kind === "" || name === "") {
    throw new KustomizeError("invalid", `${path}: expected apiVersion, kind and metadata.name`);
  }
  if (kind.endsWith("List") && "items" in object) throw new KustomizeError("unsupported", `${path}: ${kind}: write documents of their own`);
  return { object, hashed: false };
}

export function isSame(a: Identity, b: Identity): boolean {
  const namespace = (of: Identity) => of.namespace || "default";
  return a.group === b.group && a.version === b.version && a.kind === b.kind && a.name === b.name && namespace(a) === namespace(b);
}

export function textOf({ kind, name, namespace }: Identity): string {
  return `${kind} ${namespace === "" ? "" : `${namespace}/`}${name}`;
}

/** Whether all that the selector says holds: regular expressions for the whole of a field, `key=value` for labels and annotations. */
export function isSelected({ object }: Resource, selector: Selector, path: string): boolean {
  const identity = identityOf(object);
  const fields = (["group", "version", "kind", "name", "namespace"] as const).every((field) => {
    const pattern = selector[field];
    return pattern === undefined || pattern === "" || new RegExp(`^(?:${pattern})$`).test(identity[field]);
  });
  const metadata = asObject(object["metadata"]);
  return (
    fields &&
    hasPairs(asObject(metadata?.["labels"]), selector.labelSelector, path) &&
    hasPairs(asObject(metadata?.["annotations"]), selector.annotationSelector, path)
  );
}

function hasPairs(present: JsonObject | undefined, text: string | undefined, path: string): boolean {
  if (text === undefined || text === "") return true;
  return text.split(",").every((pair) => {
    const found = /^([^=!<>() ]+)=([^=!<>() ]*)$/.exec(pair.trim());
    if (found === null)
      throw new KustomizeError("unsupported", `${path}: the selector ${JSON.stringify(text)}: only key=value is rendered here`);
    return present?.[found[1] ?? ""] === found[2];
  });
}

const first = [
  "Namespace",
  "ResourceQuota",
  "StorageClass",
  "CustomResourceDefinition",
  "ServiceAccount",
  "PodSecurityPolicy",
  "Role",
  "ClusterRole",
  "RoleBinding",
  "ClusterRoleBinding",
  "ConfigMap",
  "Secret",
  "Endpoints",
  "Service",
  "LimitRange",
  "PriorityClass",
  "PersistentVolume",
  "PersistentVolumeClaim",
  "Deployment",
  "StatefulSet",
  "CronJob",
  "PodDisruptionBudget",
];
const last = ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"];

/** kustomize's own order, in which what is needed comes before what needs it. */
export function inOrder(resources: readonly Resource[]): readonly Resource[] {
  return [...resources].sort((a, b) => compare(identityOf(a.object), identityOf(b.object)));
}

function compare(a: Identity, b: Identity): number {
  const rank = ({ kind }: Identity) => (first.includes(kind) ? first.indexOf(kind) - first.length : last.indexOf(kind) + 1);
  // What is empty comes last.
  const kind = (of: Identity) => `${of.group || "~G"}_${of.version}_${of.kind}`;
  const name = (of: Identity) => `${of.namespace || "~X"}|${of.name}`;
  const texts = (x: string, y: string) => (x < y ? -1 : Number(x > y));
  return rank(a) - rank(b) || texts(kind(a), kind(b)) || texts(name(a), name(b));
}
