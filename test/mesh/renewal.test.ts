/**
 * Certificates and role sessions over hours, by a clock that is moved. The mesh begins in the past, so that whatever is issued
 * on the way is valid for OpenSSL too, which has no clock but the real one.
 */
import { createServer } from "node:http";
import { afterEach, expect, test } from "vitest";
import { createShiftedClock } from "../fakes/shifted-clock.ts";
import { addressOf, call, openHttp2 } from "./clients.ts";
import { adminView, deadPort, startMesh, until, type MeshOptions, type TestMesh, type TestSidecar } from "./harness.ts";
import { startRelay } from "./relay.ts";

const minute = 60_000;

const yaml = (mesh: string) => `
{ apiVersion: countersign.dev/v1, kind: Mesh, spec: { trustDomain: test.example, ${mesh} } }
---
{ apiVersion: countersign.dev/v1, kind: Workload, metadata: { name: caller, namespace: shop }, spec: {} }
---
{ apiVersion: countersign.dev/v1, kind: Workload, metadata: { name: target, namespace: shop }, spec: {} }
---
{ apiVersion: countersign.dev/v1, kind: Service, metadata: { name: caller, namespace: shop }, spec: { calls: [target] } }
---
{ apiVersion: countersign.dev/v1, kind: Service, metadata: { name: target, namespace: shop }, spec: { ports: [{ port: 80 }] } }
`;

let mesh: TestMesh;
let atEnd: () => void = () => undefined;
afterEach(async () => {
  await mesh?.stop();
  atEnd();
});

async function start(options: Pick<MeshOptions, "yaml" | "clock">): Promise<{ from: TestSidecar; to: TestSidecar }> {
  const application = createServer((_request, response) => response.end("from the application"));
  mesh = await startMesh({ ...options, workloads: { caller: {}, target: { application } } });
  return { from: mesh.sidecar("caller"), to: mesh.sidecar("target") };
}

const ask = (sidecar: TestSidecar) => call(sidecar.outbound, { host: "target" });
const renewals = (sidecar: TestSidecar) => sidecar.logs.filter(({ event }) => event === "certificate-renewed").length;

interface SessionView {
  readonly assumed: readonly { readonly accessKeyId: string; readonly issuedAt: string; readonly expiresAt: string }[];
}
const session = async (sidecar: TestSidecar) => (await adminView<SessionView>(sidecar, "/sessions")).assumed[0];

test("certificates and sessions are renewed at half of their life, and no call notices", async () => {
  const clock = createShiftedClock(-45 * minute);
  const { from, to } = await start({ yaml: yaml("svidLifetimeSeconds: 3600, sessionLifetimeSeconds: 3600"), clock });
  const statuses = new Set<number>();
  const enough = new AbortController();
  /** Between two calls: one that is under way while all clocks jump is as old as the jump when it arrives, and refused. */
  let jump: { readonly by: number; readonly done: () => void } | undefined;
  const calls = (async () => {
    while (!enough.signal.aborted) {
      if (jump) {
        clock.advance(jump.by);
        jump.done();
        jump = undefined;
      }
      statuses.add((await ask(from)).status);
    }
  })();
  const advance = (by: number) => new Promise<void>((done) => (jump = { by, done }));
  await until("calls are made", () => statuses.size > 0);
  const before = { certificate: await adminView<{ chain: string }>(from, "/certs"), session: await session(from) };

  await advance(20 * minute);
  expect(await ask(from)).toMatchObject({ status: 200 });
  expect([renewals(from), renewals(to)]).toEqual([0, 0]);
  expect((await session(from))?.accessKeyId).toBe(before.session?.accessKeyId);

  // Half of an hour, and a tenth of the hour at the most on top.
  await advance(17 * minute);
  for (const sidecar of [from, to]) await until("it is renewed", () => renewals(sidecar) === 1);
  await until("the session is renewed", async () => (await session(from))?.accessKeyId !== before.session?.accessKeyId);
  expect((await adminView<{ chain: string }>(from, "/certs")).chain).not.toBe(before.certificate.chain);

  // New connections show the new certificate.
  const identity = await mesh.identityOf("caller");
  const connection = openHttp2(to.inbound, identity);
  await until("it is connected", () => !connection.connecting);
  const shown = (connection.socket as unknown as { getPeerCertificate: () => { valid_to: string } }).getPeerCertificate();
  const { notAfter } = await adminView<{ notAfter: string }>(to, "/certs");
  expect(new Date(shown.valid_to).toISOString()).toBe(notAfter);
  connection.close();

  expect(await ask(from)).toMatchObject({ status: 200 });
  enough.abort();
  await calls;
  expect([...statuses]).toEqual([200]);
}, 60_000);

