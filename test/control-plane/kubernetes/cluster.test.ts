/** A whole control plane beside a server that plays the API server: attestation of pods, and the cluster's Services in snapshots. */
import { status } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { issue, startPlane, stopPlanes, watchMesh } from "../plane.ts";
import type { Plane } from "../plane.ts";
import { startApiServer } from "./api-server.ts";
import type { ApiServer } from "./api-server.ts";
import { namespaceObject, paths, podObject, serviceObject, sliceObject } from "./cluster-objects.ts";

let server: ApiServer;

beforeEach(async () => {
  server = await startApiServer();
});

afterEach(async () => {
  await stopPlanes();
  await server.close();
});

const startHere = () => startPlane({ environment: { COUNTERSIGN_KUBERNETES: "enabled", KUBECONFIG: server.kubeconfig } });

/** What only an API server could tell from a good one. */
function tokenOf(claims: object = {}): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part({ alg: "RS256" })}.${part({ aud: ["countersign"], ...claims })}.c2lnbmF0dXJl`;
}

interface Review {
  readonly authenticated?: boolean;
  readonly audiences?: readonly string[];
  readonly username?: string;
  readonly extra?: Readonly<Record<string, readonly string[]>>;
}

const boundTo = (name: string, uid: string) => ({
  "authentication.kubernetes.io/pod-name": [name],
  "authentication.kubernetes.io/pod-uid": [uid],
});

function reviewWith({
  authenticated = true,
  audiences = ["countersign"],
  username,
  extra = boundTo("orders-1", "uid-orders"),
}: Review = {}): void {
  server.reviewTokens((_token, asked) => ({
    authenticated,
    ...(authenticated ? { audiences: audiences.filter((each) => asked.includes(each)) } : { error: "token is not active" }),
    user: { username: username ?? "system:serviceaccount:shop:orders", extra },
  }));
}

const ordersPod = { ip: "127.0.0.1", account: "orders", uid: "uid-orders", labels: { app: "orders" } };
const attest = (plane: Plane, token = tokenOf()) => issue(plane.connect(), { $case: "kubernetes", value: { token } });
const reasons = (plane: Plane) => plane.logs.filter(({ event }) => event === "attestation-refused").map(({ reason }) => reason);

describe("attestation", () => {
  test("a pod's token gives the identity of its service account, again and again", async () => {
    server.put(paths.pods, podObject("orders-1", ordersPod));
    reviewWith();
    const plane = await startHere();
    const first = await attest(plane);
    expect(first.response.spiffeId).toBe("spiffe://prod.example/ns/shop/sa/orders");
    const clients = plane.connect(first.held);
    await expect(issue(clients, { $case: "kubernetes", value: { token: tokenOf() } })).resolves.toMatchObject({
      response: { spiffeId: "spiffe://prod.example/ns/shop/sa/orders" },
    });
    // A key that outlives its pod must not: the certificate alone renews nothing.
    await expect(issue(clients, { $case: "svid", value: {} })).rejects.toMatchObject({ code: status.PERMISSION_DENIED });
  });

  test.each<[string, Review, Parameters<typeof podObject>[1] | undefined, object]>([
    ["token-refused", { authenticated: false }, ordersPod, {}],
    ["token-audience", { audiences: [] }, ordersPod, {}],
    ["token-audience", {}, ordersPod, { aud: ["https://kubernetes.default.svc"] }],
    ["token-unbound", { extra: {} }, ordersPod, {}],
    ["token-unbound", { extra: boundTo("../secrets/x", "uid-orders") }, ordersPod, {}],
    ["token-unbound", { username: "system:node:node1" }, ordersPod, {}],
    ["pod-gone", {}, undefined, {}],
    ["pod-replaced", {}, { ...ordersPod, uid: "uid-younger" }, {}],
    ["service-account", {}, { ...ordersPod, account: "admin" }, {}],
    ["pod-finished", {}, { ...ordersPod, phase: "Succeeded" }, {}],
    ["pod-finished", {}, { ...ordersPod, deletionTimestamp: "2020-01-01T00:00:00Z" }, {}],
    ["pod-address", {}, { ...ordersPod, ip: "10.0.0.1" }, {}],
  ])("%s: the caller is told nothing, the log everything", async (reason, review, pod, claims) => {
    if (pod !== undefined) server.put(paths.pods, podObject("orders-1", pod));
    reviewWith(review);
    const plane = await startHere();
    const refused = { code: status.UNAUTHENTICATED, details: "the service-account token is not valid here" };
    await expect(attest(plane, tokenOf(claims))).rejects.toMatchObject(refused);
    expect(reasons(plane)).toEqual([reason]);
  });

  test.each(["", "csjt_abc", "a.b", "a.b.c", `${tokenOf()}\n`, `a.${"b".repeat(20_000)}.c`])(
    "what is no token is not reviewed: %#",
    async (token) => {
      const plane = await startHere();
      await expect(attest(plane, token)).rejects.toMatchObject({ code: status.UNAUTHENTICATED });
      expect(server.requests.filter((request) => request.startsWith("POST"))).toEqual([]);
    },
  );

  test("a pod that is being deleted is itself until its time is over", async () => {
    const deletionTimestamp = new Date(Date.now() + 30_000).toISOString();
    server.put(paths.pods, podObject("orders-1", { ...ordersPod, deletionTimestamp }));
    reviewWith();
    await expect(attest(await startHere())).resolves.toMatchObject({ response: { spiffeId: "spiffe://prod.example/ns/shop/sa/orders" } });
  });

  test("a pod whose address the API server does not know yet is waited for", async () => {
    const { ip: _, ...unplaced } = ordersPod;
    server.put(paths.pods, podObject("orders-1", unplaced));
    reviewWith();
    const plane = await startHere();
    const attested = attest(plane);
    await vi.waitFor(() => expect(server.requests.filter((request) => request.endsWith("/pods/orders-1")).length).toBeGreaterThan(1));
    server.put(paths.pods, podObject("orders-1", ordersPod));
    await expect(attested).resolves.toMatchObject({ response: { spiffeId: "spiffe://prod.example/ns/shop/sa/orders" } });
  });

  test("an API server that fails is no verdict", async () => {
    server.put(paths.pods, podObject("orders-1", ordersPod));
    reviewWith();
    const plane = await startHere();
    server.fail(/tokenreviews/, { kind: "status", status: 500 });
    await expect(attest(plane)).rejects.toMatchObject({ code: status.UNAVAILABLE });
    server.fail(/tokenreviews/, { kind: "garbage" });
    await expect(attest(plane)).rejects.toMatchObject({ code: status.UNAVAILABLE });
    await expect(attest(plane)).resolves.toBeDefined();
  });

  test("a control plane that knows no cluster takes no such proof", async () => {
    await expect(attest(await startPlane())).rejects.toMatchObject({ code: status.FAILED_PRECONDITION });
  });
});

describe("services", () => {
  const shop = () => {
    server.put(paths.namespaces, namespaceObject("countersign-system", false));
    server.put(paths.namespaces, namespaceObject("shop"));
    server.put(paths.services, serviceObject("orders"));
    server.put(paths.slices, sliceObject("orders", { "orders-1": false }));
    server.put(paths.pods, podObject("orders-1", ordersPod));
  };

  test("a Service needs no resource of ours, is served by its pods, and called when they are ready", async () => {
    shop();
    reviewWith();
    const plane = await startHere();
    const { held } = await attest(plane);
    const watching = watchMesh(plane.connect(held), "instance-orders", "127.0.0.1:15006");
    const unready = await watching.until(({ served }) => served.length === 1);
    expect(unready.served).toMatchObject([
      { namespace: "shop", name: "orders", addresses: ["10.96.0.10"], ports: [{ port: 80, targetPort: 8080, protocol: "http" }] },
    ]);
    expect(unready.destinations).toMatchObject([{ name: "orders", spiffeIds: ["spiffe://prod.example/ns/shop/sa/orders"], endpoints: [] }]);
    server.put(paths.slices, sliceObject("orders", { "orders-1": true }));
    await watching.until(({ destinations }) => destinations[0]?.endpoints[0]?.address === "127.0.0.1:15006");
    await plane.apply(`{ apiVersion: countersign.dev/v1, kind: Service, metadata: { name: orders, namespace: shop },
      spec: { operations: { GetItem: "GET /items/{id}" }, tier: critical, ports: [{ port: 80, permissive: true }] } }`);
    const ours = await watching.until(({ served }) => served[0]?.tier === "critical");
    expect(ours.served[0]).toMatchObject({
      operations: [{ name: "GetItem" }],
      ports: [{ port: 80, targetPort: 8080, protocol: "http", permissive: true }],
      addresses: ["10.96.0.10"],
    });
    server.remove(paths.services, "shop", "orders");
    await watching.until(({ served }) => served[0]?.addresses.length === 0);
  });

  test("who shares a service account serves only what its own pod is behind", async () => {
    shop();
    server.put(paths.services, serviceObject("billing"));
    server.put(paths.pods, podObject("billing-1", { ...ordersPod, ip: "10.0.0.2", uid: "uid-billing", labels: { app: "billing" } }));
    server.put(paths.slices, sliceObject("billing", { "billing-1": true }));
    server.put(paths.slices, sliceObject("orders", { "orders-1": true }));
    reviewWith();
    const plane = await startHere();
    const { held } = await attest(plane);
    const watching = watchMesh(plane.connect(held), "instance-orders", "127.0.0.1:15006");
    const { served, destinations } = await watching.until(
      ({ destinations }) => destinations.length === 2 && destinations[1]?.endpoints.length === 1,
    );
    expect(served.map(({ name }) => name)).toEqual(["orders"]);
    expect(destinations.map(({ name, endpoints }) => [name, endpoints.length])).toEqual([
      ["billing", 0],
      ["orders", 1],
    ]);
  });

  test("the trust bundle is in every namespace that takes part, and is put back", async () => {
    shop();
    const plane = await startHere();
    const maps = () => server.objects(paths.configMaps).map(({ metadata, data }) => [metadata.namespace, data]);
    const right = [expect.any(String), expect.objectContaining({ trustDomain: "prod.example" })];
    await vi.waitFor(() => expect(maps()).toEqual([right, right]));
    const [first] = server.objects(paths.configMaps);
    server.put(paths.configMaps, { ...first!, data: { trustDomain: "evil.example" } });
    await vi.waitFor(() => expect(maps()).toEqual([right, right]));
    server.remove(paths.configMaps, "shop", "countersign");
    await vi.waitFor(() => expect(maps()).toEqual([right, right]));
    server.put(paths.namespaces, namespaceObject("shop", false));
    await vi.waitFor(() => expect(maps()).toEqual([["countersign-system", expect.anything()]]));
    expect(plane.logs.filter(({ level }) => Number(level) >= 50)).toEqual([]);
  });

  test("without the API server, what was known stays, over a restart too", async () => {
    shop();
    reviewWith();
    const plane = await startHere();
    const { held } = await attest(plane);
    await watchMesh(plane.connect(held), "instance-orders").until(({ served }) => served.length === 1);
    await plane.stop();
    server.down(true);
    const again = await startPlane({
      folder: plane.folder,
      environment: { COUNTERSIGN_KUBERNETES: "enabled", KUBECONFIG: server.kubeconfig },
    });
    await expect(watchMesh(again.connect(held), "instance-orders").next()).resolves.toMatchObject({ served: [{ name: "orders" }] });
    await expect(attest(again)).rejects.toMatchObject({ code: status.UNAVAILABLE });
    server.remove(paths.services, "shop", "orders");
    const watching = watchMesh(again.connect(held), "instance-orders-2");
    server.down(false);
    await watching.until(({ served }) => served[0]?.name === "@orders" || served[0]?.ports.length === 0);
  });
});

test("a kubeconfig that is none stops the start", async () => {
  await expect(startPlane({ environment: { COUNTERSIGN_KUBERNETES: "enabled", KUBECONFIG: "/nowhere" } })).rejects.toMatchObject({
    code: "bad-configuration",
  });
});
