/** Several instances of one workload: calls are spread over them, and go on when one of them goes. */
import { createServer, type Server } from "node:http";
import { afterAll, beforeAll, expect, test } from "vitest";
import { addressOf, call } from "./clients.ts";
import { adminView, startMesh, until, type TestMesh, type TestSidecar } from "./harness.ts";
import { startRelay, type Relay } from "./relay.ts";

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

/** Answers with its name. */
function application(name: string): Server {
  return createServer((_request, response) => response.end(name));
}

let mesh: TestMesh;
let outbound: string;
let relay: Relay;
const instances = new Map<string, TestSidecar>();
beforeAll(async () => {
  mesh = await startMesh({ yaml, workloads: { caller: {} } });
  ({ outbound } = mesh.sidecar("caller"));
  relay = await startRelay();
  for (const name of ["first", "second"]) instances.set(name, await mesh.startSidecar("target", { application: application(name) }));
  // What comes by way of the relay can be cut.
  const relayed = await mesh.startSidecar("target", {
    application: application("relayed"),
    environment: { COUNTERSIGN_ADVERTISE: relay.address },
  });
  relay.aim(addressOf(relayed.inbound).port);
  instances.set("relayed", relayed);
});
afterAll(async () => {
  await mesh?.stop();
  relay?.close();
});

const ask = async () => {
  const { status, body, reason } = await call(outbound, { host: "target" });
  return status === 200 ? body.toString() : reason;
};

test("every instance gets its share", async () => {
  const answers = await Promise.all(Array.from({ length: 90 }, ask));
  for (const name of instances.keys()) expect(answers.filter((each) => each === name).length).toBeGreaterThan(5);
});

test("an instance that cannot be reached costs no call", async () => {
  // The connection is lost, and no other comes to be.
  relay.close();
  const answers = [];
  for (let index = 0; index < 40; index++) answers.push(await ask());
  expect(new Set(answers)).toEqual(new Set(["first", "second"]));
});

test("an instance that leaves in good order costs no call, and is forgotten", async () => {
  const stopping = new AbortController();
  const answers: string[] = [];
  const calls = (async () => {
    while (!stopping.signal.aborted) answers.push(await ask());
  })();
  const first = instances.get("first");
  await first?.stop();
  await until("it is forgotten", async () => {
    const [cluster] = await adminView<{ endpoints: { instance: string }[] }[]>(mesh.sidecar("caller"), "/clusters");
    return cluster?.endpoints.every(({ instance }) => instance !== first?.instance);
  });
  const before = answers.length;
  await until("calls went on", () => answers.length >= before + 20);
  stopping.abort();
  await calls;
  expect(new Set(answers.slice(before + 1))).toEqual(new Set(["second"]));
  expect(answers.filter((each) => each !== "first" && each !== "second")).toEqual([]);
});
