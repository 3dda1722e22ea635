/** The manifests on a real API server: they are taken, and what is wrong with a resource is refused with its field named. */
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { kindSchemas, type Kind } from "../../common/resources/resource.ts";
import { because, missingCluster, theCluster, type Cluster } from "./harness.ts";
import { installMesh } from "./installed.ts";

const overlay = join(import.meta.dirname, "../../k8s/overlays/dev");

interface Case {
  readonly kind: Kind;
  readonly spec: object;
  readonly name?: string;
}

const external = (more: object) => ({ hosts: ["api.example.com"], ports: [{ port: 443, protocol: "tls" }], ...more });

const good: readonly Case[] = [
  { kind: "Service", spec: {} },
  { kind: "Service", spec: { calls: ["orders", { service: "orders", actions: ["Get*"] }, { external: "api.example.com" }] } },
  { kind: "Service", spec: { operations: { GetItem: "GET /items/{id}", PutItem: { http: "PUT /items/{id}", resource: "item/{id}" } } } },
  { kind: "Service", spec: { addresses: ["10.0.0.1", "fd00::1"], resourcePolicy: { Version: "2012-10-17", Statement: [] } } },
  { kind: "Workload", spec: { command: "x", env: { A: 1, B: "x", C: true } } },
  { kind: "Workload", spec: { command: ["x"], revokedBefore: "2026-01-31T12:00:00Z" } },
  { kind: "Role", spec: { trustPolicy: {}, permissionPolicies: ["a", { Statement: [] }], tags: { "a b": "c" }, permissionsBoundary: "x" } },
  { kind: "Policy", spec: { document: {} } },
  { kind: "RoleBinding", spec: { workload: "a", service: "b", role: { name: "c", namespace: "d" } } },
  { kind: "ExternalService", spec: external({ hosts: ["a.com", "*.b.com", "1.2.3.4", "::1"], addresses: ["10.0.0.0/8", "1.2.3.4"] }) },
];

const bad: readonly (Case & { readonly message: string })[] = [
  { kind: "Mesh", name: "other", spec: { trustDomain: "a" }, message: "metadata.name: Unsupported value" },
  { kind: "Mesh", spec: {}, name: "mesh", message: "spec.trustDomain: Required value" },
  { kind: "Mesh", spec: { trustDomain: "A" }, name: "mesh", message: "spec.trustDomain: Invalid value" },
  { kind: "Mesh", spec: { trustDomain: "a", svidLifetimeSeconds: 1 }, name: "mesh", message: "spec.svidLifetimeSeconds: Invalid value" },
  { kind: "Mesh", spec: { trustDomain: "a", egres: "allow" }, name: "mesh", message: 'unknown field "spec.egres"' },
  { kind: "Service", name: "external", spec: {}, message: "metadata.name: external, iam and sts" },
  { kind: "Service", name: "a.b", spec: {}, message: "metadata.name: Invalid value" },
  { kind: "Service", spec: { ports: [{ port: 80 }, { port: 80 }] }, message: "spec.ports[1]: Duplicate value" },
  { kind: "Service", spec: { ports: [{ port: 0 }] }, message: "spec.ports[0].port: Invalid value" },
  { kind: "Service", spec: { calls: ["Orders"] }, message: "spec.calls[0]: Invalid value" },
  { kind: "Service", spec: { calls: [{ service: "Orders" }] }, message: "spec.calls[0].service: Invalid value" },
  { kind: "Service", spec: { calls: [{}] }, message: "spec.calls[0].service: Required value" },
  { kind: "Service", spec: { operations: { GetItem: "get /x" } }, message: "spec.operations.GetItem: Invalid value" },
  { kind: "Service", spec: { operations: { GetItem: { http: "GET /x" } } }, message: "spec.operations.GetItem.resource: Required value" },
  { kind: "Service", spec: { addresses: ["10.0.0"] }, message: "spec.addresses[0]: Invalid value" },
  { kind: "Service", spec: { traffic: { retries: { attempts: 11 } } }, message: "spec.traffic.retries.attempts: Invalid value" },
  { kind: "Workload", spec: { command: [] }, message: "spec.command: Invalid value" },
  { kind: "Workload", spec: { revokedBefore: "yesterday" }, message: "spec.revokedBefore: Invalid value" },
  { kind: "Role", spec: {}, message: "spec.trustPolicy: Required value" },
  { kind: "Role", spec: { trustPolicy: {}, tags: { "a#": "c" } }, message: "spec.tags: Invalid value" },
  { kind: "Policy", spec: { document: "x" }, message: "spec.document: Invalid value" },
  { kind: "RoleBinding", spec: { workload: "a", service: "b", role: { namespace: "d" } }, message: "spec.role.name: Required value" },
  { kind: "ExternalService", spec: external({ hosts: ["A.com"] }), message: "spec.hosts[0]: Invalid value" },
  { kind: "ExternalService", spec: external({ hosts: ["1.2.3"] }), message: "spec.hosts[0]: Invalid value" },
  { kind: "ExternalService", spec: external({ addresses: ["10.0.0.1/8"] }), message: "spec.addresses[0]: Invalid value" },
];

