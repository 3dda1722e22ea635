import { status as Status } from "@grpc/grpc-js";
import { statSync } from "node:fs";
import { afterEach, expect, test } from "vitest";
import { sessionKeysFromJwks, verifySessionToken } from "../../common/session/claims.ts";
import { deriveSigningKey } from "../../common/sigv4/signing-key.ts";
import { coalesceMilliseconds } from "../../control-plane/distribution/distributor.ts";
import { createFakeClock } from "../fakes/clock.ts";
import { issue, shop, startPlane, stopPlanes, watchMesh } from "./plane.ts";

afterEach(stopPlanes);

const today = () => new Date().toISOString().slice(0, 10).replaceAll("-", "");
const linkedRole = (service: string) => `arn:mesh:iam:prod.example:shop:role/service-linked/${service}`;
const assumption = { roleSessionName: "storefront", durationSeconds: 0, policy: "", tags: {}, sourceIdentity: "" };

test("from a join token to a scoped key: the whole way of a caller and a receiver", async () => {
  const plane = await startPlane();
  const applied = await plane.apply(shop);
  expect(applied.results.map(({ outcome }) => outcome)).toEqual(Array(5).fill("created"));
  const storefront = plane.connect(await plane.join("storefront"));
  const orders = plane.connect(await plane.join("orders"));

  const receiving = watchMesh(orders, "instance-orders", "127.0.0.1:7001");
  const first = await receiving.next();
  expect(first).toMatchObject({
    mesh: { trustDomain: "prod.example", region: "prod-example", auditSample: 0.01 },
    served: [
      {
        name: "orders",
        hostnames: ["orders", "orders.shop", "orders.shop.svc", "orders.shop.svc.cluster.local"],
        ports: [{ port: 80, targetPort: 8081, protocol: "", permissive: false }],
        operations: [{ name: "GetItem", method: "GET", path: "/items/{id}", resource: "item/{id}" }],
        tier: "standard",
      },
    ],
    roles: [{ roleArn: linkedRole("storefront"), policies: [{ name: "service-linked/storefront/calls", mode: "enforce" }] }],
  });
  const calling = watchMesh(storefront, "instance-storefront");
  const destinations = (await calling.next()).destinations;
  expect(destinations.find(({ name }) => name === "orders")).toMatchObject({
    roleArn: linkedRole("storefront"),
    spiffeIds: ["spiffe://prod.example/ns/shop/sa/orders"],
    endpoints: [{ instance: "instance-orders", address: "127.0.0.1:7001", spiffeId: "spiffe://prod.example/ns/shop/sa/orders" }],
  });

  const session = await storefront.assumeRole({ ...assumption, roleArn: linkedRole("storefront") });
  expect(session.assumedRoleArn).toBe("arn:mesh:sts:prod.example:shop:assumed-role/service-linked/storefront/storefront");
  expect(session.secretAccessKey).toHaveLength(40);
  const claims = await verifySessionToken(session.sessionToken, sessionKeysFromJwks(first.sessionJwks), {
    trustDomain: "prod.example",
    now: Date.now(),
  });
  expect(claims).toMatchObject({
    accessKeyId: session.accessKeyId,
    roleArn: linkedRole("storefront"),
    spiffeId: "spiffe://prod.example/ns/shop/sa/storefront",
    attestation: "join-token",
  });

  const resolved = await orders.resolveSession({
    sessionToken: session.sessionToken,
    scopeService: "orders.shop",
    date: today(),
  });
  expect(resolved.accessKeyId).toBe(session.accessKeyId);
  expect(resolved.signingKey).toEqual(deriveSigningKey(session.secretAccessKey, today(), "prod-example", "orders.shop"));
  expect(resolved.revision).toBeLessThanOrEqual(first.revision);
});

test("a sidecar gets no key for a service that it does not serve", async () => {
  const plane = await startPlane();
  await plane.apply(shop);
  const storefront = plane.connect(await plane.join("storefront"));
  const other = plane.connect(await plane.join("other"));
  const { sessionToken } = await storefront.assumeRole({
    ...assumption,
    roleArn: linkedRole("storefront"),
  });
  for (const [clients, scopeService] of [
    [other, "orders.shop"],
    [storefront, "orders.shop"],
    [other, "nowhere.shop"],
    [other, "storefront.shop"],
  ] as const) {
    const refused = clients.resolveSession({ sessionToken, scopeService, date: today() });
    await expect(refused).rejects.toMatchObject({ code: Status.PERMISSION_DENIED, details: "the caller does not serve this service" });
  }
  expect(plane.logs.filter(({ reason }) => reason === "not-serving")).toHaveLength(4);
});

