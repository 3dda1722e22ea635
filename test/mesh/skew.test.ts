/**
 * A mesh that is being upgraded: the control plane first, then sidecars one after another, so that those of the last minor version
 * and those of this one call each other, in both directions, under the new control plane.
 */
import { execFileSync } from "node:child_process";
import { rmSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { call } from "./clients.ts";
import { checkOutRelease, missingHistory } from "./earlier-version.ts";
import { countersign, listening, startMesh, temporaryFolder, until, type TestMesh } from "./harness.ts";
import { spawnMember, type ReadySidecarProcess } from "./sidecar-process.ts";

const names = { callers: ["earlier-caller", "caller"], targets: ["earlier-target", "target"] } as const;
const workload = (name: string) => `---
{ apiVersion: countersign.dev/v1, kind: Workload, metadata: { name: ${name}, namespace: shop }, spec: {} }
`;
const yaml = [
  "{ apiVersion: countersign.dev/v1, kind: Mesh, metadata: { name: mesh }, spec: { trustDomain: test.example } }\n",
  ...[...names.callers, ...names.targets].map(workload),
  ...names.callers.map(
    (name) => `---
{ apiVersion: countersign.dev/v1, kind: Service, metadata: { name: ${name}, namespace: shop }, spec: { calls: [
  { service: earlier-target, actions: [GET, POST] }, { service: target, actions: [GET, POST] } ] } }
`,
  ),
  ...names.targets.map(
    (name) => `---
{ apiVersion: countersign.dev/v1, kind: Service, metadata: { name: ${name}, namespace: shop }, spec: { ports: [{ port: 80 }] } }
`,
  ),
].join("");

const missing = missingHistory();

describe.skipIf(missing !== undefined)(`beside the last minor version${missing === undefined ? "" : ` (${missing})`}`, () => {
  const folder = temporaryFolder();
  const application = createServer((request, response) => {
    request.resume();
    request.on("end", () => response.end(String(request.headers["x-forwarded-client-cert"])));
  });
  let mesh: TestMesh;
  let release: string;
  const members = new Map<string, ReadySidecarProcess>();

  async function start(name: string): Promise<void> {
    const program = name.startsWith("earlier-") ? join(release, "bin/countersign") : countersign;
    const COUNTERSIGN_APP = `127.0.0.1:${await listening(application)}`;
    members.set(name, await spawnMember(mesh, name, { COUNTERSIGN_APP }, program));
  }

  beforeAll(async () => {
    release = checkOutRelease(folder);
    mesh = await startMesh({ yaml, workloads: {} });
    await Promise.all([...names.callers, ...names.targets].map(start));
  });
  afterAll(async () => {
    for (const member of members.values()) member.terminate();
    await Promise.all([...members.values()].map(({ exited }) => exited));
    application.closeAllConnections();
    application.close();
    await mesh?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const ask = async (from: string, to: string, method: string, path = "/", body = "") =>
    await call(String(members.get(from)?.ready["outbound"]), { host: to, method, path, ...(body === "" ? {} : { body }) });

  /** A sidecar that is ready may still be told of others. */
  const answered = async (from: string, to: string) =>
    await until(`${from} reaches ${to}`, async () => {
      const answer = await ask(from, to, "GET");
      return answer.status === 200 && answer;
    });

  const pairs = names.callers.flatMap((from) => names.targets.map((to) => [from, to] as const));

  test.each(pairs)("%s calls %s, allowed and refused alike", async (from, to) => {
    const { body } = await answered(from, to);
    expect(String(body)).toContain(`URI=spiffe://test.example/ns/shop/sa/${from}`);
    const upload = "x".repeat(3_000_000);
    expect(await ask(from, to, "POST", "/upload", upload)).toMatchObject({ status: 200 });
    const refused = await ask(from, to, "DELETE", "/");
    expect(refused).toMatchObject({ status: 403 });
    expect(refused.headers["x-countersign-reason"]).toBe("no-allow");
  });

  test("a change of policy is obeyed by both", async () => {
    await mesh.apply(
      names.targets
        .map(
          (name) => `
apiVersion: countersign.dev/v1
kind: Service
metadata: { name: ${name}, namespace: shop }
spec: { ports: [{ port: 80 }], operationsMode: strict, operations: { Look: "GET /things/{id}" } }
`,
        )
        .join("---"),
    );
    for (const [from, to] of pairs) {
      const status = await until(`${to} refuses what is not declared`, async () => {
        const answer = await ask(from, to, "GET", "/other");
        return answer.status === 403 && answer.headers["x-countersign-reason"];
      });
      expect(status).toBe("undeclared-operation");
    }
  });

  test("the messages between them have not changed but for new fields", () => {
    const root = join(import.meta.dirname, "../..");
    const buf = join(root, "node_modules/@bufbuild/buf/bin/buf");
    const breaking = () => execFileSync(process.execPath, [buf, "breaking", join(root, "proto"), "--against", join(release, "proto")]);
    expect(breaking).not.toThrow();
  });
});
