/** The kinds as JSON Schema (2020-12), for editors and for Kubernetes' custom resource definitions. */
import { z } from "zod";
import { kindSchemas } from "./resource.ts";
import type { Kind } from "./resource.ts";

/** The schema of what one may write: short forms included, defaults not required. */
export function jsonSchemaOfKind(kind: Kind): Record<string, unknown> {
  return z.toJSONSchema(kindSchemas[kind], { io: "input" });
}

/** One schema for a document of any kind. */
export function jsonSchemaOfResources(): Record<string, unknown> {
  return z.toJSONSchema(z.union(Object.values(kindSchemas)), { io: "input" });
}

interface SchemaNode {
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly items?: SchemaNode;
  readonly additionalProperties?: SchemaNode | boolean;
  readonly anyOf?: readonly SchemaNode[];
}

/** The names of the fields that a mapping at `path` of a document of that kind may have. */
export function fieldsOfKind(kind: Kind, path: readonly PropertyKey[]): readonly string[] {
  let nodes: readonly SchemaNode[] = [jsonSchemaOfKind(kind)];
  for (const key of path) {
    nodes = nodes.flatMap(alternatives).flatMap((node) => {
      const inner = typeof key === "number" ? node.items : (node.properties?.[String(key)] ?? node.additionalProperties);
      return typeof inner === "object" ? [inner] : [];
    });
  }
  return nodes.flatMap(alternatives).flatMap((node) => Object.keys(node.properties ?? {}));
}

function alternatives(node: SchemaNode): readonly SchemaNode[] {
  return node.anyOf === undefined ? [node] : node.anyOf.flatMap(alternatives);
}
