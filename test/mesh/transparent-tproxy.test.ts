/**
 * A mesh of namespaces whose inbound connections come by TPROXY: nothing is rewritten, and the sidecar holds the destination itself.
 * Of what programs do a representative part; all of it is in the tests of the other mode.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { withoutNamespaces } from "./namespaces.ts";
import { cutOff, inUrl, script, startTransparent, type TransparentMesh } from "./transparent-mesh.ts";
import { expectTlsOnly, isOf } from "./wire-checks.ts";

const missing = withoutNamespaces([
  ["curl", "curl"],
  ["/usr/bin/python3", "python3"],
  ["redis-server", "redis-server"],
  ["redis-cli", "redis-tools"],
]);
const because = missing === undefined ? "" : ` (${missing})`;

const service = (name: string, ports: string) => `
---
apiVersion: countersign.dev/v1
kind: Service
metadata: { name: ${name}, namespace: shop }
spec: { identities: [{ serviceAccount: server }], ports: [${ports}] }
`;

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
    redis-server --port 6379 --bind 127.0.0.1 --save '' --appendonly no &
    ${script("echo.py", "8080").join(" ")} &
    ${script("echo.py", "8081").join(" ")} &
    ${script("grpc-server.ts", "50051").join(" ")} &
    ${script("mail_server.py", "2525", "2526").join(" ")} & wait
---
apiVersion: countersign.dev/v1
kind: Service
metadata: { name: caller, namespace: shop }
spec: { calls: [web, rpc, cache, mail] }
${service("web", "{ port: 80, targetPort: 8080, protocol: http }")}
${service("rpc", "{ port: 50051, protocol: grpc }")}
${service("cache", "{ port: 6379, protocol: tcp }")}
${service("mail", "{ port: 25, targetPort: 2525 }")}
${service("web-open", "{ port: 80, targetPort: 8081, protocol: http, permissive: true }")}
${service("mail-open", "{ port: 25, targetPort: 2526, protocol: tcp, permissive: true }")}
`;

interface Seen {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
}

const families = ["v4", "v6"] as const;
const mailed = "(250, b'fine-in-clear')\n(250, b'took 18021 bytes in-clear')\n";

describe.skipIf(missing !== undefined)(`by TPROXY${because}`, () => {
  let mesh: TransparentMesh;
  beforeAll(async () => {
    const ports = { server: [6379, 8080, 8081, 50_051, 2525, 2526] };
    mesh = await startTransparent({ yaml: yaml(), mode: "tproxy", readOnlySidecars: true, ports });
  });
  afterAll(() => mesh?.stop());

  const must = (...command: readonly string[]) => mesh.workload("caller").must(...command);
  const curl = (...args: readonly string[]) => ["curl", "-sS", "--max-time", "20", ...args];
  const refused = (reason: string) => mesh.workload("server").metric(`countersign_inbound_connections_refused_total{reason="${reason}"}`);

  test.each(families)("curl, by name and by address: %s", async (family) => {
    const ip = family === "v4" ? "-4" : "-6";
    for (const version of ["--http1.1", "--http2-prior-knowledge"])
      for (const host of ["web", inUrl(mesh.service("web")[family])]) {
        const seen = JSON.parse(await must(...curl(ip, version, `http://${host}/?question=in-clear`))) as Seen;
        expect(seen.headers).toMatchObject({ "x-countersign-peer": "spiffe://test.example/ns/shop/sa/caller" });
      }
  });

  test.each(families)("gRPC, redis, and a server that speaks first: %s", async (family) => {
    const outcome = JSON.parse(await must(...script("grpc-client.ts", `${inUrl(mesh.service("rpc")[family])}:50051`))) as object;
    expect(outcome).toMatchObject({ unary: "unary-in-clear", status: 0, failure: { code: 9 } });
    const { [family]: cache } = mesh.service("cache");
    expect(await must("redis-cli", "-h", cache, "set", family, "value-in-clear")).toBe("OK\n");
    expect(await must("redis-cli", "-h", cache, "get", family)).toBe("value-in-clear\n");
    expect(await must(...script("mail_client.py", mesh.service("mail")[family], "25"))).toBe(mailed);
  });

  test.each(families)("plaintext from outside is taken where it may be, and listed by its sender's address: %s", async (family) => {
    const address = mesh.workload("server").host[family];
    const answer = await mesh.outside.must(...curl("-H", "Host: web-open", `http://${inUrl(address)}:8081/from-outside`));
    expect((JSON.parse(answer) as Seen).path).toBe("/from-outside");
    expect(await mesh.outside.must(...script("mail_client.py", address, "2526"))).toBe(mailed);
    const callers = await mesh.workload("server").admin<readonly object[]>("/plaintext");
    for (const [service, port] of [
      ["web-open.shop", 80],
      ["mail-open.shop", 25],
    ])
      expect(callers).toContainEqual(expect.objectContaining({ address: mesh.outside[family], service, port }));
  });

  test.each(families)("plaintext from outside is refused at other ports: %s", async (family) => {
    const address = inUrl(mesh.workload("server").host[family]);
    for (const [port, reason] of [
      [8080, "plaintext"],
      [6379, "plaintext"],
      [15_001, "unknown-port"],
    ] as const) {
      const before = await refused(reason);
      expect(cutOff).toContain((await mesh.outside.run(curl("-H", "Host: web-open", `http://${address}:${port}/refused`))).status);
      expect(await refused(reason)).toBe(before + 1);
    }
    expect(mesh.workload("server").said().join("\n")).not.toContain("/refused");
  });

  test.each(["127.0.0.1", "::1"])("a connection to the sidecar's own ports that nothing has redirected is refused: %s", async (address) => {
    const caller = mesh.workload("caller");
    const outbound = 'countersign_outbound_connections_refused_total{reason="not-redirected"}';
    const inbound = 'countersign_inbound_connections_refused_total{reason="plaintext"}';
    const before = [await caller.metric(outbound), await caller.metric(inbound)];
    for (const port of [15_001, 15_006]) {
      expect(cutOff).toContain((await caller.run(...curl("-H", "Host: web", `http://${inUrl(address)}:${port}/`))).status);
    }
    expect([await caller.metric(outbound), await caller.metric(inbound)]).toEqual(before.map((count) => count + 1));
  });

  test("on the wire is TLS 1.3, but for what outsiders say", async () => {
    await must("redis-cli", "-h", "cache", "setrange", "large-in-clear", "1000000", "in-clear");
    expect(await must("redis-cli", "-h", "cache", "get", "large-in-clear")).toHaveLength(1_000_009);
    expect(await expectTlsOnly(mesh, isOf(mesh.outside))).toBeGreaterThan(1_000_000);
  });
});
