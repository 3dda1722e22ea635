/** Objects of Kubernetes as they are written, of which nothing is known but that they are JSON. */
import type { Json } from "./cel.ts";

export type JsonObject = { readonly [key: string]: Json };

export function asObject(value: Json | undefined): JsonObject | undefined {
  return typeof value === "object" && value !== null && !isList(value) ? value : undefined;
}

export function asList(value: Json | undefined): readonly Json[] {
  return value !== undefined && isList(value) ? value : [];
}

export function asObjects(value: Json | undefined): readonly JsonObject[] {
  return asList(value).flatMap((item) => {
    const object = asObject(item);
    return object === undefined ? [] : [object];
  });
}

/** Empty for what is no text. */
export function asText(value: Json | undefined): string {
  return typeof value === "string" ? value : "";
}

function isList(value: Json): value is readonly Json[] {
  return Array.isArray(value);
}
