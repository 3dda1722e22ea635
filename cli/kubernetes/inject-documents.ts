/**
 * Injection into files: every pod, and everything with a template of pods, in YAML of any number of documents, or JSON. What is
 * not changed stays as it was written, with its comments.
 */
import { type Document, isMap, isSeq, parseAllDocuments, type ParsedNode } from "yaml";
import type { Json } from "../../common/injection/cel.ts";
import { InjectError, injectPod, leftAlone, type InjectionSettings } from "../../common/injection/inject-pod.ts";
import { asObject, asObjects, asText, type JsonObject } from "../../common/injection/json.ts";

export interface Injected {
  readonly text: string;
  /** In the order of the text. */
  readonly outcomes: readonly InjectOutcome[];
}

export interface InjectOutcome {
  readonly kind: string;
  readonly name: string;
  /** `unchanged`: is meshed already. Of the others, why they are left alone. */
  readonly outcome: "injected" | "unchanged" | "annotation" | "host-network" | "windows";
}

type Path = readonly (string | number)[];

/** Where a kind has its pod. */
const podPaths: ReadonlyMap<string, Path> = new Map<string, Path>([
  ["Pod", []],
  ["PodTemplate", ["template"]],
  ["CronJob", ["spec", "jobTemplate", "spec", "template"]],
  ...["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job"].map((kind): [string, Path] => [
    kind,
    ["spec", "template"],
  ]),
]);

/** `source` names the text in errors. Throws InjectError. */
export function injectText(text: string, settings: InjectionSettings, source: string): Injected {
  const outcomes: InjectOutcome[] = [];
  const json = jsonFrom(text);
  if (json !== undefined) {
    const injected = injectObject(json, settings, source, outcomes);
    return { text: `${JSON.stringify(injected, null, 2)}\n`, outcomes };
  }
  // As kubectl reads it, to which `yes` is true.
  const documents = parseAllDocuments(text, { version: "1.1" });
  if (!Array.isArray(documents)) return { text, outcomes };
  for (const document of documents) {
    const [error] = document.errors;
    if (error !== undefined) throw new InjectError("unreadable", `${source}: ${error.message.split("\n")[0]}`, { cause: error });
    const before = asObject(document.toJS() as Json);
    if (before === undefined) continue;
    change(document, [], before, injectObject(before, settings, source, outcomes));
  }
  if (outcomes.every(({ outcome }) => outcome !== "injected")) return { text, outcomes };
  return { text: documents.map((document) => document.toString({ lineWidth: 0 })).join(""), outcomes };
}

function jsonFrom(text: string): JsonObject | undefined {
  if (!text.trimStart().startsWith("{")) return undefined;
  try {
    return asObject(JSON.parse(text) as Json);
  } catch {
    return undefined;
  }
}

function injectObject(object: JsonObject, settings: InjectionSettings, source: string, outcomes: InjectOutcome[]): JsonObject {
  const kind = asText(object["kind"]);
  if (kind.endsWith("List") && Array.isArray(object["items"])) {
    return { ...object, items: asObjects(object["items"]).map((item) => injectObject(item, settings, source, outcomes)) };
  }
  const path = podPaths.get(kind);
  const pod = path && at(object, path);
  if (path === undefined || pod === undefined) return object;
  const metadata = asObject(object["metadata"]);
  const name = asText(metadata?.["name"]) || asText(metadata?.["generateName"]);
  try {
    const injected = injectPod(pod, settings);
    const same = JSON.stringify(injected) === JSON.stringify(pod);
    outcomes.push({ kind, name, outcome: leftAlone(pod) ?? (same ? "unchanged" : "injected") });
    return put(object, path, injected);
  } catch (error) {
    if (!(error instanceof InjectError)) throw error;
    throw new InjectError(error.code, `${source}: ${kind} ${name}: ${error.message}`, { cause: error });
  }
}

function at(object: JsonObject, path: Path): JsonObject | undefined {
  let found: JsonObject | undefined = object;
  for (const key of path) found = asObject(found?.[key]);
  return found;
}

function put(object: JsonObject, [key, ...rest]: Path, value: JsonObject): JsonObject {
  return key === undefined ? value : { ...object, [key]: put(asObject(object[key]) ?? {}, rest, value) };
}

/** Makes the document say `after` where it says `before`, and touches nothing else. Lists only ever grow at an end. */
function change(document: Document<ParsedNode>, path: Path, before: Json | undefined, after: Json | undefined): void {
  if (JSON.stringify(before) === JSON.stringify(after)) return;
  const node = document.getIn(path, true);
  const [wasObject, isObject] = [asObject(before), asObject(after)];
  if (isMap(node) && wasObject !== undefined && isObject !== undefined) {
    for (const key of new Set([...Object.keys(wasObject), ...Object.keys(isObject)])) {
      if (!(key in isObject)) document.deleteIn([...path, key]);
      else if (key in wasObject) change(document, [...path, key], wasObject[key], isObject[key]);
      else document.setIn([...path, key], document.createNode(isObject[key]));
    }
    return;
  }
  if (isSeq(node) && Array.isArray(before) && Array.isArray(after) && after.length >= before.length) {
    const [was, is]: readonly [readonly Json[], readonly Json[]] = [before, after];
    const atFront = was.length > 0 && nameOf(is[0]) !== nameOf(was[0]);
    const added = is.length - was.length;
    for (const [index, item] of was.entries()) change(document, [...path, index], item, is[atFront ? index + added : index]);
    const nodes = (atFront ? is.slice(0, added) : is.slice(was.length)).map((item) => document.createNode(item));
    node.items.splice(atFront ? 0 : was.length, 0, ...nodes);
    return;
  }
  document.setIn(path, document.createNode(after));
}

function nameOf(item: Json | undefined): string {
  return asText(asObject(item)?.["name"]);
}
