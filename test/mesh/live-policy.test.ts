/**
 * Calls that are under way for long, when what allows them changes: whoever may not go on is cut within a second, and told apart
 * from who may; and nobody else notices.
 */
import { once } from "node:events";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { signByHand } from "../../examples/shop/intruder.ts";
import { addressOf, call, firstAnswer, sendTls, tlsOptions, wireText } from "./clients.ts";
import { adminView, serviceLinkedRole, startMesh, until, type TestMesh } from "./harness.ts";
import { grpcStream, startApplications, tunnel, upgrade, upload, type Applications, type LongCall } from "./long-calls.ts";

const setting = "{ apiVersion: countersign.dev/v1, kind: Mesh, spec: { trustDomain: test.example } }";
const workload = (name: string, spec = "{}") =>
  `{ apiVersion: countersign.dev/v1, kind: Workload, metadata: { name: ${name}, namespace: shop }, spec: ${spec} }`;
const service = (name: string, spec: string) =>
  `{ apiVersion: countersign.dev/v1, kind: Service, metadata: { name: ${name}, namespace: shop }, spec: { ${spec} } }`;
const policy = (...statements: string[]) => `resourcePolicy: { Version: "2012-10-17", Statement: [${statements.join(", ")}] }`;
const deny = (name: string, principal = `"*"`) =>
  `{ Sid: Closed, Effect: Deny, Principal: ${principal}, Action: "${name}:*", Resource: "*" }`;
const spiffe = (name: string) => `{ SPIFFE: "spiffe://test.example/ns/shop/sa/${name}" }`;
const role = (more = "") => `
apiVersion: countersign.dev/v1
kind: Role
metadata: { name: bound, namespace: shop }
spec:
  trustPolicy:
    Version: "2012-10-17"
    Statement: [{ Effect: Allow, Principal: { SPIFFE: "spiffe://test.example/ns/shop/sa/bound" }, Action: "sts:AssumeRole" }]
  permissionPolicies:
    - Version: "2012-10-17"
      Statement: [{ Effect: Allow, Action: ["web:*", "stream:*", "pipe:*"], Resource: "*" }]
  ${more}
`;
const binding = (name: string) =>
  `{ apiVersion: countersign.dev/v1, kind: RoleBinding, metadata: { name: bound-${name}, namespace: shop }, spec: { workload: bound, service: ${name}, role: bound } }`;

/** What is called, by whom it is served, and how it can be called for long. */
const ports = {
  web: "ports: [{ port: 80 }]",
  stream: "ports: [{ port: 80, protocol: grpc }]",
  pipe: "ports: [{ port: 7000, protocol: tcp }]",
};
type Served = keyof typeof ports;
const kinds: readonly (readonly [string, Served, (outbound: string) => Promise<LongCall>])[] = [
  ["an upload and its answer", "web", (outbound) => upload(outbound, "web")],
  ["an upgrade", "web", (outbound) => upgrade(outbound, "web")],
  ["a TCP tunnel", "pipe", (outbound) => tunnel(outbound, "pipe:7000")],
  ["a gRPC stream", "stream", (outbound) => grpcStream(outbound, "stream")],
];
const callAll = "calls: [web, stream, pipe]";

interface Decision {
  readonly decision: string;
  readonly reason: string;
  readonly detail: string;
  readonly peer: string;
  readonly statement: { readonly sid: string } | undefined;
}

let mesh: TestMesh;
let applications: Applications;
const open = new Set<LongCall>();

