/** The control plane dies, and comes back: calls between those who talk already go on, and nothing has to be restarted. */
import { createServer } from "node:http";
import { afterAll, beforeAll, expect, test } from "vitest";
import { signByHand } from "../../examples/shop/intruder.ts";
import { call, callHttp2, openHttp2, type Answer } from "./clients.ts";
import { adminView, deadPort, serviceLinkedRole, startMesh, until, type TestMesh, type TestSidecar } from "./harness.ts";

const workload = (name: string) =>
  `{ apiVersion: countersign.dev/v1, kind: Workload, metadata: { name: ${name}, namespace: shop }, spec: {} }`;
const target = (more: string) => `
apiVersion: countersign.dev/v1
kind: Service
metadata: { name: target, namespace: shop }
spec:
  ports: [{ port: 80 }]
  ${more}
`;
const caller = (name: string) =>
  `{ apiVersion: countersign.dev/v1, kind: Service, metadata: { name: ${name}, namespace: shop }, spec: { calls: [target, ledger] } }`;
const ledger = `
apiVersion: countersign.dev/v1
kind: Service
metadata: { name: ledger, namespace: shop }
spec: { ports: [{ port: 80 }], identities: [{ serviceAccount: target }] }
`;

const yaml = [
  "{ apiVersion: countersign.dev/v1, kind: Mesh, spec: { trustDomain: test.example } }",
  workload("caller"),
  workload("late"),
  workload("target"),
  caller("caller"),
  caller("late"),
  target("operations: {}"),
  ledger,
].join("\n---\n");

let mesh: TestMesh;
beforeAll(async () => {
  const application = createServer((_request, response) => response.end("from the application"));
  mesh = await startMesh({ yaml, workloads: { caller: {}, target: { application } }, planeProcess: true });
});
afterAll(async () => mesh?.stop());

const ask = (sidecar: TestSidecar): Promise<Answer> => call(sidecar.outbound, { host: "target", path: "/thing" });
const readiness = async (health: string) => (await fetch(`http://${health}/readyz`)).status;

test("the control plane is killed: calls go on; it returns: a new workload joins, and a new policy reaches everybody", async () => {
  const [from, to] = [mesh.sidecar("caller"), mesh.sidecar("target")];
  expect(await ask(from)).toMatchObject({ status: 200 });
  const { token } = await mesh.admin.createJoinToken("shop", "late");

  await mesh.killControlPlane();
  await until("both have noticed", () => [from, to].every(({ logs }) => logs.some(({ connected }) => connected === false)));
  for (let index = 0; index < 20; index++) expect(await ask(from)).toMatchObject({ status: 200 });
  expect(await readiness(from.health)).toBe(200);

  // Somebody new has no certificate, and says that it is not ready.
  const health = `127.0.0.1:${await deadPort()}`;
  const joining = mesh.startSidecar("late", { environment: { COUNTERSIGN_JOIN_TOKEN: token, COUNTERSIGN_HEALTH: health } });
  await until("the newcomer answers", async () => (await readiness(health)) === 503);
  const missing = (await (await fetch(`http://${health}/readyz`)).json()) as { missing: string[] };
  expect(missing.missing).toEqual(["certificate", "configuration", "listeners"]);
  expect((await fetch(`http://${health}/healthz`)).status).toBe(200);

  await mesh.restartControlPlane();
  const late = await joining;
  expect(await readiness(health)).toBe(200);
  expect(await ask(late)).toMatchObject({ status: 200 });
  expect(await ask(from)).toMatchObject({ status: 200 });

  await mesh.apply(
    target(`resourcePolicy:
    Version: "2012-10-17"
    Statement: [{ Effect: Deny, Principal: "*", Action: "target:*", Resource: "*" }]`),
  );
  for (const sidecar of [from, late]) {
    await until("the policy is in force", async () => (await ask(sidecar)).reason === "explicit-deny");
  }
  // The very same ones as before.
  for (const sidecar of [from, to]) {
    expect(await adminView<object>(sidecar, "/config")).toMatchObject({ instance: sidecar.instance });
    expect(sidecar.logs.filter(({ event }) => event === "ready")).toHaveLength(1);
  }
});

test("a session that nobody has resolved is refused while there is no control plane, and taken when there is", async () => {
  await mesh.apply(target("operations: {}"));
  const from = mesh.sidecar("caller");
  await until("the policy is in force", async () => (await ask(from)).status === 200);
  const newcomer = await mesh.startSidecar("caller");
  await mesh.killControlPlane();
  expect(await ask(newcomer)).toMatchObject({ status: 503, reason: "session-unresolved" });
  expect(await ask(from)).toMatchObject({ status: 200 });
  await mesh.restartControlPlane();
  await until("the newcomer is heard", async () => (await ask(newcomer)).status === 200);
});

test("a call that waits for the control plane is not taken for one of the past", async () => {
  const { inbound, instance } = mesh.sidecar("target");
  const identity = await mesh.identityOf("caller");
  const session = await mesh.sessionOf(identity, serviceLinkedRole("caller"));
  const connection = openHttp2(inbound, identity);
  const send = (service: string, sequence: number) => {
    const { headers } = signByHand(
      { method: "GET", host: service, path: "/", body: "" },
      {
        credentials: session,
        region: mesh.region,
        scopeService: `${service}.shop`,
        date: Date.now(),
        headers: { "x-countersign-sequence": `instance1:${sequence}`, "x-countersign-audience": instance },
      },
    );
    return callHttp2(connection, { ":method": "GET", ":path": "/", ":scheme": "https", ":authority": service, ...headers });
  };
  expect(await send("target", 1)).toMatchObject({ status: 200 });
  await mesh.killControlPlane();
  // The same session, of which the receiver has no key for this service; on one connection the other one comes after it.
  const waiting = send("ledger", 2);
  // More than a window of numbers further.
  expect(await send("target", 5000)).toMatchObject({ status: 200 });
  await mesh.restartControlPlane();
  expect(await waiting).toMatchObject({ status: 200 });
  expect(await send("ledger", 2)).toMatchObject({ status: 403, reason: "replayed" });
  expect(await send("target", 2)).toMatchObject({ status: 403, reason: "replayed" });
  connection.close();
});
