/** Turns what zod reports into "expected …, found …". */
import type { z } from "zod";
import { nearest } from "../runtime/environment.ts";

type Issue = z.core.$ZodIssue;
export type Path = readonly PropertyKey[];

export interface Finding {
  readonly path: Path;
  /** Whether the mistake is the key at `path` rather than its value. */
  readonly atKey: boolean;
  readonly expected: string;
  readonly found: string;
}

/** `value` is what was parsed, to tell what is found where. */
export function findingsOf(issues: readonly Issue[], value: unknown, known: (path: Path) => readonly string[]): readonly Finding[] {
  return issues.flatMap((issue) => findingsOfIssue(issue, [], value, known));
}

function findingsOfIssue(issue: Issue, base: Path, value: unknown, known: (path: Path) => readonly string[]): readonly Finding[] {
  const path = [...base, ...issue.path];
  if (issue.code === "unrecognized_keys") {
    return issue.keys.map((key) => ({ path: [...path, key], atKey: true, expected: "", found: describeUnknown(key, known(path)) }));
  }
  const found = describeValue(valueAt(value, path));
  if (issue.code === "invalid_union") {
    const branches = issue.errors.map((branch) => branch.flatMap((inner) => findingsOfIssue(inner, path, value, known)));
    // Of the branches that got beyond the type, the one with the fewest mistakes is the form that was meant.
    const [meant] = branches
      .filter((_, index) => !issue.errors[index]?.some((inner) => inner.code === "invalid_type" && inner.path.length === 0))
      .sort((a, b) => a.length - b.length);
    if (meant !== undefined) return meant;
    return [{ path, atKey: false, expected: branches.flatMap((branch) => branch.map(({ expected }) => expected)).join(" or "), found }];
  }
  if (issue.code === "invalid_key") {
    return [{ path, atKey: true, expected: issue.issues.map(expectation).join(" and "), found: JSON.stringify(String(path.at(-1))) }];
  }
  return [{ path, atKey: false, expected: expectation(issue), found }];
}

function describeUnknown(key: string, known: readonly string[]): string {
  // Of another form of the same mapping.
  if (known.includes(key)) return "a field that does not go with the others";
  const near = nearest(key, known);
  return `an unknown field${near === undefined ? "" : `; did you mean ${near}?`}`;
}

const types = new Map([
  ["string", "text"],
  ["int", "a whole number"],
  ["number", "a number"],
  ["boolean", "true or false"],
  ["array", "a list"],
  ["object", "a mapping"],
  ["record", "a mapping"],
]);

function expectation(issue: Issue): string {
  // A schema that has its own words for what it expects is quoted; zod's are not ours.
  if (!/^(?:Invalid|Too (?:small|big)|Unrecognized)/.test(issue.message)) return issue.message;
  if (issue.code === "invalid_type") return types.get(issue.expected) ?? issue.expected;
  if (issue.code === "invalid_value") return issue.values.length === 1 ? String(issue.values[0]) : `one of ${issue.values.join(", ")}`;
  if (issue.code === "too_small") return size(issue.origin, "at least", Number(issue.minimum));
  if (issue.code === "too_big") return size(issue.origin, "at most", Number(issue.maximum));
  return issue.message;
}

function size(origin: string, bound: string, limit: number): string {
  const plural = limit === 1 ? "" : "s";
  if (origin === "string") return `text of ${bound} ${limit} character${plural}`;
  if (origin === "array") return `a list of ${bound} ${limit} item${plural}`;
  return `a number of ${bound} ${limit}`;
}

function valueAt(value: unknown, path: Path): unknown {
  let at = value;
  for (const key of path) {
    if (typeof at !== "object" || at === null || !Object.hasOwn(at, key)) return undefined;
    at = (at as Record<PropertyKey, unknown>)[key];
  }
  return at;
}

/** `nothing`, `a list`, `a mapping`, or the scalar itself, shortened. */
export function describeValue(value: unknown): string {
  if (value === undefined || value === null) return "nothing";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "a mapping";
  const text = JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 77)}…` : text;
}

export function formatPath(path: Path): string {
  let text = "";
  for (const key of path) text += typeof key === "number" ? `[${key}]` : `${text === "" ? "" : "."}${String(key)}`;
  return text;
}
