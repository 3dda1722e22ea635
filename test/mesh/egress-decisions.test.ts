/**
 * Which calls may leave the mesh, decided by the caller's sidecar before a byte leaves; and what becomes of those under way when
 * that changes.
 */
import { once } from "node:events";
import { createServer } from "node:http";
import { createServer as createHttp2Server, connect as connectHttp2, type ServerHttp2Stream } from "node:http2";
import { connect, type Socket } from "node:net";
import { networkInterfaces } from "node:os";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { addressOf, call } from "./clients.ts";
import { adminView, startMesh, until, type TestMesh } from "./harness.ts";
import { connectThrough, proxied, readSide, startOutside, type Outside, type Tunnel } from "./outside.ts";

const setting = (egress: string) =>
  `{ apiVersion: countersign.dev/v1, kind: Mesh, spec: { trustDomain: test.example, auditSample: 1, egress: ${egress} } }`;
const workload = (name: string) =>
  `{ apiVersion: countersign.dev/v1, kind: Workload, metadata: { name: ${name}, namespace: shop }, spec: {} }`;
const service = (name: string, spec: string) =>
  `{ apiVersion: countersign.dev/v1, kind: Service, metadata: { name: ${name}, namespace: shop }, spec: { ${spec} } }`;
const binding =
  "{ apiVersion: countersign.dev/v1, kind: RoleBinding, metadata: { name: bound, namespace: shop }, spec: { workload: caller, service: target, role: bound } }";
/** What the caller's other role says of `host`. */
const role = (effect: "Allow" | "Deny", host: string) => `
apiVersion: countersign.dev/v1
kind: Role
metadata: { name: bound, namespace: shop }
spec:
  trustPolicy:
    Version: "2012-10-17"
    Statement: [{ Effect: Allow, Principal: { SPIFFE: "spiffe://test.example/ns/shop/sa/caller" }, Action: "sts:AssumeRole" }]
  permissionPolicies:
    - Version: "2012-10-17"
      Statement: [{ Sid: Said, Effect: ${effect}, Action: "external:Connect", Resource: "arn:mesh:external:test.example:shop:${host}" }]
`;
const external = (name: string, host: string, port: number, protocol: string, more = "addresses: [127.0.0.1]") => `
{ apiVersion: countersign.dev/v1, kind: ExternalService, metadata: { name: ${name}, namespace: shop },
  spec: { hosts: ["${host}"], ports: [{ port: ${port}, protocol: ${protocol} }], ${more} } }
`;
const nothing = role("Deny", "nobody.example");
const required = `addresses: [127.0.0.1], policy: required`;

let mesh: TestMesh;
let outbound: string;
let outside: Outside;
let http2: Outside;
const sockets = new Set<Socket>();
const closing: { close(): void }[] = [];

const apply = async (...resources: string[]) => mesh.apply(resources.join("\n---\n"));
const get = (host: string, port = outside.port, path = "/") => proxied(outbound, `http://${host}:${port}${path}`);
/** Status and reason, as one text. */
const outcome = async (host: string, port = outside.port) => {
  const { status, reason } = await get(host, port);
  return `${status} ${reason}`.trim();
};
async function tunnel(host: string, port = outside.port): Promise<Tunnel> {
  const opened = await connectThrough(connect({ ...addressOf(outbound), allowHalfOpen: true }), `${host}:${port}`);
  sockets.add(opened.socket);
  return opened;
}
const tunnelOutcome = async (host: string, port = outside.port) => {
  const { head } = await tunnel(host, port);
  return `${/^HTTP\/1\.1 (\d+)/.exec(head)?.[1]} ${/^x-countersign-reason: (\S+)/im.exec(head)?.[1] ?? ""}`.trim();
};
async function decisions(): Promise<Map<string, number>> {
  const lines = (await (await fetch(`http://${mesh.sidecar("caller").metrics}/metrics`)).text()).split("\n");
  const found = new Map<string, number>();
  for (const line of lines) {
    const [, host, result, value] = /^countersign_egress_decisions_total\{host="(.*)",outcome="(.*)"\} (\d+)$/.exec(line) ?? [];
    if (host !== undefined) found.set(`${host} ${result}`, Number(value));
  }
  return found;
}

