/**
 * Certificates are replaced while calls of every kind are under way: not one fails, whether it began before or after, and those
 * that go on for long go on. By a clock that is moved, as in renewal.test.ts.
 */
import { Agent } from "node:http";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createShiftedClock } from "../fakes/shifted-clock.ts";
import { call, type Call } from "./clients.ts";
import { adminView, startMesh, until, type TestMesh } from "./harness.ts";
import { grpcStream, startApplications, tunnel, upgrade, upload, type Applications } from "./long-calls.ts";

const minute = 60_000;
const names = ["caller", "web", "stream", "pipe"] as const;
const workload = (name: string) =>
  `{ apiVersion: countersign.dev/v1, kind: Workload, metadata: { name: ${name}, namespace: shop }, spec: {} }`;
const service = (name: string, spec: string) =>
  `{ apiVersion: countersign.dev/v1, kind: Service, metadata: { name: ${name}, namespace: shop }, spec: { ${spec} } }`;

const clock = createShiftedClock(-45 * minute);
let mesh: TestMesh;
let applications: Applications;
beforeAll(async () => {
  applications = await startApplications();
  mesh = await startMesh({
    clock,
    yaml: [
      "{ apiVersion: countersign.dev/v1, kind: Mesh, spec: { trustDomain: test.example, svidLifetimeSeconds: 3600, sessionLifetimeSeconds: 3600 } }",
      ...names.map(workload),
      service("caller", "calls: [web, stream, pipe]"),
      service("web", "ports: [{ port: 80 }]"),
      service("stream", "ports: [{ port: 80, protocol: grpc }]"),
      service("pipe", "ports: [{ port: 7000, protocol: tcp }]"),
    ].join("\n---\n"),
    workloads: {
      caller: {},
      web: { application: applications.http },
      pipe: { application: applications.tcp },
      stream: { environment: { COUNTERSIGN_APP: `127.0.0.1:${applications.grpcPort}` } },
    },
  });
});
afterAll(async () => {
  await mesh?.stop();
  applications?.close();
});

/** Calls without a pause, each after the other on each of several connections, until told to stop. */
function load(outbound: string, calls: readonly Omit<Call, "host">[], signal: AbortSignal) {
  const outcomes = new Map<string, number>();
  const agent = new Agent({ keepAlive: true });
  const worker = async (options: Omit<Call, "host">) => {
    while (!signal.aborted) {
      const outcome = await call(outbound, { ...options, host: "web", agent }).then(
        ({ status, reason, body }) => `${status} ${reason || body.toString() === (options.body ?? "").toString()}`,
        (error: unknown) => String(error),
      );
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    }
  };
  const done = Promise.all(calls.map(worker)).finally(() => agent.destroy());
  return { done, outcomes, made: () => [...outcomes.values()].reduce((sum, each) => sum + each, 0) };
}

test("every sidecar's certificate is replaced under load, and no call fails", async () => {
  const { outbound } = mesh.sidecar("caller");
  const long = await Promise.all([
    upload(outbound, "web"),
    upgrade(outbound, "web"),
    tunnel(outbound, "pipe:7000"),
    grpcStream(outbound, "stream"),
  ]);
  const enough = new AbortController();
  const body = "x".repeat(200_000);
  const running = load(
    outbound,
    [{}, {}, { method: "POST", body: "small" }, { method: "POST", body }, { method: "PUT", body: "whole" }],
    enough.signal,
  );
  await until("calls are made", () => running.made() > 50);
  const sidecars = names.map((name) => mesh.sidecar(name));
  const chains = () => Promise.all(sidecars.map(async (each) => (await adminView<{ chain: string }>(each, "/certs")).chain));
  const before = await chains();

  // Half of an hour, and a tenth of the hour at the most on top; by less at a time than a signature is good for.
  for (let passed = 0; passed < 37; passed++) {
    clock.advance(minute);
    const made = running.made();
    await until("calls signed before have arrived", () => running.made() > made + 10);
  }
  await until("all are renewed", () => sidecars.every(({ logs }) => logs.some(({ event }) => event === "certificate-renewed")));
  const renewedAt = running.made();
  await until("calls are made with them", () => running.made() > renewedAt + 200);
  for (const each of long) await each.pulse();

  enough.abort();
  await running.done;
  expect([...running.outcomes.keys()]).toEqual(["200 true"]);
  expect((await chains()).filter((chain) => before.includes(chain))).toEqual([]);
  expect(await Promise.race([...long.map(({ ended }) => ended), Promise.resolve("none has ended")])).toBe("none has ended");
  for (const each of long) each.close();
});
