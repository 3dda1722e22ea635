/**
 * A sidecar's life in a pod, by processes: what it waits for, and how it ends. The kubelet ends a pod's applications first and its
 * sidecar last, or all at once; either way no call may be lost while another instance is there.
 */
import { createServer, Agent, type Server } from "node:http";
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { Server as NetServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { call } from "./clients.ts";
import { deadPort, listening, startMesh, until, type LogLine, type TestMesh } from "./harness.ts";
import { between, spawnMember, spawnSidecar } from "./sidecar-process.ts";

const workload = (name: string) =>
  `{ apiVersion: countersign.dev/v1, kind: Workload, metadata: { name: ${name}, namespace: shop }, spec: {} }`;
const service = (name: string, spec: string) =>
  `{ apiVersion: countersign.dev/v1, kind: Service, metadata: { name: ${name}, namespace: shop }, spec: ${spec} }`;
const yaml = [
  "{ apiVersion: countersign.dev/v1, kind: Mesh, spec: { trustDomain: test.example } }",
  ...["caller", "target", "job"].map(workload),
  service("caller", "{ calls: [target] }"),
  service("target", "{ ports: [{ port: 80 }] }"),
  // As of a service account that no Service selects.
  service("job", "{ calls: [target] }"),
].join("\n---\n");

let mesh: TestMesh;
let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "countersign-pod-"));
  mesh = await startMesh({ yaml, workloads: { caller: {} } });
});
afterAll(async () => {
  await mesh?.stop();
  rmSync(folder, { recursive: true, force: true });
});

const field = (line: LogLine, name: string) => String(line[name]);

/** An application that says who it is, and its sidecar, which is ready when it resolves. */
async function startPod(name: string) {
  let ending = false;
  const application: Server = createServer((request, response) => {
    request.resume();
    if (ending) response.setHeader("connection", "close");
    request.once("end", () => response.end(name));
  });
  const port = await listening(application);
  const sidecar = await spawnMember(mesh, "target", { COUNTERSIGN_APP: `127.0.0.1:${port}` });
  let stopped = false;
  const pod = {
    sidecar,
    /** As a well-behaved application ends: it takes no new connection, and says with every answer that there will be no other. */
    async endApplication() {
      ending = true;
      NetServer.prototype.close.call(application);
      await until("it listens no more", () => !application.listening);
    },
    async stop() {
      if (stopped) return;
      stopped = true;
      sidecar.terminate();
      await sidecar.exited;
      application.closeAllConnections();
      application.close();
    },
  };
  pods.push(pod);
  return pod;
}

const pods: { readonly stop: () => Promise<void> }[] = [];
afterEach(async () => {
  await Promise.all(pods.splice(0).map((pod) => pod.stop()));
});

const answers = async () => (await call(mesh.sidecar("caller").outbound, { host: "target" })).status === 200;

/** GET and POST without a pause, each after the other on each of several connections, until told to stop. */
function load() {
  const enough = new AbortController();
  const agent = new Agent({ keepAlive: true });
  const outcomes = new Map<string, number>();
  const worker = async (method: string, body: string | undefined) => {
    while (!enough.signal.aborted) {
      const outcome = await call(mesh.sidecar("caller").outbound, {
        host: "target",
        method,
        agent,
        ...(body === undefined ? {} : { body }),
      }).then(
        ({ status, reason, body: answer }) => (status === 200 ? answer.toString() : `${method} ${status} ${reason}`),
        (error: unknown) => `${method} ${String(error)}`,
      );
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    }
  };
  const done = Promise.all([worker("GET", undefined), worker("GET", undefined), worker("POST", "order"), worker("POST", "order")]);
  return {
    outcomes,
    stop: async () => {
      enough.abort();
      await done;
      agent.destroy();
    },
  };
}

test("a rollout: the new pod is there, the old one ends, application first and sidecar last; no call is lost", async () => {
  const old = await startPod("old");
  await until("the caller knows it", answers);
  const { outcomes, stop } = load();
  await until("the old one answers", () => (outcomes.get("old") ?? 0) > 50);
  await startPod("new");
  await until("both answer", () => (outcomes.get("new") ?? 0) > 50);
  await old.endApplication();
  old.sidecar.terminate();
  expect(await old.sidecar.exited).toBe(0);
  const after = outcomes.get("new") ?? 0;
  await until("the new one answers alone", () => (outcomes.get("new") ?? 0) > after + 50);
  await stop();
  expect([...outcomes.keys()].toSorted()).toEqual(["new", "old"]);
  // Its callers let go of it when they have heard; nobody waits for a deadline.
  expect(between(old.sidecar, "draining", "stopped")).toBeLessThan(4000);
}, 60_000);

test("a rollout whose pods are told all at once: the sidecar serves on until everybody knows", async () => {
  const old = await startPod("old");
  await until("the caller knows it", answers);
  const { outcomes, stop } = load();
  await until("the old one answers", () => (outcomes.get("old") ?? 0) > 50);
  // Ready is what the new one is, and not yet known.
  await startPod("new");
  old.sidecar.terminate();
  expect(await old.sidecar.exited).toBe(0);
  const after = outcomes.get("new") ?? 0;
  await until("the new one answers alone", () => (outcomes.get("new") ?? 0) > after + 50);
  await stop();
  expect([...outcomes.keys()].toSorted()).toEqual(["new", "old"]);
}, 60_000);

test("a Job's sidecar, which nobody calls, ends within a second", async () => {
  await startPod("target");
  const sidecar = await spawnMember(mesh, "job", { COUNTERSIGN_APP: `127.0.0.1:${await deadPort()}` });
  const outbound = field(sidecar.ready, "outbound");
  await until("it calls", async () => (await call(outbound, { host: "target" })).status === 200);
  sidecar.terminate();
  expect(await sidecar.exited).toBe(0);
  expect(between(sidecar, "draining", "stopped")).toBeLessThan(1000);
}, 60_000);

test("a pod whose files and control plane are not there yet: it says so, waits, and ends when it is told to", async () => {
  const bundle = join(folder, "bundle.pem");
  const health = await deadPort();
  const sidecar = spawnSidecar({
    COUNTERSIGN_CONTROL_PLANE: `localhost:${await deadPort()}`,
    COUNTERSIGN_TRUST_DOMAIN_FILE: join(folder, "trustDomain"),
    COUNTERSIGN_TRUST_BUNDLE: bundle,
    COUNTERSIGN_KUBERNETES_TOKEN_FILE: join(folder, "token"),
    COUNTERSIGN_HEALTH: `127.0.0.1:${health}`,
  });
  const missing = async () => {
    const response = await fetch(`http://127.0.0.1:${health}/readyz`);
    expect(response.status).toBe(503);
    return ((await response.json()) as { missing: string[] }).missing;
  };
  await until("it says what is missing", async () => (await missing())[0]?.includes(bundle));
  expect(await missing()).toEqual([
    `the trust bundle cannot be read from ${bundle}: there is no such file`,
    "certificate",
    "configuration",
    "listeners",
  ]);
  copyFileSync(mesh.controlPlane.bundle, bundle);
  await until("it waits for the next", async () => (await missing())[0]?.includes(join(folder, "trustDomain")));
  writeFileSync(join(folder, "trustDomain"), "test.example");
  writeFileSync(join(folder, "token"), "token");
  await until("it waits for the control plane", async () => (await missing()).length === 3);
  expect((await fetch(`http://127.0.0.1:${health}/healthz`)).status).toBe(200);
  const told = performance.now();
  sidecar.terminate();
  expect(await sidecar.exited).toBe(0);
  expect(performance.now() - told).toBeLessThan(2000);
}, 60_000);
