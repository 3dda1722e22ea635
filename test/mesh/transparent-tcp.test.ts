/**
 * Programs that speak no HTTP, each in a namespace of its own: redis, mail, whose server speaks first, and TLS that the programs
 * make themselves. The sidecars have no privilege, and no file system that can be written to.
 */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeCertificate } from "./certificate.ts";
import { until } from "./harness.ts";
import { withoutNamespaces } from "./namespaces.ts";
import { application, script, startTransparent, type TransparentMesh } from "./transparent-mesh.ts";
import { expectTlsOnly } from "./wire-checks.ts";

const missing = withoutNamespaces([
  ["curl", "curl"],
  ["openssl", "openssl"],
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
{ apiVersion: countersign.dev/v1, kind: Mesh, spec: { trustDomain: test.example, auditSample: 1 } }
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
    openssl s_server -quiet -www -accept 127.0.0.1:8443 -key key.pem -cert cert.pem &
    ${script("mail_server.py", "2525", "2526").join(" ")} & wait
---
apiVersion: countersign.dev/v1
kind: Service
metadata: { name: caller, namespace: shop }
spec: { calls: [cache, mail, secure] }
${service("cache", "{ port: 6379, protocol: tcp }, { port: 6380, targetPort: 6379 }")}
${service("mail", "{ port: 25, targetPort: 2525, protocol: tcp }, { port: 26, targetPort: 2526 }")}
${service("secure", "{ port: 443, targetPort: 8443 }, { port: 8443, protocol: tcp }")}
${service("vault", "{ port: 443, targetPort: 8443 }")}
`;

interface Decision {
  readonly decision: string;
  readonly reason: string;
  readonly action: string;
  readonly resource: string;
}

describe.skipIf(missing !== undefined)(`TCP, intercepted${because}`, () => {
  let mesh: TransparentMesh;
  beforeAll(async () => {
    const ports = { server: [6379, 8443, 2525, 2526] };
    mesh = await startTransparent({ yaml: yaml(), mode: "redirect", files: makeCertificate("secure"), readOnlySidecars: true, ports });
  });
  afterAll(() => mesh?.stop());

  const must = (...command: readonly string[]) => mesh.workload("caller").must(...command);
  const detectionTimeouts = () => mesh.workload("caller").metric("countersign_outbound_detection_timeouts_total");
  const decisions = () => mesh.workload("server").admin<readonly Decision[]>("/decisions");

  test.each([
    ["by name, declared", () => ["-h", "cache"]],
    ["by IPv6, not declared", () => ["-h", mesh.service("cache").v6, "-p", "6380"]],
  ])("redis: %s", async (_, at) => {
    const value = "redis-in-clear ".repeat(40_000);
    const redis = async (input: string | undefined, ...args: readonly string[]) => {
      const options = { as: application, ...(input === undefined ? {} : { input }) };
      const { status, stdout, stderr } = await mesh.workload("caller").host.run(["redis-cli", ...at(), ...args], options);
      expect([status, stderr]).toEqual([0, ""]);
      return stdout;
    };
    expect(await redis(value, "-x", "set", "key-in-clear")).toBe("OK\n");
    expect((await redis(undefined, "get", "key-in-clear")) === `${value}\n`).toBe(true);
    const many = Array.from({ length: 500 }, (_unused, index) => `incrby counter-${at().length} ${index}`).join("\n");
    expect((await redis(many)).trimEnd().split("\n").at(-1)).toBe(String((499 * 500) / 2));
  });

  test("redis: a subscriber hears what another connection publishes", async () => {
    const subscriber = mesh.workload("caller").start("redis-cli", "-h", "cache", "--csv", "subscribe", "news");
    await subscriber.line((line) => line.startsWith('"subscribe"'));
    expect(await must("redis-cli", "-h", "cache", "publish", "news", "published-in-clear")).toBe("1\n");
    expect(await subscriber.line((line) => line.includes("published"))).toBe('"message","news","published-in-clear"');
    await subscriber.end();
  });

  test("mail: a server that speaks first is waited for where nothing is declared, and counted", async () => {
    const said = "(250, b'fine-in-clear')\n(250, b'took 18021 bytes in-clear')\n";
    const before = await detectionTimeouts();
    expect(await must(...script("mail_client.py", "mail", "25"))).toBe(said);
    expect(await must(...script("mail_client.py", mesh.service("mail").v6, "25"))).toBe(said);
    expect(await detectionTimeouts()).toBe(before);
    expect(await must(...script("mail_client.py", "mail", "26"))).toBe(said);
    expect(await detectionTimeouts()).toBe(before + 1);
  });

  describe("TLS of the programs' own", () => {
    const curl = (...args: readonly string[]) =>
      mesh.workload("caller").run("curl", "-sS", "--max-time", "20", "--cacert", `${mesh.folder}/cert.pem`, ...args);
    const latest = async (wanted: Partial<Decision>) =>
      await until(`there is a decision ${JSON.stringify(wanted)}`, async () =>
        (await decisions()).some((each) => Object.entries(wanted).every(([name, value]) => each[name as keyof Decision] === value)),
      );
    const resource = (name: string) => `arn:mesh:${name}:test.example:shop:port/443`;

    test.each(["-4", "-6"])("passes through to whom its server name means: %s", async (family) => {
      const { status, stdout } = await curl(family, "https://secure/");
      expect(status).toBe(0);
      expect(stdout).toContain("s_server");
      await latest({ decision: "allow", action: "secure:Connect", resource: resource("secure") });
    });

    test("is known by its address where it has no server name, and where its port is declared as TCP", async () => {
      const { v4, v6 } = mesh.service("secure");
      for (const url of [`https://${v4}/`, `https://[${v6}]/`, "https://secure:8443/"]) {
        const { status, stdout, stderr } = await curl("-k", url);
        expect([url, status, stderr]).toEqual([url, 0, ""]);
        expect(stdout).toContain("s_server");
      }
    });

    test.each([
      ["by its name", () => ["https://vault/"]],
      [
        "by its name, at an address that is another's",
        () => ["--connect-to", `vault:443:${mesh.service("secure").v4}:443`, "https://vault/"],
      ],
      ["by its address", () => [`https://${mesh.service("vault").v4}/`]],
    ])("is refused on its way to a service that may not be called, %s", async (_, args) => {
      const { status, stdout } = await curl("-k", ...args());
      // CURLE_SSL_CONNECT_ERROR: reset before there was a word of the server's.
      expect([status, stdout]).toEqual([35, ""]);
      await latest({ decision: "deny", reason: "no-allow", action: "vault:Connect", resource: resource("vault") });
    });
  });

  test.each(["caller", "server"])("the sidecar of %s has no privilege, and nowhere to write", async (name) => {
    const pid = mesh.workload(name).sidecarPid;
    const status = new Map(
      readFileSync(`/proc/${pid}/status`, "utf8")
        .split("\n")
        .map((line) => [line.split(":", 1)[0], line.slice(line.indexOf(":") + 1).trim()]),
    );
    expect(status.get("Uid")).toBe("1337\t1337\t1337\t1337");
    expect(status.get("Gid")).toBe("1337\t1337\t1337\t1337");
    expect(status.get("Groups")).toBe("");
    for (const set of ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"]) expect([set, status.get(set)]).toEqual([set, "0".repeat(16)]);
    expect(status.get("NoNewPrivs")).toBe("1");
    const mounts = readMounts(pid);
    expect(mounts.size).toBeGreaterThan(3);
    expect([...mounts].filter(([, options]) => !options.includes("ro"))).toEqual([]);
    const places = ["/tmp", "/run", "/var/tmp", mesh.folder];
    for (const place of places) {
      const touch = ["nsenter", `--target=${pid}`, "--mount", "touch", `${place}/written`];
      const { status: touched, stderr } = await mesh.workload(name).host.run(touch);
      expect([place, touched, stderr]).toEqual([place, 1, expect.stringContaining("Read-only file system")]);
    }
  });

  test("on the wire is TLS 1.3 and not a word of any of it", async () => {
    await must("redis-cli", "-h", "cache", "setrange", "large-in-clear", "1000000", "in-clear");
    expect(await must("redis-cli", "-h", "cache", "get", "large-in-clear")).toHaveLength(1_000_009);
    expect(await expectTlsOnly(mesh)).toBeGreaterThan(1_000_000);
  });
});

/**
 * By place, the options of what is mounted there: of several the last, which is what is seen (proc_pid_mountinfo(5)). Without the
 * namespaces that others give names to: those are no file systems.
 */
function readMounts(pid: number): ReadonlyMap<string, readonly string[]> {
  const lines = readFileSync(`/proc/${pid}/mountinfo`, "utf8").trimEnd().split("\n");
  const mounts = lines.filter((line) => !line.includes(" - nsfs ")).map((line) => line.split(" "));
  return new Map(mounts.map(([, , , , place = "", options = ""]) => [place, options.split(",")]));
}
