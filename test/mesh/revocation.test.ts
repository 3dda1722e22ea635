/** What is taken back takes effect at once, on connections that are open as well: policies, identities, sessions. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { ClientHttp2Session } from "node:http2";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { AssumeRoleResponse } from "../../common/gen/mesh/v1/token.ts";
import { signByHand } from "../../examples/shop/intruder.ts";
import type { Identity } from "../../sidecar/tls/profile.ts";
import { call, callHttp2, openHttp2, sendTls, tlsOptions, type Http2Answer } from "./clients.ts";
import { serviceLinkedRole, startMesh, until, type TestMesh } from "./harness.ts";

const workload = (name: string, spec = "{}") =>
  `{ apiVersion: countersign.dev/v1, kind: Workload, metadata: { name: ${name}, namespace: shop }, spec: ${spec} }`;
const target = (resourcePolicy: string) => `
apiVersion: countersign.dev/v1
kind: Service
metadata: { name: target, namespace: shop }
spec: { ports: [{ port: 80 }]${resourcePolicy} }
`;
const denyAll = `, resourcePolicy: { Version: "2012-10-17", Statement: [{ Effect: Deny, Principal: "*", Action: "target:*", Resource: "*" }] }`;
const role = (name: string, more = "") => `
apiVersion: countersign.dev/v1
kind: Role
metadata: { name: ${name}, namespace: shop }
spec:
  trustPolicy:
    Version: "2012-10-17"
    Statement: [{ Effect: Allow, Principal: { SPIFFE: "spiffe://test.example/ns/shop/*" }, Action: "sts:AssumeRole" }]
  permissionPolicies:
    - Version: "2012-10-17"
      Statement: [{ Effect: Allow, Action: "target:*", Resource: "*" }]
  ${more}
`;
const binding = `
apiVersion: countersign.dev/v1
kind: RoleBinding
metadata: { name: bound, namespace: shop }
spec: { workload: bound, service: target, role: bound }
`;

const yaml = [
  "{ apiVersion: countersign.dev/v1, kind: Mesh, spec: { trustDomain: test.example } }",
  ...["caller", "target", "victim", "bystander", "bound"].map((name) => workload(name)),
  ...["caller", "victim", "bystander", "bound"].map(
    (name) => `{ apiVersion: countersign.dev/v1, kind: Service, metadata: { name: ${name}, namespace: shop }, spec: { calls: [target] } }`,
  ),
  target(""),
  role("visitor"),
  role("bound"),
  binding,
].join("\n---\n");

let mesh: TestMesh;
beforeAll(async () => {
  const application = createServer((_request, response) => response.end("from the application"));
  mesh = await startMesh({ yaml, workloads: { caller: {}, bound: {}, target: { application } } });
});
afterAll(async () => mesh?.stop());

interface Visitor {
  readonly identity: Identity;
  readonly session: AssumeRoleResponse;
  readonly connection: ClientHttp2Session;
  readonly ask: () => Promise<Http2Answer>;
}

/** Somebody with an open connection to the target's sidecar. */
async function visitor(name: string, roleArn: string): Promise<Visitor> {
  const identity = await mesh.identityOf(name);
  const session = await mesh.sessionOf(identity, roleArn);
  const connection = openHttp2(mesh.sidecar("target").inbound, identity);
  return {
    identity,
    session,
    connection,
    ask() {
      const { headers } = signByHand(
        { method: "GET", host: "target", path: "/thing", body: "" },
        { credentials: session, region: mesh.region, scopeService: "target.shop", date: Date.now() },
      );
      return callHttp2(connection, { ":method": "GET", ":path": "/thing", ":scheme": "https", ":authority": "target", ...headers });
    },
  };
}

const iso = (epochMs: number) => new Date(epochMs).toISOString();

test("a policy takes effect on the next request over the open connection, and so does its end", async () => {
  const { ask, connection } = await visitor("caller", serviceLinkedRole("caller"));
  const { socket } = connection;
  expect(await ask()).toMatchObject({ status: 200 });
  await mesh.apply(target(denyAll));
  await until("it is denied", async () => (await ask()).reason === "explicit-deny");
  // The caller's own sidecar has its connection, too.
  expect(await call(mesh.sidecar("caller").outbound, { host: "target" })).toMatchObject({ status: 403, reason: "explicit-deny" });
  await mesh.apply(target(""));
  await until("it is allowed", async () => (await ask()).status === 200);
  expect(connection.socket).toBe(socket);
  expect(connection.closed).toBe(false);
  connection.close();
});

