/**
 * Where a mesh of namespaces ends: calls out of it, calls from a host that is in no mesh, and connections to the sidecars' own
 * ports that nothing has redirected.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeCertificate } from "./certificate.ts";
import { until } from "./harness.ts";
import { withoutNamespaces, type Program } from "./namespaces.ts";
import { cutOff, inUrl, script, startTransparent, type TransparentMesh } from "./transparent-mesh.ts";
import { expectTlsOnly, isOf } from "./wire-checks.ts";

const missing = withoutNamespaces([
  ["curl", "curl"],
  ["openssl", "openssl"],
  ["/usr/bin/python3", "python3"],
]);
const because = missing === undefined ? "" : ` (${missing})`;

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
spec: { command: "${script("echo.py", "8080").join(" ")} & ${script("echo.py", "8081").join(" ")} & wait" }
---
apiVersion: countersign.dev/v1
kind: Service
metadata: { name: caller, namespace: shop }
spec: { calls: [open, strict] }
---
apiVersion: countersign.dev/v1
kind: Service
metadata: { name: open, namespace: shop }
spec: { identities: [{ serviceAccount: server }], ports: [{ port: 80, targetPort: 8080, protocol: http, permissive: true }] }
---
apiVersion: countersign.dev/v1
kind: Service
metadata: { name: strict, namespace: shop }
spec: { identities: [{ serviceAccount: server }], ports: [{ port: 80, targetPort: 8081, protocol: http }] }
---
apiVersion: countersign.dev/v1
kind: ExternalService
metadata: { name: api, namespace: shop }
spec: { hosts: [api.example], ports: [{ port: 8080, protocol: http }, { port: 8443, protocol: tls }] }
`;

interface Seen {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly from: string;
}

interface PlaintextCaller {
  readonly address: string;
  readonly service: string;
  readonly port: number;
  readonly calls: number;
}

const families = ["v4", "v6"] as const;

describe.skipIf(missing !== undefined)(`at the borders of a mesh of namespaces${because}`, () => {
  let mesh: TransparentMesh;
  let outsideHttp: Program;
  let outsideTls: Program;
  beforeAll(async () => {
    const files = makeCertificate("api.example");
    mesh = await startTransparent({ yaml: yaml(), mode: "redirect", files, ports: { server: [8080, 8081] } });
    const { outside, folder } = mesh;
    outsideHttp = outside.start(script("echo.py", "8080"));
    const tls = ["s_server", "-www", "-accept", "*:8443", "-key", `${folder}/key.pem`, "-cert", `${folder}/cert.pem`];
    outsideTls = outside.start(["openssl", ...tls]);
    for (const name of ["api.example", "other.example"]) mesh.workload("caller").addHosts(`${outside.v4} ${name}`, `${outside.v6} ${name}`);
    await outsideTls.line((line) => line === "ACCEPT");
    await until("the outside host answers", async () => (await outside.run(["curl", "-s", "http://127.0.0.1:8080/"])).status === 0);
  });
  afterAll(async () => {
    await Promise.all([outsideHttp?.end(), outsideTls?.end()]);
    await mesh?.stop();
  });

  const curl = (...args: readonly string[]) => mesh.workload("caller").run("curl", "-sS", "--max-time", "20", ...args);
  const fromOutside = (...args: readonly string[]) => mesh.outside.run(["curl", "-sS", "--max-time", "20", ...args]);
  const metric = (workload: string, name: string) => mesh.workload(workload).metric(name);
  const refusedInbound = (workload: string, reason: string) =>
    metric(workload, `countersign_inbound_connections_refused_total{reason="${reason}"}`);
  const refusedOutbound = () => metric("caller", 'countersign_outbound_connections_refused_total{reason="not-redirected"}');
  const egress = (outcome: string) => metric("caller", `countersign_egress_decisions_total{host="other",outcome="${outcome}"}`);
  const outsideSaw = (path: string) => outsideHttp.lines.some((line) => (JSON.parse(line) as Seen).path === path);

  describe("calls out of the mesh", () => {
    test.each(["-4", "-6"])("to a host that is listed pass as they are: %s", async (family) => {
      const { stdout } = await curl(family, "http://api.example:8080/listed");
      const seen = JSON.parse(stdout) as Seen;
      const { v4, v6 } = mesh.workload("caller").host;
      expect(seen.from.replace("::ffff:", "")).toBe(family === "-4" ? v4 : v6);
      expect(Object.keys(seen.headers).sort()).toEqual(["accept", "host", "user-agent"]);
      const secure = await curl(family, "--cacert", `${mesh.folder}/cert.pem`, "https://api.example:8443/");
      expect([secure.status, secure.stderr]).toEqual([0, ""]);
      expect(secure.stdout).toContain("s_server");
    });

    test.each<[string, () => string[], string, string]>([
      ["a host that is not listed", () => ["http://other.example:8080/undeclared"], "403", "egress-undeclared"],
      ["an address", () => [`http://${mesh.outside.v4}:8080/undeclared`], "403", "egress-undeclared"],
      ["an address of IPv6", () => [`http://[${mesh.outside.v6}]:8080/undeclared`], "403", "egress-undeclared"],
      ["a port that is not listed", () => ["http://api.example:8081/undeclared"], "403", "egress-undeclared"],
      [
        "a listed host at an address that is not its own",
        () => ["--connect-to", `api.example:8080:${mesh.controlPlane}:8080`, "http://api.example:8080/undeclared"],
        "421",
        "egress-address-mismatch",
      ],
    ])("to %s are refused, and say why", async (_, args, status, reason) => {
      const answer = await curl("-w", "%{http_code}", ...args());
      expect(answer.stdout).toBe(`{"reason":"${reason}"}\n${status}`);
      expect(outsideSaw("/undeclared")).toBe(false);
    });

    test("by TLS or TCP to what is not listed are cut, and counted by their reason", async () => {
      const before = await egress("egress-undeclared");
      // CURLE_SSL_CONNECT_ERROR
      expect(await curl("-k", "https://other.example:8443/")).toMatchObject({ status: 35, stdout: "" });
      expect(await curl("-k", `https://${mesh.outside.v4}:8443/`)).toMatchObject({ status: 35, stdout: "" });
      expect(cutOff).toContain((await curl("--http0.9", "telnet://other.example:8080/")).status);
      expect(await egress("egress-undeclared")).toBe(before + 3);
    });

    test("by the address of a workload are no calls out, and known as what they are", async () => {
      const { v4, v6 } = mesh.workload("server").host;
      const seen = JSON.parse((await curl(`http://${v4}:8081/past`)).stdout) as Seen;
      expect(seen.headers).toMatchObject({ "x-countersign-peer": "spiffe://test.example/ns/shop/sa/caller" });
      // Sidecars are known by their addresses of IPv4 here.
      expect((await curl(`http://[${v6}]:8081/nowhere`)).stdout).toBe('{"reason":"egress-undeclared"}\n');
      expect((await curl(`http://${v4}:9999/nowhere`)).stdout).toBe('{"reason":"egress-undeclared"}\n');
      expect(mesh.workload("server").said().join("\n")).not.toContain("/nowhere");
    });
  });

  describe("plaintext from outside", () => {
    test.each(families)("is taken at a permissive port, counted, and its caller listed: %s", async (family) => {
      const counted = () => metric("server", 'countersign_inbound_plaintext_total{service="open.shop",port="80"}');
      const before = await counted();
      const forged = ["-H", "x-countersign-principal: arn:mesh:sts:test.example:shop:assumed-role/service-linked/caller/caller"];
      const url = `http://${inUrl(mesh.workload("server").host[family])}:8080/from-outside`;
      const { stdout } = await fromOutside("-H", "Host: open", ...forged, url);
      const seen = JSON.parse(stdout) as Seen;
      expect(seen.path).toBe("/from-outside");
      expect(Object.keys(seen.headers).filter((name) => name.startsWith("x-"))).toEqual([]);
      expect(await counted()).toBe(before + 1);
      const callers = await mesh.workload("server").admin<readonly PlaintextCaller[]>("/plaintext");
      expect(callers).toContainEqual(expect.objectContaining({ address: mesh.outside[family], service: "open.shop", port: 80 }));
    });

    test("callers that are in the mesh are known at a permissive port all the same", async () => {
      const seen = JSON.parse((await curl("http://open/from-inside")).stdout) as Seen;
      expect(seen.headers).toMatchObject({ "x-countersign-peer": "spiffe://test.example/ns/shop/sa/caller" });
    });

    test.each(families)("is refused at a port that is not permissive, and at one of no service: %s", async (family) => {
      const address = inUrl(mesh.workload("server").host[family]);
      for (const [port, reason] of [
        [8081, "plaintext"],
        [9999, "unknown-port"],
      ] as const) {
        const before = await refusedInbound("server", reason);
        expect(cutOff).toContain((await fromOutside("-H", "Host: strict", `http://${address}:${port}/refused`)).status);
        expect(await refusedInbound("server", reason)).toBe(before + 1);
      }
      expect(mesh.workload("server").said().join("\n")).not.toContain("/refused");
    });
  });

  describe("connections to a sidecar's own ports that nothing has redirected", () => {
    test.each(["127.0.0.1", "::1"])("to the outbound port are refused: %s", async (address) => {
      const before = await refusedOutbound();
      expect(cutOff).toContain((await curl("-H", "Host: strict", `http://${inUrl(address)}:15001/`)).status);
      expect(cutOff).toContain((await curl("-x", `http://${inUrl(address)}:15001`, "http://strict/")).status);
      expect(await refusedOutbound()).toBe(before + 2);
    });

    test.each(families)("to the outbound port from outside are refused: %s", async (family) => {
      const before = await refusedInbound("caller", "unknown-port");
      const { status } = await fromOutside("-H", "Host: strict", `http://${inUrl(mesh.workload("caller").host[family])}:15001/`);
      expect(cutOff).toContain(status);
      expect(await refusedInbound("caller", "unknown-port")).toBe(before + 1);
    });

    test.each(families)("to the inbound port are refused without TLS, and without a certificate: %s", async (family) => {
      const address = inUrl(mesh.workload("caller").host[family]);
      const before = [await refusedInbound("caller", "plaintext"), await refusedInbound("caller", "no-client-certificate")];
      expect(cutOff).toContain((await fromOutside(`http://${address}:15006/`)).status);
      expect((await fromOutside("-k", `https://${address}:15006/`)).status).not.toBe(0);
      const after = [await refusedInbound("caller", "plaintext"), await refusedInbound("caller", "no-client-certificate")];
      expect(after).toEqual(before.map((count) => count + 1));
    });

    test("to the inbound port from the workload itself are refused as well", async () => {
      const before = await refusedInbound("caller", "plaintext");
      expect(cutOff).toContain((await curl("-H", "Host: open", "http://127.0.0.1:15006/")).status);
      expect(await refusedInbound("caller", "plaintext")).toBe(before + 1);
    });

    test("to the inbound port are held to what the named service takes, where another one takes plaintext", async () => {
      const url = `http://${mesh.workload("server").host.v4}:15006/direct`;
      expect(JSON.parse((await fromOutside("-H", "Host: strict", url)).stdout)).toMatchObject({ reason: "plaintext-refused" });
      expect((JSON.parse((await fromOutside("-H", "Host: open", url)).stdout) as Seen).path).toBe("/direct");
    });

    test("admin ports are not reached from outside", async () => {
      const { v4 } = mesh.workload("server").host;
      // CURLE_COULDNT_CONNECT: it is on loopback.
      expect(await fromOutside(`http://${v4}:15000/config`)).toMatchObject({ status: 7, stdout: "" });
    });
  });

  test("on the wire only what goes out or comes in is not TLS 1.3, and of that only what may", async () => {
    expect((await curl("http://strict/at-the-end")).status).toBe(0);
    expect(await expectTlsOnly(mesh, isOf(mesh.outside))).toBeGreaterThan(5000);
    const { streams } = await mesh.capture.end();
    const left = streams.filter(({ opener, to }) => opener && (to.address === mesh.outside.v4 || to.address === mesh.outside.v6));
    expect(new Set(left.map(({ to }) => to.port))).toEqual(new Set([8080, 8443]));
    const { v4, v6 } = mesh.workload("caller").host;
    expect(left.every(({ from }) => from.address === v4 || from.address === v6)).toBe(true);
    expect(left.map(({ bytes }) => bytes.toString("latin1")).filter((text) => text.includes("/undeclared"))).toEqual([]);
  });
});
