/**
 * Programs that speak HTTP and know nothing of the mesh, each in a namespace of its own: curl, Python's clients, gRPC's of Node
 * and Python, a WebSocket. What they do to each other is the test; what passes between them is looked at, too.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { until } from "./harness.ts";
import { withoutNamespaces } from "./namespaces.ts";
import type { GrpcOutcome } from "./programs/grpc-client.ts";
import { inUrl, script, startTransparent, type TransparentMesh } from "./transparent-mesh.ts";
import { expectTlsOnly } from "./wire-checks.ts";

const missing = withoutNamespaces([
  ["curl", "curl"],
  ["/usr/bin/python3", "python3"],
]);
const because = missing === undefined ? "" : ` (${missing})`;

const body = "file-in-clear ".repeat(50_000);

const yaml = () => `
{ apiVersion: countersign.dev/v1, kind: Mesh, spec: { trustDomain: test.example } }
---
apiVersion: countersign.dev/v1
kind: Workload
metadata: { name: caller, namespace: shop }
spec: { command: exec sleep infinity }
---
apiVersion: countersign.dev/v1
kind: Workload
metadata: { name: server, namespace: shop }
spec:
  command: >-
    ${script("echo.py", "8080").join(" ")} &
    ${script("chat-server.ts", "8081").join(" ")} &
    ${script("grpc-server.ts", "50051").join(" ")} & wait
---
apiVersion: countersign.dev/v1
kind: Service
metadata: { name: caller, namespace: shop }
spec: { calls: [web, chat, rpc] }
---
{ apiVersion: countersign.dev/v1, kind: Service, metadata: { name: server, namespace: shop }, spec: {} }
---
apiVersion: countersign.dev/v1
kind: Service
metadata: { name: web, namespace: shop }
spec:
  identities: [{ serviceAccount: server }]
  ports: [{ port: 80, targetPort: 8080, protocol: http }, { port: 8000, targetPort: 8080 }]
---
apiVersion: countersign.dev/v1
kind: Service
metadata: { name: chat, namespace: shop }
spec:
  identities: [{ serviceAccount: server }]
  ports: [{ port: 80, targetPort: 8081, protocol: http }]
---
apiVersion: countersign.dev/v1
kind: Service
metadata: { name: rpc, namespace: shop }
spec:
  identities: [{ serviceAccount: server }]
  ports: [{ port: 50051, protocol: grpc }, { port: 50052, targetPort: 50051 }]
`;

/** What programs/echo.py answers. */
interface Seen {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly from: string;
  readonly body: string;
}

const principal = "arn:mesh:sts:test.example:shop:assumed-role/service-linked/caller/caller";