test("a connection that cannot be made anew at once is made later, before the old one ends", async () => {
  const relay = await startRelay();
  atEnd = () => relay.close();
  const clock = createShiftedClock(-45 * minute);
  const yamlOfMesh = yaml("svidLifetimeSeconds: 3600, sessionLifetimeSeconds: 3600");
  const application = createServer((_request, response) => response.end("from the application"));
  const environment = { COUNTERSIGN_ADVERTISE: relay.address };
  mesh = await startMesh({ yaml: yamlOfMesh, clock, workloads: { caller: {}, target: { application, environment } } });
  const [from, to] = [mesh.sidecar("caller"), mesh.sidecar("target")];
  relay.aim(addressOf(to.inbound).port);
  expect(await ask(from)).toMatchObject({ status: 200 });
  expect(relay.accepted()).toBe(1);

  // No call is made meanwhile that would open one by itself.
  relay.aim(await deadPort());
  clock.advance(37 * minute);
  await until("the caller's certificate is renewed", () => renewals(from) === 1);
  await until("a connection was refused", () => relay.accepted() >= 2);
  relay.aim(addressOf(to.inbound).port);
  await until("the new one has taken the place of the old one", () => {
    clock.advance(1000);
    return relay.accepted() >= 3 && relay.open() === 1;
  });
  expect(await ask(from)).toMatchObject({ status: 200 });
}, 60_000);

test("while the control plane is away the valid certificate serves, and at its end calls fail closed with a reason", async () => {
  const clock = createShiftedClock(-15 * minute);
  const { from } = await start({ yaml: yaml("svidLifetimeSeconds: 1200, sessionLifetimeSeconds: 3600"), clock });
  expect(await ask(from)).toMatchObject({ status: 200 });
  await mesh.killControlPlane();

  clock.advance(12 * minute);
  await until("the renewal fails", () => from.logs.some(({ msg }) => msg === "renewal failed, trying again"));
  expect(await ask(from)).toMatchObject({ status: 200 });
  const metrics = await (await fetch(`http://${from.metrics}/metrics`)).text();
  expect(Number(/^countersign_svid_renewal_failures (\d+)/m.exec(metrics)?.[1])).toBeGreaterThan(0);

  clock.advance(9 * minute);
  expect(await ask(from)).toMatchObject({ status: 503, reason: "identity-expired" });
}, 60_000);

test("a session that has expired is not used: without a control plane the call fails closed, with it a new one is assumed", async () => {
  const clock = createShiftedClock(-40 * minute);
  const { from } = await start({ yaml: yaml("svidLifetimeSeconds: 86400, sessionLifetimeSeconds: 900"), clock });
  expect(await ask(from)).toMatchObject({ status: 200 });
  await mesh.killControlPlane();
  clock.advance(10 * minute);
  expect(await ask(from)).toMatchObject({ status: 200 });
  clock.advance(6 * minute);
  expect(await ask(from)).toMatchObject({ status: 503, reason: "session-unresolved" });
  await mesh.restartControlPlane();
  await until("a session is assumed again", async () => {
    clock.advance(1000);
    return (await ask(from)).status === 200;
  });
}, 60_000);