beforeAll(async () => {
  const server = createServer((request, response) => {
    response.write(`hello ${request.url}`);
    // The rest follows when the test says so, if ever.
    if (request.url !== "/long") response.end();
  });
  closing.push({ close: () => server.closeAllConnections() });
  const http2Server = createHttp2Server();
  http2Server.on("stream", (stream: ServerHttp2Stream) => {
    stream.respond({ ":status": 200 });
    stream.end("over h2");
  });
  outside = await startOutside(server);
  http2 = await startOutside(http2Server);
  closing.push(outside, http2);
  mesh = await startMesh({
    yaml: [
      setting("declared"),
      workload("caller"),
      workload("target"),
      service("caller", "calls: [target, { external: mine.example }]"),
      service("target", "ports: [{ port: 80 }]"),
      nothing,
      binding,
      external("plain", "plain.example", outside.port, "http"),
      external("wild", "*.wild.example", outside.port, "http"),
      external("grpc", "grpc.example", http2.port, "grpc"),
      external("raw", "raw.example", outside.port, "tcp"),
      external("secure", "secure.example", outside.port, "tls"),
      external("mine", "mine.example", outside.port, "tcp", required),
      external("theirs", "theirs.example", outside.port, "http", required),
      external("local", "localhost", outside.port, "http"),
    ].join("\n---\n"),
    workloads: { caller: {} },
  });
  ({ outbound } = mesh.sidecar("caller"));
});
afterAll(async () => {
  await mesh?.stop();
  for (const each of closing) each.close();
});
afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  sockets.clear();
  await apply(setting("declared"), nothing, external("plain", "plain.example", outside.port, "http"));
  const before = [
    ["plain.example", "200"],
    ["raw.example", "200"],
    ["theirs.example", "403 no-allow"],
    ["evil.example", "403 egress-undeclared"],
  ] as const;
  for (const [host, expected] of before) await until(`${host} is as before`, async () => (await outcome(host)) === expected);
});

describe("declared", () => {
  test("what is listed may leave", async () => {
    expect(await outcome("plain.example")).toBe("200");
    expect(await outcome("PLAIN.example.")).toBe("200");
    expect(await outcome("localhost")).toBe("200");
    expect(await tunnelOutcome("raw.example")).toBe("200");
    expect(await tunnelOutcome("secure.example")).toBe("200");
  });

  test("what is not is refused with its reason, and the host never hears of it", async () => {
    const before = outside.connections();
    // By a name, by the address itself, and on another port.
    expect(await outcome("evil.example")).toBe("403 egress-undeclared");
    expect(await outcome("127.0.0.1")).toBe("403 egress-undeclared");
    expect(await outcome("plain.example", outside.port + 1)).toBe("403 egress-undeclared");
    expect(await tunnelOutcome("evil.example")).toBe("403 egress-undeclared");
    const answer = await call(outbound, { host: "evil.example", method: "POST", body: "secrets" });
    expect(answer).toMatchObject({ status: 403, reason: "egress-undeclared" });
    expect(outside.connections()).toBe(before);
    const { status, reason, destination } = (await adminView<Record<string, unknown>[]>(mesh.sidecar("caller"), "/calls")).at(-1) ?? {};
    expect({ status, reason, destination }).toEqual({ status: 403, reason: "egress-undeclared", destination: "evil.example" });
  });

  test("what is spoken has to be what is declared", async () => {
    const before = [outside.connections(), http2.connections()];
    expect(await outcome("grpc.example", http2.port)).toBe("403 egress-undeclared");
    expect(await outcome("secure.example")).toBe("403 egress-undeclared");
    // A tunnel is no HTTP that anybody could look at.
    expect(await tunnelOutcome("plain.example")).toBe("403 egress-undeclared");
    expect([outside.connections(), http2.connections()]).toEqual(before);
  });

  test("over HTTP/2 the same, a stream at a time", async () => {
    const session = connectHttp2(`http://${outbound}`);
    const ask = async (authority: string) => {
      const stream = session.request({ ":path": "/", ":authority": authority });
      const [head] = (await once(stream, "response")) as [Record<string, unknown>];
      stream.resume();
      return [head[":status"], head["x-countersign-reason"]];
    };
    expect(await ask(`evil.example:${http2.port}`)).toEqual([403, "egress-undeclared"]);
    expect(await ask(`grpc.example:${http2.port}`)).toEqual([200, undefined]);
    session.close();
  });

  test("a wildcard stands for one label", async () => {
    expect(await outcome("a.wild.example")).toBe("200");
    expect(await outcome("a.b.wild.example")).toBe("403 egress-undeclared");
    expect(await outcome("wild.example")).toBe("403 egress-undeclared");
    expect(await outcome("awild.example")).toBe("403 egress-undeclared");
  });

  test("a name that looks like a service's is a mistake in one", async () => {
    expect(await outcome("targett")).toBe("502 unknown-destination");
    expect(await tunnelOutcome("targett")).toBe("502 unknown-destination");
    expect(await outcome("[fd00::9]")).toBe("403 egress-undeclared");
  });

  test("a host that is listed and cannot be found is 502", async () => {
    await apply(external("lost", "nowhere.invalid", outside.port, "http", ""));
    await until("it is listed", async () => (await outcome("nowhere.invalid")) !== "403 egress-undeclared");
    expect(await outcome("nowhere.invalid")).toBe("502 egress-unresolved");
  });

  test("to list a network is not to list what is forbidden within it", async () => {
    await apply(external("self", "localhost", http2.port, "grpc", "addresses: [0.0.0.0/0]"));
    const before = http2.connections();
    const session = connectHttp2(`http://${outbound}`);
    const ask = async () => {
      const stream = session.request({ ":path": "/", ":authority": `localhost:${http2.port}` });
      const [head] = (await once(stream, "response")) as [Record<string, unknown>];
      stream.resume();
      return head["x-countersign-reason"];
    };
    await until("it is listed", async () => (await ask()) === "egress-forbidden-address");
    expect(http2.connections()).toBe(before);
    session.close();
  });
});

