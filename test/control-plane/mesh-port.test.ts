/** What the mesh port does with connections and certificates that are not as they should be. */
import { generateKeyPairSync } from "node:crypto";
import { connect as connectPlain } from "node:net";
import { connect } from "node:tls";
import type { ConnectionOptions, TLSSocket } from "node:tls";
import { Client, credentials, status } from "@grpc/grpc-js";
import { afterEach, expect, test } from "vitest";
import { createCsr } from "../../common/x509/csr.ts";
import { certificatesToPem } from "../../common/x509/pem.ts";
import { createFakeClock } from "../fakes/clock.ts";
import { issue, shop, startPlane, stopPlanes, watchMesh } from "./plane.ts";
import type { HeldIdentity, Plane } from "./plane.ts";

afterEach(stopPlanes);

/** Connects and waits until the connection is closed; says how the handshake went. */
async function probe(plane: Plane, options: ConnectionOptions): Promise<{ readonly secured: TLSSocket | undefined }> {
  const [host, port] = plane.ready.grpc.split(":");
  const socket = connect({ host: host!, port: Number(port), rejectUnauthorized: false, ...options });
  let secured: TLSSocket | undefined;
  socket.once("secureConnect", () => {
    secured = socket;
  });
  socket.on("error", () => undefined);
  socket.resume();
  const { promise, resolve } = Promise.withResolvers<void>();
  socket.once("close", () => {
    resolve();
  });
  await promise;
  return { secured };
}

const refusals = async (plane: Plane, reason: string): Promise<boolean> => {
  const text = await (await fetch(`http://${plane.ready.metrics}/metrics`)).text();
  return text.includes(`countersign_handshakes_refused_total{reason="${reason}"} 1`);
};

const clientOptions = ({ certificates, privateKey }: HeldIdentity): ConnectionOptions => ({
  cert: certificatesToPem(certificates),
  key: privateKey,
  ALPNProtocols: ["h2"],
});

test("TLS 1.2 and a connection without HTTP/2 are closed and counted", async () => {
  const plane = await startPlane();
  expect((await probe(plane, { maxVersion: "TLSv1.2", ALPNProtocols: ["h2"] })).secured).toBeUndefined();
  expect(await refusals(plane, "handshake")).toBe(true);
  await probe(plane, {});
  expect(await refusals(plane, "no-h2")).toBe(true);
});

test("plaintext is closed", async () => {
  const plane = await startPlane();
  const [host, port] = plane.ready.grpc.split(":");
  const socket = connectPlain(Number(port), host);
  socket.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  socket.on("error", () => undefined);
  const { promise, resolve } = Promise.withResolvers<void>();
  socket.resume().once("close", () => {
    resolve();
  });
  await promise;
  expect(await refusals(plane, "handshake")).toBe(true);
});

test("TLS 1.3, hybrid key agreement, and no session to resume", async () => {
  const plane = await startPlane();
  await plane.apply(shop);
  const held = await plane.join("orders");
  const [host, port] = plane.ready.grpc.split(":");
  const socket = connect({ host: host!, port: Number(port), rejectUnauthorized: false, ...clientOptions(held) });
  const sessions: Buffer[] = [];
  socket.on("session", (session: Buffer) => sessions.push(session));
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  socket.once("secureConnect", resolve).once("error", reject);
  await promise;
  expect(socket.getProtocol()).toBe("TLSv1.3");
  expect(socket.getEphemeralKeyInfo()).toMatchObject({ name: "X25519MLKEM768" });
  // A frame from the server comes after whatever tickets it would have sent.
  socket.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  const settings = Promise.withResolvers<void>();
  socket.once("data", () => {
    settings.resolve();
  });
  await settings.promise;
  const session = sessions[0] === undefined ? {} : { session: sessions[0] };
  const again = connect({ host: host!, port: Number(port), rejectUnauthorized: false, ...session, ...clientOptions(held) });
  const secured = Promise.withResolvers<void>();
  again.once("secureConnect", secured.resolve).once("error", secured.reject);
  await secured.promise;
  expect(again.isSessionReused()).toBe(false);
  again.destroy();
  socket.destroy();
});