test("a join token is good once, even for two at the same time", async () => {
  const plane = await startPlane();
  await plane.apply(shop);
  const proof = { $case: "joinToken", value: { token: await plane.joinToken("orders") } } as const;
  const clients = plane.connect();
  const outcomes = await Promise.allSettled([issue(clients, proof), issue(clients, proof), issue(plane.connect(), proof)]);
  expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
  await expect(issue(clients, proof)).rejects.toMatchObject({ code: Status.UNAUTHENTICATED });
  expect(JSON.stringify(plane.logs)).not.toContain(proof.value.token);
});

test("a certificate renews itself, keeps its id, and is refused when the workload is gone", async () => {
  const plane = await startPlane();
  await plane.apply(shop);
  const held = await plane.join("orders");
  const renewed = await issue(plane.connect(held), { $case: "svid", value: {} });
  expect(renewed.response.spiffeId).toBe("spiffe://prod.example/ns/shop/sa/orders");
  expect(renewed.response.bundles).toMatchObject([{ trustDomain: "prod.example", sequence: 1 }]);
  await expect(issue(plane.connect(), { $case: "svid", value: {} })).rejects.toMatchObject({ code: Status.UNAUTHENTICATED });
  await expect(issue(plane.connect(), undefined)).rejects.toMatchObject({ code: Status.INVALID_ARGUMENT });
  await plane.admin.deleteResource({ kind: "Workload", namespace: "shop", name: "orders" });
  await expect(issue(plane.connect(held), { $case: "svid", value: {} })).rejects.toMatchObject({ code: Status.PERMISSION_DENIED });
});

test("without a client certificate there is nothing but IssueSvid by join token", async () => {
  const plane = await startPlane();
  const clients = plane.connect();
  const nobody = { code: Status.UNAUTHENTICATED };
  await expect(clients.getCallerIdentity({ sessionToken: "" })).rejects.toMatchObject(nobody);
  await expect(clients.assumeRole({ ...assumption, roleArn: linkedRole("orders") })).rejects.toMatchObject(nobody);
  const resolving = { sessionToken: "x", scopeService: "orders.shop", date: today() };
  await expect(clients.resolveSession(resolving)).rejects.toMatchObject(nobody);
  await expect(watchMesh(clients, "instance-x").next()).rejects.toMatchObject(nobody);
  const proof = { $case: "joinToken", value: { token: "csjt_wrong" } } as const;
  await expect(issue(clients, proof)).rejects.toMatchObject(nobody);
});

test("callers on concurrent connections are told apart", async () => {
  const plane = await startPlane();
  await plane.apply(shop);
  const names = ["orders", "storefront", "other"];
  const all = await Promise.all(names.map(async (name) => ({ name, clients: plane.connect(await plane.join(name)) })));
  const calls = Array.from({ length: 60 }, (_, index) => all[index % all.length]!);
  await Promise.all(
    calls.map(async ({ name, clients }) => {
      const { spiffeId } = await clients.getCallerIdentity({ sessionToken: "" });
      expect(spiffeId).toBe(`spiffe://prod.example/ns/shop/sa/${name}`);
    }),
  );
});

