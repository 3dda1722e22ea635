import { status } from "@grpc/grpc-js";
import { afterEach, expect, test } from "vitest";
import { shop, startPlane, stopPlanes } from "../plane.ts";

afterEach(stopPlanes);

const document = (kind: string, name: string, spec: object, namespace = "shop") =>
  JSON.stringify({ apiVersion: "countersign.dev/v1", kind, metadata: { name, namespace }, spec });
const trustPolicy = { Version: "2012-10-17", Statement: [{ Effect: "Allow", Principal: "*", Action: "sts:AssumeRole" }] };
const policy = { document: { Version: "2012-10-17", Statement: [{ Effect: "Allow", Action: "*", Resource: "*" }] } };

test("a set of resources is applied whole or not at all", async () => {
  const { admin } = await startPlane();
  const good = document("Workload", "good", {});
  const bad = document("Workload", "bad", { comand: "x" });
  const refused = admin.apply({ resources: [good, bad, "{"], dryRun: false });
  await expect(refused).rejects.toMatchObject({ code: status.INVALID_ARGUMENT });
  const details = await refused.catch((error: unknown) => (error as { details: string }).details);
  expect(details).toContain("resources[1]:1:");
  expect(details).toContain("spec.comand: an unknown field; did you mean command?");
  expect(details).toContain("resources[2]:1:");
  expect((await admin.getResources({ kind: "Workload", namespace: "", name: "" })).resources).toEqual([]);
});

test("outcomes: created, configured, unchanged; a dry run changes nothing", async () => {
  const { admin } = await startPlane();
  const outcome = async (spec: object, dryRun = false) =>
    (await admin.apply({ resources: [document("Workload", "w", spec)], dryRun })).results[0];
  expect(await outcome({}, true)).toEqual({ kind: "Workload", namespace: "shop", name: "w", outcome: "created" });
  expect(await outcome({})).toMatchObject({ outcome: "created" });
  expect(await outcome({})).toMatchObject({ outcome: "unchanged" });
  expect(await outcome({ port: 1 }, true)).toMatchObject({ outcome: "configured" });
  expect(await outcome({ port: 1 })).toMatchObject({ outcome: "configured" });
  const { resources } = await admin.getResources({ kind: "", namespace: "shop", name: "w" });
  expect(resources.map((text) => JSON.parse(text) as unknown)).toMatchObject([{ kind: "Workload", spec: { port: 1, quarantine: false } }]);
});

test.each([
  ["one resource twice", [document("Workload", "w", {}), document("Workload", "w", { port: 1 })], "Workload shop/w is given twice"],
  [
    "another trust domain",
    [document("Mesh", "mesh", { trustDomain: "other.example" }, "default")],
    "Mesh default/mesh: spec.trustDomain: a mesh keeps its trust domain, prod.example",
  ],
  [
    "a policy that is not there",
    [document("Role", "r", { trustPolicy, permissionPolicies: ["p"] })],
    "Role shop/r: spec.permissionPolicies[0]: there is no Policy shop/p",
  ],
  [
    "a role that is not there",
    [document("RoleBinding", "b", { workload: "w", service: "s", role: "r" })],
    "RoleBinding shop/b: spec.role: there is no Role shop/r",
  ],
  [
    "too many at once",
    Array.from({ length: 129 }, (_, index) => document("Workload", `w${index}`, {})),
    "at most 128 resources can be applied together",
  ],
])("refused: %s", async (_name, resources, message) => {
  const { admin } = await startPlane();
  await expect(admin.apply({ resources, dryRun: false })).rejects.toMatchObject({ code: status.INVALID_ARGUMENT, details: message });
});

test("a message over 1 MiB is refused, and the socket goes on", async () => {
  const { admin } = await startPlane();
  await expect(admin.apply({ resources: ["x".repeat(1024 * 1024)], dryRun: false })).rejects.toMatchObject({
    code: status.RESOURCE_EXHAUSTED,
  });
  await expect(admin.getStatus({})).resolves.toMatchObject({ trustDomain: "prod.example", sidecars: [] });
});

test("what others need cannot be deleted", async () => {
  const { admin } = await startPlane();
  const resources = [
    document("Policy", "p", policy),
    document("Role", "r", { trustPolicy, permissionPolicies: ["p"], permissionsBoundary: "p" }),
  ];
  await admin.apply({ resources, dryRun: false });
  const remove = (kind: string, name: string, namespace = "shop") => admin.deleteResource({ kind, namespace, name });
  await expect(remove("Policy", "p")).rejects.toMatchObject({
    code: status.FAILED_PRECONDITION,
    details: "Policy shop/p is used by Role shop/r",
  });
  await expect(remove("Mesh", "mesh", "default")).rejects.toMatchObject({ code: status.FAILED_PRECONDITION });
  await expect(remove("Role", "nobody")).rejects.toMatchObject({ code: status.NOT_FOUND, details: "there is no Role shop/nobody" });
  await expect(remove("Pod", "x")).rejects.toMatchObject({ code: status.INVALID_ARGUMENT });
  await remove("Role", "r");
  await remove("Policy", "p");
  expect((await admin.getResources({ kind: "Policy", namespace: "", name: "" })).resources).toEqual([]);
});

test("a join token is for a registered workload and for a day at most", async () => {
  const plane = await startPlane();
  await plane.apply(shop);
  const mint = (workload: string, ttlSeconds = 0) => plane.admin.createJoinToken({ namespace: "shop", workload, ttlSeconds });
  await expect(mint("nobody")).rejects.toMatchObject({ code: status.NOT_FOUND });
  await expect(mint("orders", 86_401)).rejects.toMatchObject({ code: status.INVALID_ARGUMENT });
  const { token, spiffeId, expiresAtSeconds } = await mint("orders");
  expect(token).toMatch(/^csjt_[A-Za-z0-9_-]{43}$/);
  expect(spiffeId).toBe("spiffe://prod.example/ns/shop/sa/orders");
  expect(Math.abs(expiresAtSeconds - Date.now() / 1000 - 600)).toBeLessThan(10);
});

test("a call to a host that nobody lists is a warning", async () => {
  const plane = await startPlane();
  const external = document("ExternalService", "pay", { hosts: ["pay.example", "*.cdn.example"], ports: [{ port: 443, protocol: "tls" }] });
  const everywhere = document("ExternalService", "all", { hosts: ["time.example"], ports: [{ port: 443, protocol: "tls" }] }, "default");
  const calls = ["pay.example", "a.cdn.example", "time.example", "evil.example"].map((host) => ({ external: host }));
  const resources = [document("Service", "caller", { calls }), external, everywhere];
  await plane.admin.apply({ resources, dryRun: false });
  const warnings = () => plane.logs.filter(({ reason }) => reason === "dangling-reference").map(({ msg }) => msg);
  expect(warnings()).toEqual(["Service shop/caller: spec.calls[3].external: no ExternalService lists evil.example for namespace shop"]);
  await plane.admin.apply({ resources: [document("Service", "caller", { calls: calls.slice(0, 1) }, "lab")], dryRun: false });
  expect(warnings().at(-1)).toBe("Service lab/caller: spec.calls[0].external: no ExternalService lists pay.example for namespace lab");
});

test("a call to a service that is not there yet is a warning", async () => {
  const plane = await startPlane();
  await plane.apply(shop.replace("service: orders", "service: later"));
  expect(plane.logs.filter(({ reason }) => reason === "dangling-reference").map(({ msg }) => msg)).toEqual([
    "Service shop/storefront: spec.calls[0]: there is no Service shop/later",
  ]);
});