test("a certificate of another authority closes the connection", async () => {
  const plane = await startPlane();
  const other = await startPlane();
  await other.apply(shop);
  const foreign = await other.join("orders");
  await probe(plane, clientOptions(foreign));
  expect(await refusals(plane, "unknown-issuer")).toBe(true);
  await expect(plane.connect(foreign).getCallerIdentity({ sessionToken: "" })).rejects.toMatchObject({ code: status.UNAVAILABLE });
});

test("an expired certificate ends its connection, and opens no other", async () => {
  const clock = createFakeClock(Date.now());
  const plane = await startPlane({ clock });
  await plane.apply(shop);
  const held = await plane.join("orders");
  const clients = plane.connect(held);
  const watching = watchMesh(clients, "instance-orders");
  await watching.next();
  await clients.getCallerIdentity({ sessionToken: "" });
  clock.jump(3_601_000);
  await expect(clients.getCallerIdentity({ sessionToken: "" })).rejects.toMatchObject({
    code: status.UNAUTHENTICATED,
    details: "the client certificate has expired",
  });
  clock.advance(60_000);
  await expect(watching.next()).rejects.toMatchObject({ code: expect.any(Number) as number });
  await probe(plane, clientOptions(held));
  expect(await refusals(plane, "expired")).toBe(true);
});

test("a quarantined or revoked workload is cut off at once, and comes back when it may", async () => {
  const plane = await startPlane();
  await plane.apply(shop);
  const clients = plane.connect(await plane.join("orders"));
  const watching = watchMesh(clients, "instance-orders");
  await watching.next();
  const workload = (spec: string) =>
    `{ apiVersion: countersign.dev/v1, kind: Workload, metadata: { name: orders, namespace: shop }, spec: ${spec} }`;
  await plane.apply(workload("{ quarantine: true }"));
  await expect(watching.next()).rejects.toMatchObject({ code: status.PERMISSION_DENIED, details: "the workload is quarantined" });
  await expect(clients.getCallerIdentity({ sessionToken: "" })).rejects.toMatchObject({ code: status.PERMISSION_DENIED });
  await expect(issue(clients, { $case: "svid", value: {} })).rejects.toMatchObject({ code: status.PERMISSION_DENIED });
  await expect(plane.join("orders")).rejects.toMatchObject({ code: status.PERMISSION_DENIED });
  await plane.apply(workload(`{ revokedBefore: "${new Date(Date.now() + 60_000).toISOString()}" }`));
  await expect(clients.getCallerIdentity({ sessionToken: "" })).rejects.toMatchObject({ details: "certificates of this age are revoked" });
  await plane.apply(workload("{}"));
  await expect(clients.getCallerIdentity({ sessionToken: "" })).resolves.toMatchObject({ trustDomain: "prod.example" });
});

test("what is not listed is refused: methods, and the admin service on the mesh port", async () => {
  const plane = await startPlane();
  const client = new Client(plane.ready.grpc, credentials.createSsl(undefined, undefined, undefined, { rejectUnauthorized: false }), {
    "grpc.ssl_target_name_override": "control-plane",
  });
  const request = (path: string, bytes = 0) => {
    const { promise, resolve } = Promise.withResolvers<number | undefined>();
    const deadline = Date.now() + 10_000;
    client.makeUnaryRequest(
      path,
      () => Buffer.alloc(bytes),
      (answer) => answer,
      {},
      { deadline },
      (error) => {
        resolve(error?.code);
      },
    );
    return promise;
  };
  expect(await request("/mesh.v1.AdminService/GetStatus")).toBe(status.UNIMPLEMENTED);
  expect(await request("/mesh.v1.IdentityService/Steal")).toBe(status.UNIMPLEMENTED);
  expect(await request("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")).toBe(status.UNIMPLEMENTED);
  expect(await request("/mesh.v1.TokenService/AssumeRole", 65 * 1024)).toBe(status.RESOURCE_EXHAUSTED);
  client.close();
});

