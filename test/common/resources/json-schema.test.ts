import { expect, test } from "vitest";
import { fieldsOfKind, jsonSchemaOfKind, jsonSchemaOfResources } from "../../../common/resources/json-schema.ts";
import { kinds } from "../../../common/resources/resource.ts";

test.each(kinds)("%s has a JSON Schema that refuses unknown fields and requires no default", (kind) => {
  const schema = jsonSchemaOfKind(kind);
  expect(schema).toMatchObject({
    $schema: "https://json-schema.org/draft/2020-12/schema",
    type: "object",
    additionalProperties: false,
    properties: { apiVersion: { const: "countersign.dev/v1" }, kind: { const: kind } },
  });
  expect(schema["required"]).toEqual(kind === "Mesh" ? ["apiVersion", "kind", "spec"] : ["apiVersion", "kind", "metadata", "spec"]);
});

test("one schema holds every kind", () => {
  expect(jsonSchemaOfResources()["anyOf"]).toHaveLength(kinds.length);
});

test("fields are found through lists, alternatives and maps", () => {
  expect(fieldsOfKind("Service", ["spec", "ports", 0])).toEqual(["port", "targetPort", "protocol", "permissive"]);
  expect(fieldsOfKind("Service", ["spec", "calls", 3])).toEqual(["service", "namespace", "actions", "external"]);
  expect(fieldsOfKind("Service", ["spec", "operations", "GetItem"])).toEqual(["http", "resource"]);
  expect(fieldsOfKind("Service", ["nowhere"])).toEqual([]);
});