describe("allow", () => {
  const own = Object.values(networkInterfaces())
    .flat()
    .find((each) => each?.internal === false && each.family === "IPv4")?.address;

  const opened = async () => {
    await apply(setting("allow"));
    await until("the mesh is open", async () => (await outcome("169.254.169.254", 80)) === "403 egress-forbidden-address");
  };

  test.skipIf(own === undefined)("anything may leave, and is counted as other", async () => {
    const server = createServer((_request, response) => response.end("from anywhere"));
    const anywhere = await startOutside(server, own ?? "");
    closing.push(anywhere, { close: () => server.closeAllConnections() });
    expect(await outcome(own ?? "", anywhere.port)).toBe("403 egress-undeclared");
    await opened();
    const before = (await decisions()).get("other allowed") ?? 0;
    expect(await outcome(own ?? "", anywhere.port)).toBe("200");
    expect(await tunnelOutcome(own ?? "", anywhere.port)).toBe("200");
    expect((await decisions()).get("other allowed")).toBe(before + 2);
  });

  test("but not to this machine, nor to what gives away credentials", async () => {
    await opened();
    const before = outside.connections();
    const places = ["127.0.0.1", "127.0.0.9", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "0.0.0.0", "[::]", "169.254.170.2"];
    for (const place of [...places, "[fe80::1]", "[fd00:ec2::254]", "100.100.100.200", "metadata.google.internal", "224.0.0.1"]) {
      expect([place, await outcome(place)]).toEqual([place, "403 egress-forbidden-address"]);
      expect([place, await tunnelOutcome(place)]).toEqual([place, "403 egress-forbidden-address"]);
    }
    // What the resolver of this machine takes for 127.0.0.1.
    for (const place of ["2130706433", "0x7f000001", "127.1", "0177.0.0.1"]) {
      expect([place, await outcome(place)]).toEqual([
        place,
        expect.stringMatching(/^(403 egress-forbidden-address|502 egress-unresolved)$/),
      ]);
    }
    expect(outside.connections()).toBe(before);
  });
});