test.each([
  ["no request at all", Buffer.alloc(0)],
  ["garbage", Buffer.from("garbage")],
  ["over 8 KiB", Buffer.alloc(8193, 0x30)],
])("a CSR that is %s is refused and does not use up the join token", async (_name, csr) => {
  const plane = await startPlane();
  await plane.apply(shop);
  const proof = { $case: "joinToken", value: { token: await plane.joinToken("orders") } } as const;
  const clients = plane.connect();
  await expect(clients.issueSvid({ csr, proof, lifetimeSeconds: 0 })).rejects.toMatchObject({ code: status.INVALID_ARGUMENT });
  await expect(issue(clients, proof)).resolves.toMatchObject({ response: { spiffeId: "spiffe://prod.example/ns/shop/sa/orders" } });
});

test("a key is certified once, and a lifetime only up to the mesh's", async () => {
  const plane = await startPlane();
  await plane.apply(shop);
  const csr = createCsr(generateKeyPairSync("ec", { namedCurve: "P-256" }));
  const request = async (lifetimeSeconds: number) =>
    await plane
      .connect()
      .issueSvid({ csr, proof: { $case: "joinToken", value: { token: await plane.joinToken("orders") } }, lifetimeSeconds });
  const { expiresAtSeconds } = await request(86_400);
  expect(Math.abs(expiresAtSeconds - Date.now() / 1000 - 3600)).toBeLessThan(10);
  await expect(request(0)).rejects.toMatchObject({ code: status.INVALID_ARGUMENT });
});

test("an expired join token, and one for a workload that is gone, are not valid", async () => {
  const clock = createFakeClock(Date.now());
  const plane = await startPlane({ clock });
  await plane.apply(shop);
  const refused = { code: status.UNAUTHENTICATED, details: "the join token is not valid: unknown, used or expired" };
  const expired = { $case: "joinToken", value: { token: await plane.joinToken("orders") } } as const;
  clock.advance(600_000);
  await expect(issue(plane.connect(), expired)).rejects.toMatchObject(refused);
  const orphaned = { $case: "joinToken", value: { token: await plane.joinToken("orders") } } as const;
  await plane.admin.deleteResource({ kind: "Workload", namespace: "shop", name: "orders" });
  await expect(issue(plane.connect(), orphaned)).rejects.toMatchObject(refused);
  await expect(issue(plane.connect(), { $case: "joinToken", value: { token: `csjt_${"A".repeat(43)}` } })).rejects.toMatchObject(refused);
});

test("who shows no certificate and stays is sent away", async () => {
  const clock = createFakeClock(Date.now());
  const plane = await startPlane({ clock });
  const stranger = connect({
    host: "127.0.0.1",
    port: Number(plane.ready.grpc.split(":")[1]),
    rejectUnauthorized: false,
    ALPNProtocols: ["h2"],
  });
  const { promise: settings, resolve: greeted } = Promise.withResolvers<void>();
  stranger.once("data", () => {
    greeted();
  });
  stranger.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  await settings;
  const { promise: closed, resolve: left } = Promise.withResolvers<void>();
  stranger
    .on("error", () => undefined)
    .once("close", () => {
      left();
    });
  clock.advance(61_000);
  await closed;
  await expect(plane.connect().getCallerIdentity({ sessionToken: "" })).rejects.toMatchObject({ code: status.UNAUTHENTICATED });
});

test("the control plane's own certificate is replaced at half of its life, and connections go on", async () => {
  const clock = createFakeClock(Date.now());
  const plane = await startPlane({ clock });
  await plane.apply(shop);
  const clients = plane.connect(await plane.join("orders"));
  const watching = watchMesh(clients, "instance-orders");
  await watching.next();
  const serial = async () => {
    const socket = connect({
      host: "127.0.0.1",
      port: Number(plane.ready.grpc.split(":")[1]),
      rejectUnauthorized: false,
      ALPNProtocols: ["h2"],
    });
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    socket.once("secureConnect", resolve).once("error", reject);
    await promise;
    const { serialNumber } = socket.getPeerCertificate();
    socket.destroy();
    return serialNumber;
  };
  const before = await serial();
  clock.jump(1_800_000);
  clock.advance(60_000);
  await expect.poll(serial).not.toBe(before);
  await plane.apply(shop.replace("actions: [GetItem]", "actions: [Other]"));
  clock.advance(20);
  await expect(watching.next()).resolves.toMatchObject({ served: [{ name: "orders" }] });
});