describe("identities", () => {
  test("quarantine cuts the workload's open connection and refuses new ones; others stay; release lets it back in", async () => {
    const victim = await visitor("victim", serviceLinkedRole("victim"));
    const bystander = await visitor("bystander", serviceLinkedRole("bystander"));
    expect(await victim.ask()).toMatchObject({ status: 200 });
    expect(await bystander.ask()).toMatchObject({ status: 200 });

    const closed = once(victim.connection, "close");
    await mesh.apply(workload("victim", "{ quarantine: true }"));
    const since = performance.now();
    await closed;
    expect(performance.now() - since).toBeLessThan(1000);
    expect(await bystander.ask()).toMatchObject({ status: 200 });
    expect(bystander.connection.closed).toBe(false);

    expect(await sendTls(mesh.sidecar("target").inbound, tlsOptions(victim.identity), "GET / HTTP/1.1\r\nhost: target\r\n\r\n")).toBe("");
    expect(mesh.sidecar("target").logs.findLast(({ msg }) => msg === "connection refused")).toMatchObject({ reason: "revoked" });
    // Nor does it get a certificate or a session.
    await expect(mesh.identityOf("victim")).rejects.toThrow("the control plane refused to issue a certificate");
    await expect(mesh.sessionOf(victim.identity, serviceLinkedRole("victim"))).rejects.toThrow("quarantined");

    await mesh.apply(workload("victim"));
    const again = openHttp2(mesh.sidecar("target").inbound, victim.identity);
    await once(again, "connect");
    again.close();
    bystander.connection.close();
  });

  test("revokedBefore cuts connections with older certificates, and a certificate issued afterwards is good at once", async () => {
    const victim = await visitor("victim", serviceLinkedRole("victim"));
    expect(await victim.ask()).toMatchObject({ status: 200 });
    const closed = once(victim.connection, "close");
    // Whole seconds count: the next one is surely behind the certificate that there is.
    const from = Math.ceil(Date.now() / 1000) * 1000;
    await mesh.apply(workload("victim", `{ revokedBefore: "${iso(from)}" }`));
    await closed;
    await expect(mesh.sessionOf(victim.identity, serviceLinkedRole("victim"))).rejects.toThrow("revoked");
    await until("its time has come", () => Date.now() >= from);
    const renewed = await visitor("victim", serviceLinkedRole("victim"));
    expect(await renewed.ask()).toMatchObject({ status: 200 });
    renewed.connection.close();
    await mesh.apply(workload("victim"));
  });

  test("a quarantined callee is not called: its connections are closed by the caller's sidecar", async () => {
    const { outbound } = mesh.sidecar("caller");
    expect(await call(outbound, { host: "target" })).toMatchObject({ status: 200 });
    await mesh.apply(workload("target", "{ quarantine: true }"));
    await until("it is refused", async () => (await call(outbound, { host: "target" })).status >= 500);
    await mesh.apply(workload("target"));
    await until("it is called again", async () => (await call(outbound, { host: "target" })).status === 200);
  });
});

describe("sessions", () => {
  test("revokeSessionsIssuedBefore refuses the role's sessions from before, on the open connection, and no others", async () => {
    const roleArn = "arn:mesh:iam:test.example:shop:role/visitor";
    const [old, other] = [await visitor("bystander", roleArn), await visitor("bystander", serviceLinkedRole("bystander"))];
    expect(await old.ask()).toMatchObject({ status: 200 });
    const from = Math.ceil((Date.now() + 1) / 1000) * 1000;
    await mesh.apply(role("visitor", `revokeSessionsIssuedBefore: "${iso(from)}"`));
    await until("it is refused", async () => (await old.ask()).reason === "session-revoked");
    expect(await old.ask()).toMatchObject({ status: 403 });
    expect(await other.ask()).toMatchObject({ status: 200 });
    await until("its time has come", () => Date.now() >= from);
    const anew = await visitor("bystander", roleArn);
    expect(await anew.ask()).toMatchObject({ status: 200 });
    for (const { connection } of [old, other, anew]) connection.close();
  });

  test("the caller's own sidecar gets over a revoked session by itself", async () => {
    const { outbound } = mesh.sidecar("bound");
    expect(await call(outbound, { host: "target" })).toMatchObject({ status: 200 });
    const from = Math.ceil((Date.now() + 1) / 1000) * 1000;
    await mesh.apply(role("bound", `revokeSessionsIssuedBefore: "${iso(from)}"`));
    await until("the old session is refused", async () => (await call(outbound, { host: "target" })).reason === "session-revoked");
    await until("a new one is used", async () => (await call(outbound, { host: "target" })).status === 200);
  });
});
