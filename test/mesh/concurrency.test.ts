/** A service that is given so many calls at once, and no more. */
import { createServer, type ServerResponse } from "node:http";
import { afterAll, beforeAll, expect, test } from "vitest";
import { call } from "./clients.ts";
import { adminView, startMesh, until, type TestMesh } from "./harness.ts";

const yaml = `
{ apiVersion: countersign.dev/v1, kind: Mesh, spec: { trustDomain: test.example } }
---
{ apiVersion: countersign.dev/v1, kind: Workload, metadata: { name: caller, namespace: shop }, spec: {} }
---
{ apiVersion: countersign.dev/v1, kind: Workload, metadata: { name: target, namespace: shop }, spec: {} }
---
{ apiVersion: countersign.dev/v1, kind: Service, metadata: { name: caller, namespace: shop }, spec: { calls: [target] } }
---
apiVersion: countersign.dev/v1
kind: Service
metadata: { name: target, namespace: shop }
spec: { ports: [{ port: 80 }], tier: critical, maxConcurrentRequests: 2, traffic: { retries: { attempts: 0 } } }
`;

let mesh: TestMesh;
const held: ServerResponse[] = [];
const application = createServer((_request, response) => void held.push(response));

beforeAll(async () => {
  mesh = await startMesh({ yaml, workloads: { caller: {}, target: { application } } });
});
afterAll(() => mesh.stop());

test("over the limit is 503 with a reason, and room again when one is answered or given up", async () => {
  const { outbound } = mesh.sidecar("caller");
  const first = call(outbound, { host: "target" });
  const giveUp = new AbortController();
  const second = call(outbound, { host: "target", signal: giveUp.signal });
  second.catch(() => undefined);
  await until("both are with the application", () => held.length === 2);

  expect(await call(outbound, { host: "target", method: "POST" })).toMatchObject({ status: 503, reason: "overloaded" });

  giveUp.abort();
  await expect(second).rejects.toThrow("aborted");
  await until("a place is free again", () => {
    void call(outbound, { host: "target", method: "POST" }).catch(() => undefined);
    return held.length > 2;
  });
  for (const response of held) response.end("done");
  expect((await first).status).toBe(200);
});

test("what a caller gives up is counted on both sides, and recorded where every decision is", async () => {
  const [caller, target] = [mesh.sidecar("caller"), mesh.sidecar("target")];
  const given = held.length;
  const giveUp = new AbortController();
  const abandoned = call(caller.outbound, { host: "target", path: "/abandoned", signal: giveUp.signal });
  abandoned.catch(() => undefined);
  await until("it is with the application", () => held.length > given);
  giveUp.abort();
  await expect(abandoned).rejects.toThrow("aborted");
  const decision = await until("the decision is recorded", async () => {
    const decisions = await adminView<{ path: string }[]>(target, "/decisions");
    return decisions.find(({ path }) => path === "/abandoned");
  });
  expect(decision).toMatchObject({ decision: "allow", action: "target:GET", detail: "cancelled by the caller", status: 0 });
  for (const [sidecar, name] of [
    [caller, 'countersign_outbound_cancelled_total{destination="target.shop"}'],
    [target, 'countersign_inbound_cancelled_total{service="target.shop"}'],
  ] as const) {
    const metrics = await (await fetch(`http://${sidecar.metrics}/metrics`)).text();
    expect(metrics).toContain(`${name} `);
  }
});
