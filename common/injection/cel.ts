/**
 * Values that are written once and used twice: as TypeScript, where `countersign inject` computes them, and as CEL, where the
 * API server does. A template is JSON with derived values in it, each of which has both forms.
 */

export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };

/** What a derived value may depend on. */
export interface PodFacts {
  readonly annotations: ReadonlyMap<string, string>;
  readonly settings: Readonly<Record<string, string>>;
  /** What the sidecar asks the application for its probes, as its variable has it. */
  readonly probes: string;
}

const derivedBrand = Symbol("derived");

export interface Derived {
  readonly [derivedBrand]: true;
  readonly cel: string;
  readonly evaluate: (facts: PodFacts) => Json;
}

export type Template = string | number | boolean | readonly Template[] | Derived | { readonly [key: string]: Template };

/** `cel` may use `variables.annotations`, `variables.probes` and `params.data`. */
export function derived(cel: string, evaluate: (facts: PodFacts) => Json): Derived {
  return { [derivedBrand]: true, cel, evaluate };
}

function isDerived(template: object): template is Derived {
  return derivedBrand in template;
}

export function evaluateTemplate(template: Template, facts: PodFacts): Json {
  if (typeof template !== "object") return template;
  if (isDerived(template)) return template.evaluate(facts);
  if (isList(template)) return template.map((item) => evaluateTemplate(item, facts));
  return Object.fromEntries(Object.entries(template).map(([key, value]) => [key, evaluateTemplate(value, facts)]));
}

function isList(template: object): template is readonly Template[] {
  return Array.isArray(template);
}

/** Fields whose keys are names of the user's, which CEL writes as a map instead of an object. */
const maps: ReadonlySet<string> = new Set(["requests", "limits", "annotations"]);

/**
 * An expression of the type `type`, such as `Object.spec.volumes`: Kubernetes names the type of a field by its path, without the
 * indices of lists.
 */
export function celOfTemplate(template: Template, type: string, indent = ""): string {
  if (typeof template === "string") return celString(template);
  if (typeof template !== "object") return String(template);
  if (isDerived(template)) return template.cel;
  const inner = `${indent}  `;
  if (isList(template)) {
    if (template.every((item) => typeof item !== "object")) return `[${template.map((item) => celOfTemplate(item, type)).join(", ")}]`;
    return `[\n${template.map((item) => inner + celOfTemplate(item, type, inner)).join(",\n")}\n${indent}]`;
  }
  const isMap = maps.has(type.slice(type.lastIndexOf(".") + 1));
  const fields = Object.entries(template).map(
    ([key, value]) => `${inner}${isMap ? celString(key) : key}: ${celOfTemplate(value, `${type}.${key}`, inner)}`,
  );
  return `${isMap ? "" : type}{\n${fields.join(",\n")}\n${indent}}`;
}

export function celString(text: string): string {
  return JSON.stringify(text).replaceAll("'", String.raw`\'`);
}

export function celList(texts: readonly string[]): string {
  return `[${texts.map(celString).join(", ")}]`;
}
