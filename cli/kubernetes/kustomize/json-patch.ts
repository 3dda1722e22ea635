/** JSON Patch, RFC 6902, on values that are not changed but made anew. */
import { z } from "zod";
import type { Json } from "../../../common/injection/cel.ts";
import { asObject } from "../../../common/injection/json.ts";
import { KustomizeError } from "./error.ts";

const pointer = z.string().regex(/^(?:\/.*)?$/);
const value = z.custom<Json>((found) => found !== undefined, "a value is required");
const operations = z.array(
  z.discriminatedUnion("op", [
    z.strictObject({ op: z.literal("add"), path: pointer, value }),
    z.strictObject({ op: z.literal("replace"), path: pointer, value }),
    z.strictObject({ op: z.literal("test"), path: pointer, value }),
    z.strictObject({ op: z.literal("remove"), path: pointer }),
    z.strictObject({ op: z.literal("move"), from: pointer, path: pointer }),
    z.strictObject({ op: z.literal("copy"), from: pointer, path: pointer }),
  ]),
);
export type JsonPatch = z.infer<typeof operations>;

/** Throws KustomizeError `invalid`. */
export function jsonPatchFrom(patch: Json, where: string): JsonPatch {
  const { data, error } = operations.safeParse(patch);
  if (error === undefined) return data;
  const [issue] = error.issues;
  throw new KustomizeError("invalid", `${where}: not a JSON patch: ${issue?.path.join(".") ?? ""}: ${issue?.message ?? ""}`, {
    cause: error,
  });
}

/** Throws KustomizeError `no-target` where a path does not exist, or a test fails. */
export function applyJsonPatch(document: Json, patch: JsonPatch, where: string): Json {
  let result = document;
  for (const operation of patch) {
    const fail = (): never => {
      throw new KustomizeError("no-target", `${where}: ${operation.op} ${operation.path}: there is no such place, or not that value`);
    };
    if (operation.op === "move" || operation.op === "copy") {
      const moved = at(result, keysOf(operation.from)) ?? fail();
      if (operation.op === "move") result = change(result, keysOf(operation.from), "remove", null, fail);
      result = change(result, keysOf(operation.path), "add", moved, fail);
    } else if (operation.op === "test") {
      const found = at(result, keysOf(operation.path));
      if (JSON.stringify(sorted(found ?? null)) !== JSON.stringify(sorted(operation.value))) fail();
    } else {
      const { op, path } = operation;
      result = change(result, keysOf(path), op, operation.op === "remove" ? null : operation.value, fail);
    }
  }
  return result;
}

function keysOf(path: string): readonly string[] {
  return path
    .split("/")
    .slice(1)
    .map((key) => key.replaceAll("~1", "/").replaceAll("~0", "~"));
}

function at(value: Json, [key, ...rest]: readonly string[]): Json | undefined {
  if (key === undefined) return value;
  const next = Array.isArray(value) ? (value as readonly Json[])[indexOf(key)] : asObject(value)?.[key];
  return next === undefined ? undefined : at(next, rest);
}

function change(target: Json, [key, ...rest]: readonly string[], op: "add" | "replace" | "remove", value: Json, fail: () => never): Json {
  if (key === undefined) return op === "remove" ? fail() : value;
  if (Array.isArray(target)) {
    const list = target as readonly Json[];
    const isEnd = rest.length === 0 && op === "add";
    const index = key === "-" && isEnd ? list.length : indexOf(key);
    if (!(index < list.length || (isEnd && index === list.length))) return fail();
    if (rest.length > 0) return list.with(index, change(list[index] ?? null, rest, op, value, fail));
    return list.toSpliced(index, op === "add" ? 0 : 1, ...(op === "remove" ? [] : [value]));
  }
  const object = asObject(target) ?? fail();
  const present = object[key];
  if (present === undefined && (rest.length > 0 || op !== "add")) return fail();
  if (rest.length > 0) return { ...object, [key]: change(present ?? null, rest, op, value, fail) };
  if (op !== "remove") return { ...object, [key]: value };
  return Object.fromEntries(Object.entries(object).filter(([name]) => name !== key));
}

/** NaN for what is no index, which is in no list. */
function indexOf(key: string): number {
  return /^(?:0|[1-9][0-9]*)$/.test(key) ? Number(key) : Number.NaN;
}

function sorted(value: Json): Json {
  if (Array.isArray(value)) return (value as readonly Json[]).map(sorted);
  const object = asObject(value);
  if (object === undefined) return value;
  return Object.fromEntries(
    Object.keys(object)
      .sort()
      .map((key) => [key, sorted(object[key] ?? null)]),
  );
}