describe("policies", () => {
  test("a Deny goes before a listing, and its end lets calls in again", async () => {
    expect(await outcome("plain.example")).toBe("200");
    await apply(role("Deny", "plain.example"));
    await until("it is denied", async () => (await outcome("plain.example")) === "403 explicit-deny");
    expect(await outcome("raw.example")).toBe("200");
    await apply(role("Deny", "*.example"));
    await until("all are denied", async () => (await outcome("raw.example")) === "403 explicit-deny");
    await apply(nothing);
    await until("it is allowed", async () => (await outcome("plain.example")) === "200");
  });

  test("a Deny of the address holds for its names", async () => {
    await apply(role("Deny", "127.0.0.1"));
    await until("it is denied", async () => (await outcome("plain.example")) !== "200");
    expect(await outcome("plain.example")).toBe("403 explicit-deny");
    expect(await tunnelOutcome("raw.example")).toBe("403 explicit-deny");
  });

  test("policy: required asks for an Allow, of a declared call or of any role", async () => {
    expect(await outcome("mine.example")).toBe("200");
    expect(await outcome("theirs.example")).toBe("403 no-allow");
    await apply(role("Allow", "theirs.example"));
    await until("it is allowed", async () => (await outcome("theirs.example")) === "200");
  });

  test("decisions are counted by the host that is listed, and what an application makes up is other", async () => {
    const before = await decisions();
    await outcome("a.wild.example");
    await outcome("b.wild.example");
    await outcome("theirs.example");
    for (let index = 0; index < 20; index++) await outcome(`made-up-${index}.example`);
    const after = await decisions();
    const rise = (key: string) => (after.get(key) ?? 0) - (before.get(key) ?? 0);
    expect(rise("*.wild.example allowed")).toBe(2);
    expect(rise("theirs.example no-allow")).toBe(1);
    expect(rise("other egress-undeclared")).toBe(20);
    const metrics = await (await fetch(`http://${mesh.sidecar("caller").metrics}/metrics`)).text();
    expect(metrics).not.toContain("made-up");
    expect(metrics).toMatch(/^countersign_outbound_requests_total\{destination="external",status="200"\} \d+$/m);
  });
});

describe("what is under way when the rules change", () => {
  /** How a call ends: cut, and when. */
  async function ending(socket: Socket): Promise<{ error: string | undefined; ms: number }> {
    const since = performance.now();
    const { promise, resolve } = Promise.withResolvers<string | undefined>();
    let code: string | undefined;
    socket.on("error", (error: NodeJS.ErrnoException) => (code = error.code));
    socket.once("close", () => resolve(code));
    socket.resume();
    return { error: await promise, ms: performance.now() - since };
  }

  test.each([
    ["a Deny", () => apply(role("Deny", "raw.example"))],
    ["another port", () => apply(external("raw", "raw.example", outside.port + 1, "tcp"))],
    ["other addresses", () => apply(external("raw", "raw.example", outside.port, "tcp", "addresses: [127.0.0.7]"))],
    ["a policy that is required", () => apply(external("raw", "raw.example", outside.port, "tcp", required))],
    ["another protocol", () => apply(external("raw", "raw.example", outside.port, "h2"))],
  ])("%s cuts an open tunnel within a second, and no other", async (_, change) => {
    const cut = await tunnel("raw.example");
    const other = await tunnel("secure.example");
    cut.socket.write("GET /long HTTP/1.1\r\nhost: raw.example\r\n\r\n");
    await once(cut.socket, "data");
    const end = ending(cut.socket);
    await change();
    const { error, ms } = await end;
    expect(error).toBe("ECONNRESET");
    expect(ms).toBeLessThan(1000);
    expect(other.socket.destroyed).toBe(false);
    await apply(nothing, external("raw", "raw.example", outside.port, "tcp"));
    await until("a new one is let in", async () => (await tunnelOutcome("raw.example")) === "200");
  });

  test("an answer that is on its way is cut, and seen to be", async () => {
    const answer = Promise.allSettled([call(outbound, { host: `plain.example:${outside.port}`, path: "/long" })]);
    await until("it is under way", () => outside.received().includes("GET /long"));
    await apply(role("Deny", "plain.example"));
    expect(await answer).toMatchObject([{ status: "rejected", reason: { code: "ECONNRESET" } }]);
    const record = (await adminView<{ reason: string; destination: string }[]>(mesh.sidecar("caller"), "/calls")).findLast(
      ({ reason }) => reason === "explicit-deny",
    );
    expect(record?.destination).toContain("plain.example");
  });

  test("changes that still allow it leave it alone", async () => {
    const kept = await tunnel("raw.example");
    await apply(external("raw", "raw.example", outside.port, "tcp", "addresses: [127.0.0.1, 127.0.0.8]"));
    await apply(role("Deny", "plain.example"));
    await until("they have come", async () => (await outcome("plain.example")) === "403 explicit-deny");
    kept.socket.end("GET /still-here HTTP/1.1\r\nhost: raw.example\r\nconnection: close\r\n\r\n");
    expect(await readSide(kept.socket)).toContain("hello /still-here");
  });
});
