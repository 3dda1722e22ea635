/**
 * Streams and tunnels that go on for longer than any certificate. The mesh begins 59 minutes ago with certificates of an hour, so
 * that OpenSSL, whose clock is the real one, takes every one that is made on the way.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { createShiftedClock } from "../fakes/shifted-clock.ts";
import { adminView, startMesh, until, type TestMesh } from "./harness.ts";
import { grpcStream, startApplications, tunnel, upgrade, upload, type Applications } from "./long-calls.ts";

const minute = 60_000;
const names = ["caller", "web", "stream", "pipe"] as const;
const workload = (name: string) =>
  `{ apiVersion: countersign.dev/v1, kind: Workload, metadata: { name: ${name}, namespace: shop }, spec: {} }`;
const service = (name: string, spec: string) =>
  `{ apiVersion: countersign.dev/v1, kind: Service, metadata: { name: ${name}, namespace: shop }, spec: { ${spec} } }`;

const clock = createShiftedClock(-59 * minute);
let mesh: TestMesh;
let applications: Applications;
beforeAll(async () => {
  applications = await startApplications();
  mesh = await startMesh({
    clock,
    yaml: [
      "{ apiVersion: countersign.dev/v1, kind: Mesh, spec: { trustDomain: test.example, svidLifetimeSeconds: 3600 } }",
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

test("they outlive the certificates that they began with as long as those are renewed", async () => {
  const { outbound } = mesh.sidecar("caller");
  const long = await Promise.all([
    upload(outbound, "web"),
    upgrade(outbound, "web"),
    tunnel(outbound, "pipe:7000"),
    grpcStream(outbound, "stream"),
  ]);
  const sidecars = names.map((name) => mesh.sidecar(name));
  const notAfter = async (name: (typeof names)[number]) =>
    Date.parse((await adminView<{ notAfter: string }>(mesh.sidecar(name), "/certs")).notAfter);
  const end = Math.max(...(await Promise.all(names.map(notAfter))));
  while (clock.now() <= end + minute / 2) {
    clock.advance(minute);
    for (const each of long) await each.pulse();
  }
  expect(sidecars.every(({ logs }) => logs.some(({ event }) => event === "certificate-renewed"))).toBe(true);
  expect(await Promise.race([...long.map(({ ended }) => ended), Promise.resolve("none has ended")])).toBe("none has ended");

  // And they end with the last one, when nobody renews any more.
  await mesh.killControlPlane();
  let cut = 0;
  for (const { ended } of long) void ended.then(() => cut++);
  await until("all have ended", () => {
    clock.advance(10 * minute);
    return cut === long.length;
  });
});
