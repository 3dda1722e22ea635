/**
 * Reads resources from YAML or JSON text: a file of several documents, one document of the admin API. Every mistake of
 * every document is reported at once, each with file, line, column and field. What other resources a resource refers to
 * is not looked at here.
 */
import { nearest } from "../runtime/environment.ts";
import { ResourceError } from "./error.ts";
import type { ResourceProblem } from "./error.ts";
import { describeValue, findingsOf } from "./issue.ts";
import { fieldsOfKind } from "./json-schema.ts";
import { policyProblems } from "./policy-documents.ts";
import { apiVersion, describeResource, isKind, kindSchemas, kinds } from "./resource.ts";
import type { Resource } from "./resource.ts";
import { parseYamlText } from "./yaml-text.ts";
import type { YamlDocument } from "./yaml-text.ts";

/** Reads every document of `text`; `file` is its name in errors. Throws ResourceError with all that is wrong. */
export function readResources(text: string, file: string): readonly Resource[] {
  const { documents, problems: syntax } = parseYamlText(text, file);
  const problems: ResourceProblem[] = [...syntax];
  const resources: Resource[] = [];
  const seen = new Set<string>();
  for (const document of documents) {
    const read = readDocument(document);
    if (Array.isArray(read)) {
      problems.push(...read);
      continue;
    }
    const name = describeResource(read);
    if (seen.has(name)) problems.push(document.problemAt(["metadata", "name"], false, "each resource once", `${name} again`));
    seen.add(name);
    resources.push(read);
  }
  if (problems.length > 0) throw new ResourceError(problems.sort((a, b) => a.line - b.line || a.column - b.column));
  return resources;
}

/** Reads a text that must hold exactly one resource. Throws ResourceError. */
export function readResource(text: string, file: string): Resource {
  const [resource, second] = readResources(text, file);
  if (resource === undefined || second !== undefined) {
    const found = resource === undefined ? "none" : "several";
    throw new ResourceError([{ file, line: 1, column: 1, path: "", expected: "one resource", found }]);
  }
  return resource;
}

/** One document of a text: its resource, or everything that is wrong with it. */
export function readDocument(document: YamlDocument): Resource | ResourceProblem[] {
  const { value } = document;
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return [document.problemAt([], false, "a resource", describeValue(value))];
  }
  const fields = new Map(Object.entries(value));
  const version: unknown = fields.get("apiVersion");
  const kind: unknown = fields.get("kind");
  const problems: ResourceProblem[] = [];
  if (version !== apiVersion) problems.push(document.problemAt(["apiVersion"], false, apiVersion, describeValue(version)));
  if (typeof kind !== "string" || !isKind(kind)) {
    const near = typeof kind === "string" ? nearest(kind, kinds) : undefined;
    const hint = near === undefined ? "" : `; did you mean ${near}?`;
    return [...problems, document.problemAt(["kind"], false, `one of ${kinds.join(", ")}`, describeValue(kind) + hint)];
  }
  const parsed = kindSchemas[kind].safeParse({ ...value, apiVersion });
  if (!parsed.success) {
    for (const { path, atKey, expected, found } of findingsOf(parsed.error.issues, value, (path) => fieldsOfKind(kind, path))) {
      problems.push(document.problemAt(path, atKey, expected, found));
    }
    return problems;
  }
  problems.push(...policyProblems(parsed.data, document));
  return problems.length > 0 ? problems : parsed.data;
}
