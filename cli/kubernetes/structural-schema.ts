/**
 * JSON Schema, as zod writes it, into what Kubernetes takes in a CustomResourceDefinition: a structural schema. Every field has one
 * type there; where ours takes a short form as well (`orders` for `{ service: orders }`), the field has no type and is kept as it
 * is, and what can be said of each form is said of the values that have it: `pattern` concerns texts alone, `properties` mappings.
 */
import type { Json } from "../../common/injection/cel.ts";
import { asList, asObject, asObjects, asText, type JsonObject } from "../../common/injection/json.ts";

/** Keywords that mean the same in both. */
const kept = ["minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "enum", "format"] as const;

/**
 * What a structural schema says that JSON Schema does not, by the path of the field (`spec.ports[]`, `spec.tags`). Each is laid over
 * what was translated.
 */
export type Additions = ReadonlyMap<string, JsonObject>;

/** `definitions`: what `$ref` refers to, all of which here are JSON of any kind. */
export function structuralSchema(schema: JsonObject, path: string, additions: Additions): JsonObject {
  return { ...translate(schema, path, additions), ...additions.get(path) };
}

function translate(schema: JsonObject, path: string, additions: Additions): JsonObject {
  const described = describeDefault(schema["default"]);
  const forms = asObjects(schema["anyOf"]);
  if (schema["$ref"] !== undefined) return { "x-kubernetes-preserve-unknown-fields": true };
  if (forms.length > 0) return { ...described, ...untyped(forms, path, additions) };
  // Text, number or boolean, where YAML reads any of them.
  if (Array.isArray(schema["type"])) return { ...described, "x-kubernetes-preserve-unknown-fields": true };
  const pattern = schema["pattern"];
  const translated: Record<string, Json> = { ...described };
  if (schema["type"] !== undefined) translated["type"] = schema["type"];
  if (schema["const"] !== undefined) translated["enum"] = [schema["const"]];
  for (const keyword of kept) {
    if (schema[keyword] !== undefined) translated[keyword] = schema[keyword];
  }
  // A format says more clearly what the pattern of a date does.
  if (pattern !== undefined && schema["format"] === undefined) translated["pattern"] = pattern;
  return { ...translated, ...children(schema, path, additions) };
}

function children(schema: JsonObject, path: string, additions: Additions): JsonObject {
  const properties = asObject(schema["properties"]);
  const items = asObject(schema["items"]);
  const values = asObject(schema["additionalProperties"]);
  const found: Record<string, Json> = {};
  if (properties !== undefined) {
    found["properties"] = Object.fromEntries(
      Object.entries(properties).map(([key, value]) => [key, structuralSchema(asObject(value) ?? {}, `${path}.${key}`, additions)]),
    );
    if (asList(schema["required"]).length > 0) found["required"] = asList(schema["required"]);
  }
  if (items !== undefined) found["items"] = structuralSchema(items, `${path}[]`, additions);
  if (values?.["$ref"] !== undefined) found["x-kubernetes-preserve-unknown-fields"] = true;
  else if (values !== undefined) found["additionalProperties"] = structuralSchema(values, `${path}{}`, additions);
  return found;
}

/** One form of each type at most, but for mappings: of those, one has to have the fields that it needs. */
function untyped(forms: readonly JsonObject[], path: string, additions: Additions): JsonObject {
  const merged: Record<string, Json> = { "x-kubernetes-preserve-unknown-fields": true };
  const properties: Record<string, Json> = {};
  const required: Json[] = [];
  for (const form of forms) {
    const translated = translate(form, path, additions);
    if (form["type"] !== "object") {
      for (const keyword of ["pattern", "minLength", "maxLength", "minItems", "maxItems"]) {
        if (translated[keyword] !== undefined) merged[keyword] = translated[keyword];
      }
      continue;
    }
    Object.assign(properties, asObject(translated["properties"]));
    if (translated["required"] !== undefined) required.push({ required: translated["required"] });
  }
  if (Object.keys(properties).length > 0) merged["properties"] = properties;
  if (required.length > 0) merged["anyOf"] = required;
  return merged;
}

/** The defaults themselves stay with the control plane: what is stored would keep those of its day. */
function describeDefault(value: Json | undefined): JsonObject {
  if (value === undefined || (typeof value === "object" && value !== null && Object.keys(value).length === 0)) return {};
  return { description: `By default ${typeof value === "string" ? asText(value) : JSON.stringify(value)}.` };
}
