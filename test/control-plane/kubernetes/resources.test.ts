/** Custom resources beside a server that plays the API server: what becomes of them, and what their status says. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { startPlane, stopPlanes, watchMesh, shop as shopYaml } from "../plane.ts";
import type { Plane, Watching } from "../plane.ts";
import { startApiServer } from "./api-server.ts";
import type { ApiObject, ApiServer } from "./api-server.ts";

let server: ApiServer;
let plane: Plane;
const base = "/apis/countersign.dev/v1";

beforeEach(async () => {
  server = await startApiServer();
  plane = await startPlane({ environment: { COUNTERSIGN_KUBERNETES: "enabled", KUBECONFIG: server.kubeconfig } });
});

afterEach(async () => {
  await stopPlanes();
  await server.close();
});

let generation = 0;

function put(kind: string, plural: string, name: string, spec: object, namespace = "shop"): void {
  generation += 1;
  const metadata = { name, generation, ...(namespace === "" ? {} : { namespace }) };
  server.put(`${base}/${plural}`, { apiVersion: "countersign.dev/v1", kind, metadata, spec });
}

function conditions(plural: string, name: string): readonly (readonly unknown[])[] {
  const object = server.objects(`${base}/${plural}`).find(({ metadata }) => metadata.name === name) as ApiObject & {
    readonly status?: { readonly conditions: readonly Record<string, unknown>[] };
  };
  return (object.status?.conditions ?? [])
    .filter(({ observedGeneration }) => observedGeneration === object.metadata["generation"])
    .map(({ type, status, reason, message }) => [type, status, reason, message]);
}

const until = (plural: string, name: string, wanted: readonly (readonly unknown[])[]) =>
  vi.waitFor(() => expect(conditions(plural, name)).toEqual(wanted), { timeout: 5000 });
const accepted = ["Accepted", "True", "Accepted", "part of the mesh"];
const enforcedAlone = [accepted, ["Enforced", "True", "Enforced", "no sidecar is connected"]];
const notEnforced = [
  "Enforced",
  "False",
  "NotAccepted",
  "this version is not part of the mesh; what was accepted before it stays in force",
];
const resources = async (kind: string) => {
  const { resources: texts } = await plane.admin.getResources({ kind, namespace: "shop", name: "" });
  return texts.map((text) => JSON.parse(text) as { spec: Record<string, unknown> });
};

const policy = (action: string) => ({
  document: { Version: "2012-10-17", Statement: [{ Effect: "Allow", Action: action, Resource: "*" }] },
});
const role = (name: string) => ({
  trustPolicy: { Version: "2012-10-17", Statement: [{ Effect: "Allow", Principal: "*", Action: "sts:AssumeRole" }] },
  permissionPolicies: [name],
});

test("an object becomes a resource, is changed with it, and goes with it", async () => {
  put("Service", "services", "orders", { ports: [{ port: 80 }], calls: ["billing"] });
  await until("services", "orders", enforcedAlone);
  expect((await resources("Service"))[0]?.spec).toMatchObject({ ports: [{ port: 80 }], calls: [{ service: "billing" }] });
  put("Service", "services", "orders", { ports: [{ port: 81 }] });
  await until("services", "orders", enforcedAlone);
  expect((await resources("Service"))[0]?.spec).toMatchObject({ ports: [{ port: 81 }] });
  server.remove(`${base}/services`, "shop", "orders");
  await vi.waitFor(async () => expect(await resources("Service")).toEqual([]));
});

test("what was applied by other ways stays, and is put back where the cluster has the say", async () => {
  await plane.apply(shopYaml);
  put("Workload", "workloads", "orders", { quarantine: true });
  await vi.waitFor(async () => expect((await resources("Workload")).some(({ spec }) => spec["quarantine"] === true)).toBe(true));
  await plane.apply(`{ apiVersion: countersign.dev/v1, kind: Workload, metadata: { name: orders, namespace: shop }, spec: {} }`);
  // Any change of the cluster brings all in step.
  put("Policy", "policies", "p", policy("orders:*"));
  await vi.waitFor(async () => expect((await resources("Workload")).some(({ spec }) => spec["quarantine"] === true)).toBe(true));
  server.remove(`${base}/workloads`, "shop", "orders");
  await vi.waitFor(async () => expect(await resources("Workload")).toHaveLength(2));
});

test("a mistake is said with its field, and what was accepted before stays in force", async () => {
  put("Service", "services", "orders", { tier: "critical" });
  await until("services", "orders", enforcedAlone);
  put("Service", "services", "orders", { tier: "huge", prots: [] });
  await until("services", "orders", [
    [
      "Accepted",
      "False",
      "Malformed",
      'spec.tier: expected one of critical, standard, basic, found "huge"; spec.prots: an unknown field; did you mean ports?',
    ],
    notEnforced,
  ]);
  expect((await resources("Service"))[0]?.spec).toMatchObject({ tier: "critical" });
});

test("what an object needs has to be there, in whatever order they come", async () => {
  put("Role", "roles", "checkout", role("needed"));
  await until("roles", "checkout", [
    ["Accepted", "False", "Inconsistent", "spec.permissionPolicies[0]: there is no Policy shop/needed"],
    notEnforced,
  ]);
  put("RoleBinding", "rolebindings", "b", { workload: "w", service: "orders", role: "checkout" });
  await until("rolebindings", "b", [["Accepted", "False", "Inconsistent", "spec.role: there is no Role shop/checkout"], notEnforced]);
  put("Policy", "policies", "needed", policy("orders:*"));
  await until("policies", "needed", enforcedAlone);
  await until("roles", "checkout", enforcedAlone);
  await until("rolebindings", "b", enforcedAlone);
  expect(await resources("RoleBinding")).toHaveLength(1);
});

test("the Mesh keeps its trust domain, and its settings when its object goes", async () => {
  put("Mesh", "meshes", "mesh", { trustDomain: "other.example" }, "");
  await until("meshes", "mesh", [
    ["Accepted", "False", "Inconsistent", "spec.trustDomain: a mesh keeps its trust domain, prod.example"],
    notEnforced,
  ]);
  put("Mesh", "meshes", "mesh", { trustDomain: "prod.example", defaultCalls: "namespace" }, "");
  await until("meshes", "mesh", enforcedAlone);
  server.remove(`${base}/meshes`, "", "mesh");
  put("Policy", "policies", "p", policy("orders:*"));
  await until("policies", "p", enforcedAlone);
  const { resources: meshes } = await plane.admin.getResources({ kind: "Mesh", namespace: "", name: "" });
  expect(meshes.map((text) => JSON.parse(text) as unknown)).toMatchObject([{ spec: { defaultCalls: "namespace" } }]);
});

test("a namespace does not take the names, addresses and workloads of another", async () => {
  await plane.apply(`{ apiVersion: countersign.dev/v1, kind: Service, metadata: { name: pay, namespace: bank },
    spec: { ports: [{ port: 80 }], hostnames: [pay.example.com], addresses: [10.96.0.7] } }`);
  const refused = async (spec: object, message: string) => {
    put("Service", "services", "thief", { ports: [{ port: 80 }], ...spec });
    await until("services", "thief", [["Accepted", "False", "Inconsistent", message], notEnforced]);
  };
  await refused({ hostnames: ["thief", "pay.example.com"] }, "spec.hostnames[1]: pay.example.com belongs to namespace bank");
  await refused({ hostnames: ["db.bank.svc"] }, "spec.hostnames[0]: db.bank.svc belongs to namespace bank");
  await refused({ addresses: ["10.96.0.7"] }, "spec.addresses[0]: 10.96.0.7 belongs to namespace bank");
  await refused(
    { identities: [{ serviceAccount: "thief" }, { namespace: "bank", serviceAccount: "pay" }] },
    "spec.identities[1]: pay belongs to namespace bank",
  );
  put("Service", "services", "thief", { ports: [{ port: 80 }], hostnames: ["thief.example.com"], addresses: ["10.96.0.8"] });
  await until("services", "thief", enforcedAlone);
  expect(await resources("Service")).toHaveLength(1);
});

test("it is enforced when every sidecar that it concerns has said so", async () => {
  await plane.apply(shopYaml);
  const connect = async (workload: string): Promise<Watching> =>
    watchMesh(plane.connect(await plane.join(workload)), `instance-${workload}`);
  const [orders, storefront] = [await connect("orders"), await connect("storefront")];
  const acknowledge = async (watching: Watching, tier: string) => {
    const { revision } = await watching.until(({ destinations }) => destinations.some((each) => each.tier === tier));
    watching.stream.write({ message: { $case: "ack", value: { revision, error: "" } } });
  };
  await acknowledge(orders, "standard");
  await acknowledge(storefront, "standard");
  put("Service", "services", "orders", { ports: [{ port: 80 }], tier: "critical" });
  await acknowledge(orders, "critical");
  await until("services", "orders", [
    accepted,
    ["Enforced", "False", "Distributing", expect.stringMatching(/^held by [01] of 2 sidecars$/)],
  ]);
  await acknowledge(storefront, "critical");
  await until("services", "orders", [accepted, ["Enforced", "True", "Enforced", "held by all of 2 sidecars"]]);
});
