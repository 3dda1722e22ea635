/** SIGTERM to a real sidecar: what is under way is finished, nothing new begins, and the process ends with 0. */
import { once } from "node:events";
import { createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from "node:http";
import { connect } from "node:net";
import { buffer } from "node:stream/consumers";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { addressOf, call } from "./clients.ts";
import type { Environment } from "../../common/runtime/environment.ts";
import { listening, startMesh, until, type LogLine, type TestMesh } from "./harness.ts";
import { between, spawnMember } from "./sidecar-process.ts";

const yaml = `
{ apiVersion: countersign.dev/v1, kind: Mesh, spec: { trustDomain: test.example } }
---
{ apiVersion: countersign.dev/v1, kind: Workload, metadata: { name: caller, namespace: shop }, spec: {} }
---
{ apiVersion: countersign.dev/v1, kind: Workload, metadata: { name: target, namespace: shop }, spec: {} }
---
{ apiVersion: countersign.dev/v1, kind: Service, metadata: { name: caller, namespace: shop }, spec: { calls: [target] } }
---
{ apiVersion: countersign.dev/v1, kind: Service, metadata: { name: target, namespace: shop }, spec: { ports: [{ port: 80 }] } }
`;

/** Requests that the application has and has not answered. */
const held: ServerResponse[] = [];
const application = createServer((request, response) => {
  if (request.url === "/held") held.push(response);
  else response.end("at once");
});

let mesh: TestMesh;
let port: number;
beforeAll(async () => {
  mesh = await startMesh({ yaml, workloads: { caller: {} } });
  port = await listening(application);
});
afterAll(async () => {
  application.closeAllConnections();
  application.close();
  await mesh?.stop();
});
beforeEach(() => {
  held.length = 0;
});

const spawnSidecar = (workload: string, environment: Environment = {}) =>
  spawnMember(mesh, workload, { COUNTERSIGN_APP: `127.0.0.1:${port}`, ...environment });

const field = (line: LogLine, name: string) => String(line[name]);

async function refused(address: string): Promise<boolean> {
  const { host, port } = addressOf(address);
  const socket = connect(port, host);
  return await new Promise((resolve) => {
    socket.once("connect", () => {
      socket.destroy();
      resolve(false);
    });
    socket.once("error", () => resolve(true));
  });
}

test("the receiver's sidecar: the request under way is answered whole, new ones are not taken, the end is 0", async () => {
  const sidecar = await spawnSidecar("target");
  const { outbound } = mesh.sidecar("caller");
  await until("the target is known", async () => (await call(outbound, { host: "target" })).status === 200);

  const running = call(outbound, { host: "target", path: "/held" });
  await until("the application has it", () => held.length === 1);
  sidecar.terminate();
  await until("it drains", () => sidecar.logs.some(({ event }) => event === "draining"));
  await until("it listens no more", () => refused(field(sidecar.ready, "inbound")));
  expect((await (await fetch(`http://${field(sidecar.ready, "health")}/readyz`)).json()) as object).toEqual({
    status: "not ready",
    missing: ["stopping"],
  });
  expect((await call(outbound, { host: "target" })).status).toBe(503);

  const [response] = held;
  response?.write("begun ");
  response?.end("and ended");
  expect((await running).body.toString()).toBe("begun and ended");
  expect(await sidecar.exited).toBe(0);
  expect(sidecar.logs.at(-1)).toMatchObject({ event: "stopped" });
});

test("the caller's sidecar: the application's call under way is answered whole, the end is 0", async () => {
  const target = await spawnSidecar("target");
  const caller = await spawnSidecar("caller");
  const outbound = field(caller.ready, "outbound");
  await until("the target is known", async () => (await call(outbound, { host: "target" })).status === 200);

  const sent = httpRequest({ ...addressOf(outbound), path: "/held", headers: { host: "target" } });
  sent.end();
  await until("the application has it", () => held.length === 1);
  held[0]?.write("begun ");
  const [response] = (await once(sent, "response")) as [IncomingMessage];
  caller.terminate();
  await until("it listens no more", () => refused(outbound));
  held[0]?.end("and ended");
  expect((await buffer(response)).toString()).toBe("begun and ended");
  expect(await caller.exited).toBe(0);
  target.terminate();
  expect(await target.exited).toBe(0);
});

test("a request that does not end is cut off at the deadline, and the end is 0 all the same", async () => {
  const sidecar = await spawnSidecar("target", { COUNTERSIGN_DRAIN_SECONDS: "1" });
  const { outbound } = mesh.sidecar("caller");
  await until("the target is known", async () => (await call(outbound, { host: "target" })).status === 200);
  const running = call(outbound, { host: "target", path: "/held" });
  await until("the application has it", () => held.length === 1);
  sidecar.terminate();
  expect(await sidecar.exited).toBe(0);
  expect(await running).toMatchObject({ status: 502, reason: "peer-failed" });
});

test("an idle sidecar ends at once", async () => {
  const sidecar = await spawnSidecar("caller");
  // An application's connection that is kept for later, and an operator's.
  const { host, port } = addressOf(field(sidecar.ready, "outbound"));
  const idle = connect(port, host);
  await once(idle, "connect");
  await fetch(`http://${field(sidecar.ready, "admin")}/config`);
  sidecar.terminate();
  expect(await sidecar.exited).toBe(0);
  expect(between(sidecar, "draining", "stopped")).toBeLessThan(5000);
  idle.destroy();
});