test("changes reach sidecars that they concern, and no others", async () => {
  const plane = await startPlane();
  await plane.apply(shop);
  const orders = watchMesh(plane.connect(await plane.join("orders")), "instance-orders", "127.0.0.1:7001");
  const first = await orders.until(({ destinations }) => destinations.some(({ endpoints }) => endpoints.length > 0));
  const { revision } = await plane.apply(shop.replace("actions: [GetItem]", "actions: [GetItem, ListItems]"));
  const second = await orders.next();
  expect(second.revision).toBe(revision);
  expect(second.revision).toBeGreaterThan(first.revision);
  expect(second.roles[0]?.policies[0]?.document).toContain("orders:ListItems");
  // A token changes the store and nobody's snapshot; the next snapshot is that of the change after it.
  await plane.joinToken("orders");
  const unchanged = await plane.apply(shop.replace("actions: [GetItem]", "actions: [GetItem, ListItems]"));
  expect(unchanged.results.every(({ outcome }) => outcome === "unchanged")).toBe(true);
  await plane.apply(
    "{ apiVersion: countersign.dev/v1, kind: Workload, metadata: { name: other, namespace: shop }, spec: { quarantine: true } }",
  );
  const third = await orders.next();
  expect(third.revocations?.identities).toEqual([
    { spiffeId: "spiffe://prod.example/ns/shop/sa/other", issuedBeforeSeconds: 0, quarantined: true },
  ]);
  expect(orders.waiting()).toBe(0);
  orders.stream.write({ message: { $case: "ack", value: { revision: third.revision, error: "" } } });
  await expect
    .poll(async () => (await plane.admin.getStatus({})).sidecars)
    .toEqual([
      {
        spiffeId: "spiffe://prod.example/ns/shop/sa/orders",
        instance: "instance-orders",
        inboundAddress: "127.0.0.1:7001",
        acknowledgedRevision: third.revision,
      },
    ]);
});

test("a restart keeps sessions, endpoints and identities, and its revisions go on", async () => {
  const before = await startPlane();
  await before.apply(shop);
  const [ordersHeld, storefrontHeld] = [await before.join("orders"), await before.join("storefront")];
  const seen = await watchMesh(before.connect(ordersHeld), "instance-orders", "127.0.0.1:7001").next();
  const storefront = before.connect(storefrontHeld);
  const session = await storefront.assumeRole({ ...assumption, roleArn: linkedRole("storefront") });
  await before.stop();

  const after = await startPlane({ folder: before.folder, environment: { COUNTERSIGN_TRUST_DOMAIN: undefined } });
  const snapshot = await watchMesh(after.connect(storefrontHeld), "instance-storefront").next();
  expect(snapshot.revision).toBeGreaterThanOrEqual(seen.revision);
  expect(snapshot.sessionJwks).toBe(seen.sessionJwks);
  expect(snapshot.destinations.find(({ name }) => name === "orders")?.endpoints).toHaveLength(1);
  const orders = after.connect(ordersHeld);
  const resolved = await orders.resolveSession({
    sessionToken: session.sessionToken,
    scopeService: "orders.shop",
    date: today(),
  });
  expect(resolved.signingKey).toEqual(deriveSigningKey(session.secretAccessKey, today(), "prod-example", "orders.shop"));
  await after.stop();
  expect(statSync(after.ready.bundle).mode & 0o777).toBe(0o644);
});

test("a sidecar that reads slowly is sent only what is newest when it reads", async () => {
  const clock = createFakeClock(Date.now());
  const plane = await startPlane({ clock });
  const wide = (round: number) => {
    const operations = Array.from({ length: 300 }, (_, index) => `Item${index}: "GET /${round}/${index}/${"x".repeat(200)}"`);
    return shop.replace(
      "operations: { GetItem: { http: 'GET /items/{id}', resource: 'item/{id}' } }",
      `operations: { ${operations.join(", ")} }`,
    );
  };
  await plane.apply(wide(0));
  const { stream, until } = watchMesh(plane.connect(await plane.join("orders")), "instance-orders");
  let received = 0;
  stream.on("data", () => received++);
  stream.pause();
  const rounds = 40;
  let last = 0;
  for (let round = 1; round <= rounds; round++) {
    ({ revision: last } = await plane.apply(wide(round)));
    clock.advance(coalesceMilliseconds);
  }
  stream.resume();
  const newest = await until(({ revision }) => revision >= last);
  expect(newest.served[0]?.operations[0]?.path).toContain(`/${rounds}/0/`);
  // What the client's own buffer takes (16), what is on the way, and the newest.
  expect(received).toBeLessThan(rounds / 2);
});

test("a shutdown with sidecars connected is prompt, and tells them to look elsewhere", async () => {
  const plane = await startPlane({ environment: { COUNTERSIGN_DRAIN_SECONDS: "30" } });
  await plane.apply(shop);
  const { next } = watchMesh(plane.connect(await plane.join("orders")), "instance-orders", "127.0.0.1:7001");
  await next();
  const ended = next();
  const start = performance.now();
  await Promise.all([expect(ended).rejects.toMatchObject({ code: Status.UNAVAILABLE }), plane.stop({ keepClients: true })]);
  expect(performance.now() - start).toBeLessThan(5000);
});
