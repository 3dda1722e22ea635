import { describe, expect, test } from "vitest";
import { readMeshFile } from "../../../cli/up/mesh-file.ts";
import { ResourceError } from "../../../common/resources/error.ts";
import type { Resource } from "../../../common/resources/resource.ts";

const shortForm = `
services:
  files: { command: python3 -m http.server $PORT --bind 127.0.0.1 }
  client: { command: curl -sS http://files/, calls: [files] }
`;

function service(resources: readonly Resource[], name: string) {
  const found = resources.find((each) => each.kind === "Service" && each.metadata.name === name);
  if (found?.kind !== "Service") throw new Error(`there is no Service ${name}`);
  return found;
}

function problems(text: string): string {
  try {
    readMeshFile(text, "mesh.yaml");
  } catch (error) {
    if (error instanceof ResourceError) return error.message;
    throw error;
  }
  return "";
}

describe("the short form", () => {
  test("a call out of the mesh makes nobody a service", () => {
    const resources = readMeshFile(
      "services:\n  a: { command: x, calls: [b, { external: api.example }] }\n  b: { command: y }\n",
      "mesh.yaml",
    );
    expect(service(resources, "a").spec).toMatchObject({ ports: [], calls: [{ service: "b" }, { external: "api.example" }] });
    expect(service(resources, "b").spec.ports).toHaveLength(1);
  });

  test("a name that ARNs use for other things is a mistake like any other", () => {
    expect(problems("services:\n  external: { command: x }\n")).toBe(
      'mesh.yaml:2:3: services.external: expected a name other than external, iam, sts, which ARNs use for other things, found "external"',
    );
  });

  test("an entry becomes a Workload and a Service of the same name", () => {
    const resources = readMeshFile(shortForm, "mesh.yaml");
    expect(resources.map(({ kind, metadata }) => `${kind} ${metadata.namespace}/${metadata.name}`)).toEqual([
      "Workload default/files",
      "Service default/files",
      "Workload default/client",
      "Service default/client",
    ]);
    expect(service(resources, "client").spec.calls).toEqual([{ service: "files" }]);
  });

  test("a service that another calls is one that can be reached; one that nobody calls need not listen", () => {
    const resources = readMeshFile(shortForm, "mesh.yaml");
    expect(service(resources, "files").spec.ports).toMatchObject([{ port: 80 }]);
    expect(service(resources, "client").spec.ports).toEqual([]);
  });

  test.each(["port: 8080", "hostnames: [files.example]", "operations: { List: GET / }"])("%s means that it listens", (field) => {
    const resources = readMeshFile(`services: { files: { command: serve, ${field} } }`, "mesh.yaml");
    expect(service(resources, "files").spec.ports).toMatchObject([{ port: 80 }]);
  });

  test("trust domain and namespace are the file's to choose", () => {
    const resources = readMeshFile(`trustDomain: home.example\nnamespace: den\nservices: { one: { command: "true" } }`, "mesh.yaml");
    expect(resources.map(({ kind, metadata }) => `${kind} ${metadata.namespace}`)).toEqual(["Mesh default", "Workload den", "Service den"]);
  });

  test("a mistake names line, field and what was expected", () => {
    const text = problems("services:\n  files:\n    comand: serve\n");
    expect(text).toContain("mesh.yaml:3");
    expect(text).toContain("comand");
    expect(text).toContain("command");
  });
});

test("a resource that is there twice is a mistake", () => {
  const one = "apiVersion: countersign.dev/v1\nkind: Workload\nmetadata: { name: one }\nspec: {}\n";
  expect(problems(`${one}---\n${one}`)).toContain("Workload default/one again");
});
