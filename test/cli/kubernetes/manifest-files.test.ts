import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { parse, parseAllDocuments } from "yaml";
import { customResourceDefinitions } from "../../../cli/kubernetes/custom-resources.ts";
import { manifestFiles } from "../../../cli/kubernetes/manifest-files.ts";
import { kinds } from "../../../common/resources/resource.ts";

const root = join(import.meta.dirname, "../../..");

type Node = Readonly<Record<string, unknown>>;

interface Definition {
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly scope: string;
    readonly names: { readonly kind: string; readonly shortNames: readonly string[]; readonly categories: readonly string[] };
    readonly versions: readonly {
      readonly schema: { readonly openAPIV3Schema: Node };
      readonly subresources: Node;
      readonly additionalPrinterColumns: readonly { readonly name: string }[];
    }[];
  };
}

const definitions = customResourceDefinitions() as unknown as readonly Definition[];

test.each([...manifestFiles()])("%s is what its sources make", (file, text) => {
  expect(readFileSync(join(root, file), "utf8")).toBe(text);
  expect(parseAllDocuments(text).flatMap((document) => document.errors)).toEqual([]);
});

describe("custom resource definitions", () => {
  test("there is one for each kind", () => {
    expect(definitions.map(({ spec }) => spec.names.kind)).toEqual(kinds);
  });

  test.each(definitions.map((definition) => [definition.spec.names.kind, definition] as const))(
    "of %s: a structural schema, status, columns, short name, category",
    (kind, { spec }) => {
      const [version] = spec.versions;
      const loose: string[] = [];
      visit(version?.schema.openAPIV3Schema ?? {}, "", (node, path) => {
        const typed = node["type"] !== undefined || node["x-kubernetes-preserve-unknown-fields"] === true;
        if (!typed) loose.push(`${path}: no type`);
        if (node["additionalProperties"] === false) loose.push(`${path}: additionalProperties: false`);
        for (const keyword of ["$ref", "const", "default", "propertyNames"]) if (keyword in node) loose.push(`${path}: ${keyword}`);
        for (const form of (node["anyOf"] ?? []) as readonly Node[]) if ("type" in form) loose.push(`${path}: a type within anyOf`);
      });
      expect(loose).toEqual([]);
      expect(version?.subresources).toEqual({ status: {} });
      expect(version?.additionalPrinterColumns.map(({ name }) => name)).toEqual(expect.arrayContaining(["Accepted", "Enforced", "Age"]));
      expect(spec.names.shortNames).toHaveLength(1);
      expect(spec.names.categories).toEqual(["countersign"]);
      expect(spec.scope).toBe(kind === "Mesh" ? "Cluster" : "Namespaced");
    },
  );

  function visit(node: Node, path: string, see: (node: Node, path: string) => void): void {
    see(node, path);
    for (const [key, inner] of Object.entries((node["properties"] ?? {}) as Readonly<Record<string, Node>>))
      visit(inner, `${path}.${key}`, see);
    for (const key of ["items", "additionalProperties"]) {
      if (typeof node[key] === "object" && node[key] !== null) visit(node[key] as Node, `${path}.${key}`, see);
    }
  }
});

describe("the role of the control plane", () => {
  const rules = parseAllDocuments(readFileSync(join(root, "k8s/base/rbac.yaml"), "utf8"))
    .map((document) => document.toJS() as { readonly kind: string; readonly rules?: readonly Record<string, readonly string[]>[] })
    .flatMap((each) => each.rules ?? []);

  test("has no wildcard, and no Secret", () => {
    expect(rules.length).toBeGreaterThan(0);
    for (const rule of rules) {
      expect(Object.values(rule).flat()).not.toContain("*");
      expect(rule["resources"]).not.toContain("secrets");
    }
  });

  test("writes no object of the users' but the ConfigMap countersign", () => {
    const writes = rules.filter((rule) => rule["verbs"]?.some((verb) => ["update", "patch", "delete", "deletecollection"].includes(verb)));
    for (const rule of writes) {
      const ours = rule["apiGroups"]?.every((group) => group === "countersign.dev") === true;
      expect(ours || rule["resourceNames"]).toEqual(ours ? true : ["countersign"]);
    }
  });
});

test("a pod's metrics port is the one that the PodMonitor names", () => {
  const injection = readFileSync(join(root, "k8s/base/injection.yaml"), "utf8");
  const monitors = parseAllDocuments(readFileSync(join(root, "k8s/components/pod-monitor/pod-monitor.yaml"), "utf8"));
  const ports = monitors.map((monitor) => parse(monitor.toString()) as { spec: { podMetricsEndpoints: { port: string }[] } });
  expect(injection).toContain(`name: "${ports[1]?.spec.podMetricsEndpoints[0]?.port}"`);
});