beforeAll(async () => {
  applications = await startApplications();
  const names = Object.keys(ports) as Served[];
  mesh = await startMesh({
    yaml: [
      setting,
      ...["caller", "bound", "other", ...names].map((name) => workload(name)),
      ...["caller", "bound", "other"].map((name) => service(name, callAll)),
      ...names.map((name) => service(name, ports[name])),
      role(),
      ...names.map(binding),
    ].join("\n---\n"),
    workloads: {
      caller: {},
      bound: {},
      other: {},
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
afterEach(() => {
  for (const each of open) each.close();
  open.clear();
});

async function begin(start: (outbound: string) => Promise<LongCall>, by = "caller"): Promise<LongCall> {
  const begun = await start(mesh.sidecar(by).outbound);
  open.add(begun);
  await begun.pulse();
  return begun;
}
/** As soon as it can be called, after it could not. */
async function beginAgain(start: (outbound: string) => Promise<LongCall>, by = "caller"): Promise<void> {
  await until("it can be called again", async () => {
    (await begin(start, by)).close();
    return true;
  });
}
const latestDenial = async (receiver: string) =>
  (await adminView<Decision[]>(mesh.sidecar(receiver), "/decisions")).findLast(({ decision }) => decision === "deny");

/** How it ends after `change`, and that it does so within a second. */
async function endingAfter(change: () => Promise<void>, { ended }: LongCall): Promise<string> {
  const since = performance.now();
  await change();
  const how = await ended;
  expect(performance.now() - since).toBeLessThan(1000);
  return how;
}

describe.each(kinds)("%s", (_, name, start) => {
  const grpc = name === "stream";

  test("is cut by a policy that denies it, and the receiver has it in its decisions", async () => {
    const cut = await begin(start);
    const how = await endingAfter(() => mesh.apply(service(name, `${ports[name]}, ${policy(deny(name))}`)), cut);
    expect(how).toBe(grpc ? "PERMISSION_DENIED explicit-deny" : "cut");
    expect(await latestDenial(name)).toMatchObject({
      reason: "explicit-deny",
      detail: "while the call was under way",
      peer: "spiffe://test.example/ns/shop/sa/caller",
      statement: { sid: "Closed" },
    });
    await mesh.apply(service(name, ports[name]));
    await beginAgain(start);
  });

  test("is cut when its permission is taken back", async () => {
    const cut = await begin(start);
    const how = await endingAfter(() => mesh.apply(service("caller", "calls: []")), cut);
    expect(how).toBe(grpc ? "PERMISSION_DENIED no-allow" : "cut");
    expect(await latestDenial(name)).toMatchObject({ reason: "no-allow" });
    await mesh.apply(service("caller", callAll));
    await beginAgain(start);
  });

  test("is cut when the sessions of its role are revoked, and a new session is let in", async () => {
    const cut = await begin(start, "bound");
    // Whole seconds count: the next one is surely behind the session that there is.
    const from = Math.ceil((Date.now() + 1) / 1000) * 1000;
    const how = await endingAfter(() => mesh.apply(role(`revokeSessionsIssuedBefore: "${new Date(from).toISOString()}"`)), cut);
    expect(how).toBe(grpc ? "PERMISSION_DENIED session-revoked" : "cut");
    expect(await latestDenial(name)).toMatchObject({ reason: "session-revoked", peer: "spiffe://test.example/ns/shop/sa/bound" });
    await beginAgain(start, "bound");
  });

  test("is cut when its caller is quarantined", async () => {
    const cut = await begin(start, "other");
    const how = await endingAfter(() => mesh.apply(workload("other", "{ quarantine: true }")), cut);
    expect(how).toBe(grpc ? "UNAVAILABLE peer-failed" : "cut");
    const refused = mesh.sidecar(name).logs.findLast(({ msg }) => msg === "connection closed");
    expect(refused).toMatchObject({ reason: "revoked", peer: "spiffe://test.example/ns/shop/sa/other" });
    await mesh.apply(workload("other"));
    await beginAgain(start, "other");
  });

  test("is cut when whoever answers it is quarantined", async () => {
    const cut = await begin(start);
    const how = await endingAfter(() => mesh.apply(workload(name, "{ quarantine: true }")), cut);
    expect(how).toBe(grpc ? "UNAVAILABLE peer-failed" : "cut");
    await mesh.apply(workload(name));
    await beginAgain(start);
  });
});

describe("what may go on goes on", () => {
  test("through changes that still allow it, and those that do not concern it", async () => {
    const calls = await Promise.all(kinds.map(([, , start]) => begin(start)));
    const cut = await begin((outbound) => upload(outbound, "web"), "other");
    for (const name of Object.keys(ports) as Served[]) {
      // Of others; then of oneself, in other words than before.
      await mesh.apply(service(name, `${ports[name]}, ${policy(deny(name, spiffe("other")))}`));
    }
    expect(await cut.ended).toBe("cut");
    await mesh.apply(
      service(
        "caller",
        "calls: [{ service: web, actions: ['*'] }, { service: stream, actions: ['*'] }, { service: pipe, actions: [Connect] }]",
      ),
    );
    await mesh.apply(workload("newcomer"));
    await mesh.apply(service("newcomer", "ports: [{ port: 80 }], calls: [web]"));
    await mesh.apply(role("tags: { more: words }"));
    await mesh.apply(workload("other", "{ quarantine: true }"));
    await until("the last has come", async () => {
      const { reason } = await call(mesh.sidecar("other").outbound, { host: "web" });
      return reason !== "explicit-deny";
    });
    for (const each of calls) await each.pulse();
    const ended = await Promise.race([...calls.map(({ ended }) => ended), Promise.resolve("none")]);
    expect(ended).toBe("none");
    await mesh.apply(workload("other"));
    for (const name of Object.keys(ports) as Served[]) await mesh.apply(service(name, ports[name]));
    await mesh.apply(service("caller", callAll));
    for (const each of calls) await each.pulse();
  });

  test("through a flood of changes", async () => {
    const calls = await Promise.all(kinds.map(([, , start]) => begin(start)));
    for (let round = 0; round < 20; round++) {
      await mesh.apply(service("web", `${ports.web}, ${policy(deny("web", spiffe(`nobody-${round}`)))}`));
      for (const each of calls) await each.pulse();
    }
    expect(await Promise.race([...calls.map(({ ended }) => ended), Promise.resolve("none")])).toBe("none");
    await mesh.apply(service("web", ports.web));
  });
});

describe("a request that has come in part when a snapshot comes is decided under the new one", () => {
  const body = "all of it";

  /** Signed by hand, for a body that is hashed whole: nothing can be decided before its end. */
  async function beginRequest(by: string, roleArn: string): Promise<{ readonly socket: TLSSocket; readonly answer: () => string }> {
    const identity = await mesh.identityOf(by);
    const credentials = await mesh.sessionOf(identity, roleArn);
    const request = { method: "POST", host: "web", path: "/half", body };
    const signed = signByHand(request, { credentials, region: mesh.region, scopeService: "web.shop", date: Date.now() });
    const socket = connectTls({ ...addressOf(mesh.sidecar("web").inbound), ...tlsOptions(identity) });
    let text = "";
    socket.on("data", (chunk: Buffer) => (text += chunk.toString()));
    socket.on("error", () => undefined);
    const whole = wireText(signed);
    socket.write(whole.slice(0, whole.length - 4));
    await once(socket, "secureConnect");
    // Until the session is known there: by another request.
    await until("the session is known", async () => {
      const { headers } = signByHand(
        { ...request, method: "GET", body: "" },
        { credentials, region: mesh.region, scopeService: "web.shop", date: Date.now() },
      );
      const other = await sendTls(
        mesh.sidecar("web").inbound,
        tlsOptions(identity),
        wireText({ ...request, method: "GET", body: "", headers }),
      );
      return firstAnswer(other).status === 200;
    });
    return { socket, answer: () => text };
  }

  test("a policy of the service", async () => {
    const { socket, answer } = await beginRequest("caller", serviceLinkedRole("caller"));
    await mesh.apply(service("web", `${ports.web}, ${policy(deny("web"))}`));
    await until("it is in force", async () => (await call(mesh.sidecar("caller").outbound, { host: "web" })).reason === "explicit-deny");
    socket.write(body.slice(-4));
    await until("it is answered", () => answer().includes("\r\n\r\n"));
    expect(firstAnswer(answer())).toEqual({ status: 403, reason: "explicit-deny" });
    socket.destroy();
    await mesh.apply(service("web", ports.web));
    await until("it is open", async () => (await call(mesh.sidecar("caller").outbound, { host: "web" })).status === 200);
  });

  test("a revocation: refused at once", async () => {
    const { socket, answer } = await beginRequest("bound", "arn:mesh:iam:test.example:shop:role/bound");
    const from = Math.ceil((Date.now() + 1) / 1000) * 1000;
    await mesh.apply(role(`revokeSessionsIssuedBefore: "${new Date(from).toISOString()}"`));
    await until("it is answered", () => answer().includes("\r\n\r\n"));
    expect(firstAnswer(answer())).toEqual({ status: 403, reason: "session-revoked" });
    socket.destroy();
  });
});
