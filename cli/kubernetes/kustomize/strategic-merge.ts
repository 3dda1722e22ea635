/**
 * Strategic merge patches as kustomize does them: objects are merged, and so are the lists that have merge keys in Kubernetes' own
 * schema; other lists are replaced. What a patch adds to a list comes first.
 * https://kubernetes.io/docs/reference/using-api/api-concepts/#merge-strategy, kustomize's api/filters/patchstrategicmerge.
 */
import type { Json } from "../../../common/injection/cel.ts";
import { asObject, type JsonObject } from "../../../common/injection/json.ts";
import { KustomizeError } from "./error.ts";

/** What is known of an object's fields: those that are lists of objects with keys, and those that are objects with such lists. */
interface Fields {
  readonly lists?: Readonly<Record<string, MergedList>>;
  readonly objects?: Readonly<Record<string, Fields>>;
}

interface MergedList {
  readonly keys: readonly string[];
  readonly items?: Fields;
}

const byName: MergedList = { keys: ["name"] };
const container: Fields = {
  lists: {
    env: byName,
    ports: { keys: ["containerPort", "protocol"] },
    volumeMounts: { keys: ["mountPath"] },
    volumeDevices: { keys: ["devicePath"] },
  },
};
const containers: MergedList = { keys: ["name"], items: container };
const podSpec: Fields = {
  lists: {
    containers,
    initContainers: containers,
    ephemeralContainers: containers,
    volumes: byName,
    imagePullSecrets: byName,
    hostAliases: { keys: ["ip"] },
    topologySpreadConstraints: { keys: ["topologyKey", "whenUnsatisfiable"] },
  },
};
const pod: Fields = { objects: { spec: podSpec } };
const workload: Fields = { objects: { spec: { objects: { template: pod } } } };
const webhooks: Fields = { lists: { webhooks: byName } };

/** Kinds that are not here have no list that is merged. */
const fieldsOfKind: ReadonlyMap<string, Fields> = new Map([
  ["Pod", pod],
  ...["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job"].map((kind): [string, Fields] => [kind, workload]),
  ["CronJob", { objects: { spec: { objects: { jobTemplate: workload } } } }],
  ["Service", { objects: { spec: { lists: { ports: { keys: ["port", "protocol"] } } } } }],
  ["ServiceAccount", { lists: { secrets: byName, imagePullSecrets: byName } }],
  ["MutatingWebhookConfiguration", webhooks],
  ["ValidatingWebhookConfiguration", webhooks],
]);

/** Undefined where the patch deletes the whole object. Throws KustomizeError `unsupported` for directives other than `$patch`. */
export function mergeStrategically(target: JsonObject, patch: JsonObject, kind: string, where: string): JsonObject | undefined {
  const metadata = asObject(patch["metadata"]);
  for (const field of ["finalizers", "ownerReferences"]) {
    if (metadata?.[field] !== undefined) throw new KustomizeError("unsupported", `${where}: metadata.${field}: use a JSON patch`);
  }
  return mergeObjects(target, patch, fieldsOfKind.get(kind) ?? {}, where);
}

function mergeObjects(target: JsonObject, patch: JsonObject, fields: Fields, where: string): JsonObject | undefined {
  const { directive, rest } = directiveOf(patch, where);
  if (directive === "delete") return undefined;
  if (directive === "replace") return rest;
  const merged: Record<string, Json> = { ...target };
  for (const [key, wanted] of Object.entries(rest)) {
    const value = wanted === null ? undefined : mergeValues(target[key], wanted, key, fields, where);
    if (value === undefined) delete merged[key];
    else merged[key] = value;
  }
  return merged;
}

function mergeValues(present: Json | undefined, wanted: Json, key: string, fields: Fields, where: string): Json | undefined {
  const [before, after] = [asObject(present), asObject(wanted)];
  if (after !== undefined) return mergeObjects(before ?? {}, after, fields.objects?.[key] ?? {}, where);
  const list = fields.lists?.[key];
  if (!Array.isArray(wanted) || list === undefined) return wanted;
  return mergeLists(Array.isArray(present) ? (present as readonly Json[]) : [], wanted as readonly Json[], list, where);
}

/** Items of one key come in the order of the patch and then of the target; of several keys, what is new first and then the target's. */
function mergeLists(target: readonly Json[], patch: readonly Json[], { keys, items = {} }: MergedList, where: string): readonly Json[] {
  const wanted = patch.map((item) => asObject(item) ?? fail(`${where}: a list of ${keys[0]} has an item that is no object`));
  if (wanted.some((item) => Object.keys(item).length === 1 && item["$patch"] === "replace")) {
    return wanted.filter((item) => item["$patch"] !== "replace");
  }
  const matched = new Map<Json, JsonObject>();
  for (const present of target) {
    const found = wanted.find((item) => isSameItem(asObject(present), item, keys, where));
    if (found !== undefined) matched.set(present, found);
  }
  const merge = (present: Json, item: JsonObject) => mergeObjects(asObject(present) ?? {}, item, items, where);
  const rest = target.map((present) => {
    const item = matched.get(present);
    return { item, merged: item === undefined ? present : merge(present, item) };
  });
  const isOrderedByPatch = keys.length === 1;
  const first = wanted.map((item) => {
    const present = rest.find((each) => each.item === item);
    if (present === undefined) return merge({}, item);
    return isOrderedByPatch ? present.merged : undefined;
  });
  const others = rest.filter(({ item }) => item === undefined || !isOrderedByPatch).map(({ merged }) => merged);
  return [...first, ...others].filter((item) => item !== undefined);
}

/** Throws where one of the two does not say a key after the first: kustomize then merges some such items, and loses others. */
function isSameItem(a: JsonObject | undefined, b: JsonObject, [first = "", ...others]: readonly string[], where: string): boolean {
  if (a?.[first] === undefined || a[first] !== b[first]) return false;
  const halfSaid = others.find((key) => (a[key] === undefined) !== (b[key] === undefined));
  if (halfSaid !== undefined)
    fail(`${where}: ${first} ${JSON.stringify(a[first])}: say ${halfSaid} in the manifest and in the patch, or in neither`);
  return others.every((key) => a[key] === b[key]);
}

function directiveOf(patch: JsonObject, where: string): { readonly directive: "merge" | "replace" | "delete"; readonly rest: JsonObject } {
  const { $patch: directive = "merge", ...rest } = patch;
  const other = Object.keys(rest).find((key) => key.startsWith("$"));
  if (other !== undefined) fail(`${where}: ${other}: not among what is rendered here`);
  if (directive !== "merge" && directive !== "replace" && directive !== "delete") {
    return fail(`${where}: $patch: ${JSON.stringify(directive)}: expected merge, replace or delete`);
  }
  return { directive, rest };
}

function fail(message: string): never {
  throw new KustomizeError("unsupported", message);
}