describe.skipIf(missing !== undefined)(`HTTP, intercepted${because}`, () => {
  let mesh: TransparentMesh;
  beforeAll(async () => {
    const ports = { server: [8080, 8081, 50_051] };
    mesh = await startTransparent({ yaml: yaml(), mode: "redirect", files: { "body.txt": body }, ports });
  });
  afterAll(() => mesh?.stop());

  const must = (...command: readonly string[]) => mesh.workload("caller").must(...command);
  const curl = (...args: readonly string[]) => must("curl", "-sS", "--max-time", "20", ...args);
  const seen = async (...args: readonly string[]) => JSON.parse(await curl(...args)) as Seen;

  const versions = ["--http1.1", "--http2-prior-knowledge"];
  test.each(["-4", "-6"].flatMap((family) => versions.map((version) => [family, version])))("curl %s %s", async (family, version) => {
    const own = [family, version, "-w", "%{stderr}%{http_version}"];
    const request = await seen(...own, "-H", "Authorization: Bearer in-clear", "http://web/items/42?question=in-clear");
    expect(request).toMatchObject({ method: "GET", path: "/items/42?question=in-clear", from: expect.stringMatching(/127\.0\.0\.1$/) });
    expect(request.headers).toMatchObject({
      host: "web",
      authorization: "Bearer in-clear",
      "x-countersign-principal": principal,
      "x-countersign-peer": "spiffe://test.example/ns/shop/sa/caller",
    });
    const sent = await seen(...own, "--data-binary", `@${mesh.folder}/body.txt`, "http://web.shop.svc.cluster.local/");
    expect(sent.method).toBe("POST");
    expect(sent.body === body).toBe(true);
  });

  test.each(["v4", "v6"] as const)("curl by a service's address, %s, where no name tells what is meant", async (family) => {
    const host = inUrl(mesh.service("web")[family]);
    expect((await seen(`http://${host}/by-address`)).headers).toMatchObject({ "x-countersign-principal": principal });
    expect((await seen(`http://${host}:8000/undeclared`)).path).toBe("/undeclared");
  });

  test("a client that was too slow to say what it speaks is heard all the same, where nothing is declared", async () => {
    const silences = () => mesh.workload("caller").metric("countersign_outbound_detection_timeouts_total");
    const before = await silences();
    const signal = join(mesh.folder, "speak");
    const client = mesh.workload("caller").start(...script("slow_client.py", "web", "8000", signal));
    await until("the silence is noticed", async () => (await silences()) > before);
    writeFileSync(signal, "");
    expect(await client.line((line) => line.startsWith("HTTP/1.1"))).toBe("HTTP/1.1 200 OK");
    const { path, headers } = JSON.parse(await client.line((line) => line.startsWith("{"))) as Seen;
    expect(path).toBe("/at-last");
    expect(headers).toMatchObject({ "x-countersign-principal": principal });
    await client.end();
  });

  test("Python's clients", async () => {
    const lines = await must(...script("fetch.py", "web", "80"));
    expect(lines.trimEnd().split("\n")).toEqual([
      "urllib GET",
      "urllib POST",
      "its own Authorization",
      "who calls",
      "one connection for many",
      "chunked",
      "another port is none",
    ]);
  });

  test.each([
    ["by name, declared", () => "rpc:50051"],
    ["by IPv4, not declared", () => `${mesh.service("rpc").v4}:50052`],
    ["by IPv6", () => `[${mesh.service("rpc").v6}]:50051`],
  ])("gRPC's client and server of Node: %s", async (_, target) => {
    const outcome: GrpcOutcome = {
      unary: "unary-in-clear",
      principal,
      failure: { code: 9, details: "failed-in-clear" },
      chat: [0, 1, 2, 3, 4].map((index) => `chat-in-clear-${index}`),
      status: 0,
    };
    expect(JSON.parse(await must(...script("grpc-client.ts", target())))).toEqual(outcome);
  });

  const grpcio = spawnSync("/usr/bin/python3", ["-c", "import grpc"]).status === 0;
  test.skipIf(!grpcio)(`gRPC's client of Python${grpcio ? "" : " (needs apt-get install python3-grpcio)"}`, async () => {
    const said = await must(...script("grpc_client.py", "rpc:50051"));
    expect(said).toBe("unary-in-clear\nchat-in-clear-0 chat-in-clear-1 chat-in-clear-2\n");
  });

  test.each(["v4", "v6"] as const)("a WebSocket of Node, %s", async (family) => {
    const said = await must(...script("chat-client.ts", `ws://${inUrl(mesh.service("chat")[family])}/`));
    expect(said.trimEnd().split("\n")).toEqual([`hello-in-clear ${principal}`, "14 back", "80000 back", "4000 enough-in-clear true"]);
  });

  test("who may not call is refused, also by the workload itself", async () => {
    const answer = await mesh.workload("server").must("curl", "-sS", "-i", "http://web/");
    expect(answer).toMatch(/^HTTP\/1\.1 403 /);
    expect(answer).toContain("x-countersign-reason: no-allow");
  });

  test("on the wire is TLS 1.3 and not a word of any of it", async () => {
    await curl("--data-binary", `@${mesh.folder}/body.txt`, "http://web/");
    expect(await expectTlsOnly(mesh)).toBeGreaterThan(2 * body.length);
  });
});