const documentOf = ({ kind, spec, name = "x" }: Case) => ({ apiVersion: "countersign.dev/v1", kind, metadata: { name }, spec });

describe.skipIf(missingCluster !== undefined)(`the manifests in a cluster${because(missingCluster)}`, () => {
  let cluster: Cluster;
  beforeAll(async () => {
    cluster = theCluster();
    await installMesh(cluster);
  }, 300_000);

  const create = async (resource: Case) =>
    await cluster.tryKubectl(["--namespace", "default", "create", "--dry-run=server", "-f", "-"], {
      input: JSON.stringify(documentOf(resource)),
    });

  test("the API server takes them again, and finds nothing to change", async () => {
    const manifests = (await cluster.kubectl(["kustomize", overlay])).replaceAll("countersign:dev", cluster.image);
    const said = await cluster.kubectl(["apply", "--dry-run=server", "-f", "-"], { input: manifests });
    expect(said).toContain("deployment.apps/countersign");
    expect(said.split("\n").filter((line) => line !== "" && !line.includes("unchanged"))).toEqual([]);
  });

  test("the policies' expressions fit the types of what they look at", async () => {
    const status = await cluster.waitFor("the guard's expressions being checked", async () => {
      const said = await cluster.kubectl(["get", "validatingadmissionpolicy", "countersign-guard", "-o", "jsonpath={.status}"]);
      return said.includes("typeChecking") ? said : undefined;
    });
    expect(JSON.parse(status)).toMatchObject({ typeChecking: {} });
    expect(status).not.toContain("expressionWarnings");
  });

  test("the control plane runs under Pod Security's restricted, and may not read a Secret", async () => {
    const asControlPlane = ["--as=system:serviceaccount:countersign-system:countersign", "--all-namespaces"];
    for (const verb of ["get", "list", "watch"]) {
      const { stdout } = await cluster.tryKubectl(["auth", "can-i", verb, "secrets", ...asControlPlane]);
      expect(stdout.trim()).toBe("no");
    }
    const { stdout } = await cluster.tryKubectl(["auth", "can-i", "list", "endpointslices.discovery.k8s.io", ...asControlPlane]);
    expect(stdout.trim()).toBe("yes");
  });

  test("its Mesh is the one of the overlay", async () => {
    const mesh = await cluster.kubectl([
      "--namespace",
      "countersign-system",
      "exec",
      "deployment/countersign",
      "--",
      "countersign",
      "get",
      "mesh",
      "mesh",
      "-n",
      "default",
      "-o",
      "json",
    ]);
    expect(mesh).toContain('"defaultCalls": "namespace"');
  });

  test.each(good)("$kind $spec is taken, as the schema takes it", async (resource) => {
    expect(kindSchemas[resource.kind].safeParse(documentOf(resource)).error).toBeUndefined();
    expect(await create(resource)).toMatchObject({ status: 0, stderr: "" });
  });

  test.each(bad)("$kind $spec is refused, as the schema refuses it", async (resource) => {
    expect(kindSchemas[resource.kind].safeParse(documentOf(resource)).success).toBe(false);
    const { status, stderr } = await create(resource);
    expect(status).not.toBe(0);
    expect(stderr).toContain(resource.message);
  });
});
