/** `replacements` of a kustomization: a value of one manifest, or a part of it, written into others. */
import type { Json } from "../../../common/injection/cel.ts";
import { asObject } from "../../../common/injection/json.ts";
import { KustomizeError } from "./error.ts";
import type { Kustomization } from "./kustomization.ts";
import { identityOf, isSelected, textOf, type Resource } from "./resource.ts";

type Replacement = Kustomization["replacements"][number];
type Target = Replacement["targets"][number];

/** `where` names the kustomization in errors. Throws KustomizeError. */
export function applyReplacements(
  resources: readonly Resource[],
  replacements: readonly Replacement[],
  where: string,
): readonly Resource[] {
  let result = resources;
  for (const replacement of replacements) {
    const value = valueOf(result, replacement, where);
    for (const target of replacement.targets) {
      result = result.map((resource) => {
        const { select, reject, fieldPaths } = target;
        if (!isSelected(resource, select, where) || reject.some((each) => isSelected(resource, each, where))) return resource;
        let object: Json = resource.object;
        for (const path of fieldPaths) {
          object = write(object, keysOf(path), value, target.options, () => {
            const what = textOf(identityOf(resource.object));
            throw new KustomizeError("no-target", `${where}: replacements: ${what} has no field ${path}`);
          });
        }
        return { ...resource, object: asObject(object) ?? resource.object };
      });
    }
  }
  return result;
}

function valueOf(resources: readonly Resource[], { source, sourceValue }: Replacement, where: string): Json {
  if ((source === undefined) === (sourceValue === undefined)) {
    throw new KustomizeError("invalid", `${where}: replacements: expected source or sourceValue`);
  }
  if (source === undefined) return sourceValue ?? "";
  const { fieldPath, options, ...selector } = source;
  const found = resources.filter(({ object }) => {
    const identity = identityOf(object);
    return (["group", "version", "kind", "name", "namespace"] as const).every((key) => (selector[key] ?? identity[key]) === identity[key]);
  });
  const [one, ...more] = found;
  if (one === undefined || more.length > 0) {
    throw new KustomizeError(
      "no-target",
      `${where}: replacements: the source ${JSON.stringify(selector)} selects ${found.length} manifests`,
    );
  }
  let value: Json | undefined = one.object;
  for (const key of keysOf(fieldPath)) value = value === undefined ? undefined : next(value, key);
  const piece = options?.delimiter === undefined ? value : plain(value).split(options.delimiter)[options.index];
  if (value === undefined || piece === undefined) {
    throw new KustomizeError("no-target", `${where}: replacements: ${textOf(identityOf(one.object))} has no field ${fieldPath}`);
  }
  return piece;
}

/** Between dots: `\.` is a dot of a key, and so is one in brackets. */
function keysOf(path: string): readonly string[] {
  return [...path.matchAll(/\[[^\]]*\]|(?:\\\.|[^.])+/g)].map(([key]) =>
    key.startsWith("[") && !key.includes("=") ? key.slice(1, -1) : key.replaceAll(String.raw`\.`, "."),
  );
}

/** `[name=value]` picks an item by one of its fields. */
function pickFrom(key: string): ((item: Json) => boolean) | undefined {
  const [, field, wanted] = /^\[([^=]+)=(.*)\]$/.exec(key) ?? [];
  return field === undefined ? undefined : (item) => plain(asObject(item)?.[field]) === wanted;
}

function next(value: Json, key: string): Json | undefined {
  if (!Array.isArray(value)) return asObject(value)?.[key];
  const list = value as readonly Json[];
  const pick = pickFrom(key);
  return pick === undefined ? list[Number(key)] : list.find((item) => pick(item));
}

function write(
  target: Json | undefined,
  [key, ...rest]: readonly string[],
  value: Json,
  options: Target["options"],
  fail: () => never,
): Json {
  if (key === undefined) return placed(target, value, options);
  if (Array.isArray(target)) {
    const list = target as readonly Json[];
    const pick = key === "*" ? () => true : (pickFrom(key) ?? ((_item: Json, index: number) => String(index) === key));
    if (!list.some((item, index) => pick(item, index))) return fail();
    return list.map((item, index) => (pick(item, index) ? write(item, rest, value, options, fail) : item));
  }
  const object = target === undefined && options?.create === true ? {} : asObject(target);
  if (object === undefined || (object[key] === undefined && options?.create !== true)) return fail();
  return { ...object, [key]: write(object[key], rest, value, options, fail) };
}

/** What was a number stays one, where the value reads as one. */
function placed(present: Json | undefined, value: Json, options: Target["options"]): Json {
  if (options?.delimiter !== undefined) {
    const pieces = plain(present).split(options.delimiter);
    const { index } = options;
    const changed =
      index < 0 ? [plain(value), ...pieces] : index >= pieces.length ? [...pieces, plain(value)] : pieces.with(index, plain(value));
    return changed.join(options.delimiter);
  }
  if (typeof present === "string" && (typeof value === "number" || typeof value === "boolean")) return String(value);
  if (typeof present === "number" && typeof value === "string" && Number.isFinite(Number(value))) return Number(value);
  return value;
}

/** A scalar as it is written. */
function plain(value: Json | undefined): string {
  return typeof value === "string" ? value : JSON.stringify(value ?? "");
}
