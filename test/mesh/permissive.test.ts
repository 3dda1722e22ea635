/**
 * Services on their way into the mesh: a permissive port takes plaintext beside mutual TLS, counts it and lists who still sends
 * it; audit enforcement lets pass what it would deny; tiers ask for more or less. By the inbound port itself, without interception.
 */
import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type RequestListener } from "node:http";
import {
  connect as connectHttp2,
  createServer as createHttp2Server,
  type ClientHttp2Session,
  type IncomingHttpHeaders as Http2Headers,
} from "node:http2";
import { connect, type Socket } from "node:net";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { AssumeRoleResponse } from "../../common/gen/mesh/v1/token.ts";
import { signByHand, type HandmadeRequest } from "../../examples/shop/intruder.ts";
import type { Identity } from "../../sidecar/tls/profile.ts";
import { addressOf, call, firstAnswer, sendPlain, sendTls, tlsOptions, wireText, type Call } from "./clients.ts";
import { adminView, listening, serviceLinkedRole, startMesh, until, type TestMesh } from "./harness.ts";

const setting = "{ apiVersion: countersign.dev/v1, kind: Mesh, spec: { trustDomain: test.example, auditSample: 1 } }";
const workload = (name: string) =>
  `{ apiVersion: countersign.dev/v1, kind: Workload, metadata: { name: ${name}, namespace: shop }, spec: {} }`;
const service = (name: string, spec: string) =>
  `{ apiVersion: countersign.dev/v1, kind: Service, metadata: { name: ${name}, namespace: shop }, spec: { ${spec} } }`;
/** Served by the same sidecar as `mixed`. */
const beside = (name: string, spec: string) => service(name, `identities: [{ serviceAccount: mixed }], ${spec}`);
const policy = (statement: string) => `resourcePolicy: { Version: "2012-10-17", Statement: [${statement}] }`;
const permissive = "ports: [{ port: 80, protocol: http, permissive: true }]";
const denyAll = policy(`{ Sid: Nobody, Effect: Deny, Principal: "*", Action: "denied:*", Resource: "*" }`);
const denyPlain = policy(
  `{ Effect: Deny, Principal: "*", Action: "encrypted:*", Resource: "*", Condition: { Bool: { "aws:SecureTransport": "false" } } }`,
);
const denySecret = policy(`{ Effect: Deny, Principal: "*", Action: "*", Resource: "arn:mesh:*:test.example:shop:/secret" }`);
const allowCaller = (name: string) =>
  policy(`{ Effect: Allow, Principal: { SPIFFE: "spiffe://test.example/ns/shop/sa/caller" }, Action: "${name}:GET", Resource: "*" }`);

interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders | Http2Headers;
}
interface PlaintextCaller {
  readonly address: string;
  readonly service: string;
  readonly port: number;
  readonly calls: number;
}
interface Decision {
  readonly decision: string;
  readonly reason: string;
  readonly service: string;
  readonly peer: string;
  readonly principal: string;
  readonly path: string;
}

let mesh: TestMesh;
let inbound: string;
let identity: Identity;
let session: AssumeRoleResponse;
const seen: Seen[] = [];
const answer: RequestListener = (_request, response) => void response.end("from the application");
let handler = answer;

const application = createServer((request, response) => {
  seen.push({ method: request.method ?? "", url: request.url ?? "", headers: request.headers });
  handler(request, response);
});
const http2Application = createHttp2Server((request, response) => {
  seen.push({ method: request.method, url: request.url, headers: request.headers });
  response.end("over h2");
});
const sessions = new Set<ClientHttp2Session>();

const mixed = (first: boolean, ports: readonly [number, number]) =>
  service(
    "mixed",
    `ports: [
      { port: 80, protocol: http, permissive: ${first} },
      { port: 81, protocol: http, targetPort: ${ports[0]} },
      { port: 82, protocol: h2, targetPort: ${ports[1]}, permissive: true },
      { port: 83, targetPort: ${ports[0]}, permissive: true },
      { port: 84, targetPort: ${ports[1]}, permissive: true },
    ]`,
  );
let targetPorts: readonly [number, number];

beforeAll(async () => {
  targetPorts = [await listening(application), await listening(http2Application)];
  mesh = await startMesh({
    yaml: [
      setting,
      ...["caller", "mixed", "closed"].map(workload),
      service("caller", "calls: [mixed, closed, denied, encrypted, audited, critical]"),
      mixed(true, targetPorts),
      service("closed", "ports: [{ port: 80 }]"),
      beside("denied", `${permissive}, ${denyAll}`),
      beside("encrypted", `${permissive}, ${denyPlain}`),
      beside("partly", `ports: [{ port: 80, permissive: true }], ${denySecret}`),
      beside("strict", `${permissive}, operationsMode: strict, operations: { GetItem: "GET /items/{id}" }`),
      beside("audited", `${permissive}, enforcement: audit`),
      beside("basic", `${permissive}, tier: basic, ${allowCaller("basic")}`),
      beside("critical", `${permissive}, tier: critical`),
    ].join("\n---\n"),
    workloads: { caller: {}, mixed: { application }, closed: { application } },
  });
  ({ inbound } = mesh.sidecar("mixed"));
  identity = await mesh.identityOf("caller");
  session = await mesh.sessionOf(identity, serviceLinkedRole("caller"));
});
afterAll(async () => {
  for (const each of sessions) each.destroy();
  await mesh?.stop();
  http2Application.close();
});
beforeEach(() => {
  handler = answer;
  seen.length = 0;
});

/** Resolves when it is closed, cleanly or not. */
async function ending(socket: Socket): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  socket.on("error", () => undefined);
  socket.once("close", () => resolve());
  await promise;
}

/** By somebody who knows nothing of the mesh. */
const plain = (host: string, options: Omit<Call, "host"> = {}) => call(inbound, { host, ...options });
const outcome = async (host: string, options: Omit<Call, "host"> = {}) => {
  const { status, reason } = await plain(host, options);
  return `${status} ${reason}`.trim();
};

/** By the workload itself over mutual TLS, with or without a signature. */
async function secured(host: string, headers: Readonly<Record<string, string>> = {}, path = "/"): Promise<string> {
  const request: HandmadeRequest = { method: "GET", host, path, body: "", headers };
  const { status, reason } = firstAnswer(await sendTls(inbound, tlsOptions(identity), wireText(request)));
  return `${status} ${reason}`.trim();
}
function signature(host: string, scopeService = `${host.split(":")[0]}.shop`, path = "/"): Readonly<Record<string, string>> {
  return signByHand({ method: "GET", host, path, body: "" }, { credentials: session, region: mesh.region, scopeService, date: Date.now() })
    .headers;
}

async function overHttp2(host: string, headers: Readonly<Record<string, string>> = {}): Promise<string> {
  const client = connectHttp2(`http://${inbound}`);
  sessions.add(client);
  const stream = client.request({ ":path": "/", ":authority": host, ...headers });
  const [head] = (await once(stream, "response")) as [Record<string, string | number | undefined>];
  stream.resume();
  client.close();
  return `${head[":status"]} ${head["x-countersign-reason"] ?? ""}`.trim();
}

const callers = () => adminView<PlaintextCaller[]>(mesh.sidecar("mixed"), "/plaintext");
const decisions = () => adminView<Decision[]>(mesh.sidecar("mixed"), "/decisions");
async function metric(name: string, sidecar = "mixed"): Promise<number> {
  const text = await (await fetch(`http://${mesh.sidecar(sidecar).metrics}/metrics`)).text();
  const line = text.split("\n").find((each) => each.startsWith(name));
  return Number(line?.slice(line.lastIndexOf(" ")) ?? 0);
}

const forged = {
  "x-countersign-principal": "arn:mesh:sts:test.example:shop:assumed-role/admin/x",
  "x-countersign-peer": "spiffe://test.example/ns/shop/sa/admin",
  "x-countersign-anything": "1",
  "x-forwarded-client-cert": "By=spiffe://test.example/ns/shop/sa/mixed;URI=spiffe://test.example/ns/shop/sa/admin",
};
const ofIdentity = (headers: object) => Object.keys(headers).filter((name) => /countersign|forwarded-client-cert/.test(name));

describe("plaintext at a permissive port", () => {
  test("HTTP/1.1 passes as it is, without an identity, whatever it says of one", async () => {
    const { status, body, headers } = await plain("mixed", {
      method: "POST",
      path: "/a?b=1",
      headers: { ...forged, authorization: "Bearer of-the-application", "x-question": "why" },
      body: "thing",
    });
    expect([status, body.toString()]).toEqual([200, "from the application"]);
    expect(ofIdentity(headers)).toEqual([]);
    expect(seen).toHaveLength(1);
    expect(seen[0]).toMatchObject({
      method: "POST",
      url: "/a?b=1",
      headers: { host: "mixed", authorization: "Bearer of-the-application", "x-question": "why", "content-length": "5" },
    });
    expect(ofIdentity(seen[0]?.headers ?? {})).toEqual([]);
  });

  test("HTTP/2 with prior knowledge, to an application that speaks it", async () => {
    expect(await overHttp2("mixed:82", forged)).toBe("200");
    expect(ofIdentity(seen[0]?.headers ?? {})).toEqual([]);
  });

  test("where a port declares nothing the application is spoken to as the client spoke, whatever it claims", async () => {
    expect(await overHttp2("mixed:84")).toBe("200");
    expect(await outcome("mixed:83", { headers: { "x-countersign-protocol": "h2" } })).toBe("200");
  });

  test("an upgrade passes", async () => {
    handler = () => undefined;
    application.once("upgrade", (_request: IncomingMessage, socket: Socket) => {
      socket.write("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: chat\r\n\r\nhello");
      socket.pipe(socket);
    });
    const client = connect(addressOf(inbound));
    client.write("GET / HTTP/1.1\r\nhost: mixed\r\nconnection: upgrade\r\nupgrade: chat\r\n\r\n");
    let text = "";
    client.on("data", (chunk: Buffer) => (text += chunk.toString()));
    await until("it greets", () => text.endsWith("hello"));
    client.write(" echo");
    await until("it answers", () => text.endsWith("hello echo"));
    client.destroy();
    application.removeAllListeners("upgrade");
    expect(text).toMatch(/^HTTP\/1\.1 101 /);
  });

  test("is counted, and its callers are listed", async () => {
    const name = 'countersign_inbound_plaintext_total{service="mixed.shop",port="80"}';
    const listed = async () => (await callers()).find((each) => each.service === "mixed.shop" && each.port === 80)?.calls ?? 0;
    const before = [await metric(name), await listed()];
    for (let round = 0; round < 3; round++) await plain("mixed");
    await secured("mixed", signature("mixed"));
    expect([await metric(name), await listed()]).toEqual(before.map((value) => value + 3));
    expect((await callers()).every(({ address }) => address === "127.0.0.1")).toBe(true);
    const record = (await decisions()).findLast((each) => each.service === "mixed.shop" && each.peer === "");
    expect(record).toMatchObject({ decision: "would-deny", reason: "no-allow", principal: "" });
  });

  test("a refusal is no secret: status, reason and decision, as in the mesh", async () => {
    const { status, reason, headers } = await plain("mixed:81");
    expect({ status, reason }).toEqual({ status: 403, reason: "plaintext-refused" });
    const [record] = await adminView<Decision[]>(mesh.sidecar("mixed"), `/decisions?id=${String(headers["x-countersign-decision"])}`).then(
      (found) => [found].flat(),
    );
    expect(record).toMatchObject({ decision: "deny", reason: "plaintext-refused", service: "mixed.shop" });
  });

  test("what is addressed to nobody here, or twice, is refused", async () => {
    expect(await outcome("elsewhere")).toBe("421 wrong-destination");
    expect(await outcome("mixed:99")).toBe("421 wrong-destination");
    expect(firstAnswer(await sendPlain(inbound, "GET / HTTP/1.1\r\nhost: mixed\r\nhost: closed\r\n\r\n")).status).toBe(400);
    expect(seen).toEqual([]);
  });
});

describe("what plaintext does not open", () => {
  test("a port of the same sidecar that is not permissive, named in any way", async () => {
    expect(await outcome("mixed:81")).toBe("403 plaintext-refused");
    expect(await outcome("mixed", { headers: { "x-countersign-destination": "mixed.shop:81" } })).toBe("403 plaintext-refused");
    expect(await overHttp2("mixed:81")).toBe("403 plaintext-refused");
    expect(seen).toEqual([]);
  });

  test("a sidecar without such a port: closed and counted, as if there were none anywhere", async () => {
    const name = 'countersign_inbound_connections_refused_total{reason="plaintext"}';
    const before = await metric(name, "closed");
    expect(await sendPlain(mesh.sidecar("closed").inbound, "GET / HTTP/1.1\r\nhost: closed\r\n\r\n")).not.toContain("HTTP");
    await until("it is counted", async () => (await metric(name, "closed")) === before + 1);
    expect(seen).toEqual([]);
  });

  test("what a policy denies to everybody, or to plaintext", async () => {
    expect(await outcome("denied")).toBe("403 explicit-deny");
    expect(await outcome("encrypted")).toBe("403 explicit-deny");
    expect(await overHttp2("encrypted")).toBe("403 explicit-deny");
    expect(await secured("encrypted", signature("encrypted"))).toBe("200");
    expect(await outcome("partly", { path: "/public" })).toBe("200");
    expect(await outcome("partly", { path: "//secret" })).toBe("403 explicit-deny");
  });

  test("nor by a tunnel, in which nobody would look", async () => {
    for (const host of ["mixed:80", "partly:80", "mixed:83"]) {
      const text = await sendPlain(
        inbound,
        `CONNECT ${host} HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\n\r\nGET /secret HTTP/1.1\r\nhost: partly\r\n\r\n`,
      );
      expect([host, firstAnswer(text)]).toEqual([host, { status: 403, reason: "plaintext-refused" }]);
    }
    expect(seen).toEqual([]);
  });

  test("what a strict service does not declare", async () => {
    expect(await outcome("strict", { path: "/items/7" })).toBe("200");
    expect(await outcome("strict", { path: "/admin" })).toBe("403 undeclared-operation");
  });

  test.concurrent.each([
    ["nothing", ""],
    ["half a ClientHello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"],
    ["half a preface", "PRI * HT"],
    ["half a request line", "GET /slo"],
  ])("a connection that says %s for ten seconds is closed", async (_, bytes) => {
    const socket = connect(addressOf(inbound));
    const end = ending(socket);
    if (bytes !== "") socket.write(Buffer.from(bytes, "latin1"));
    socket.resume();
    await end;
    expect(socket.destroyed).toBe(true);
  });
});

describe("signatures in plaintext", () => {
  test("an Authorization of the mesh's is not believed, and its token is not passed on", async () => {
    const headers = signature("mixed");
    expect(await outcome("mixed", { headers })).toBe("200");
    expect(JSON.stringify(seen)).not.toContain(session.sessionToken);
    expect(Object.keys(seen[0]?.headers ?? {}).filter((name) => /^authorization|^x-amz-|countersign/.test(name))).toEqual([]);
    const record = (await decisions()).findLast((each) => each.service === "mixed.shop");
    expect(record).toMatchObject({ principal: "", peer: "" });
    // Nor does it open what plaintext does not.
    expect(await outcome("mixed:81", { headers: signature("mixed:81", "mixed.shop") })).toBe("403 plaintext-refused");
  });

  test("nor is a presigned URL", async () => {
    const query = [
      "X-Amz-Algorithm=AWS4-HMAC-SHA256",
      `X-Amz-Credential=${encodeURIComponent(`${session.accessKeyId}/20260101/${mesh.region}/mixed.shop/aws4_request`)}`,
      "X-Amz-Date=20260101T000000Z",
      "X-Amz-Expires=600",
      "X-Amz-SignedHeaders=host",
      `X-Amz-Security-Token=${encodeURIComponent(session.sessionToken)}`,
      `X-Amz-Signature=${"0".repeat(64)}`,
    ];
    expect(await outcome("mixed", { path: `/a?first=1&${query.join("&")}&last=%20` })).toBe("200");
    expect(seen[0]?.url).toBe("/a?first=1&last=%20");
  });

  test("AWS credentials of the application's own are its own affair", async () => {
    const authorization =
      "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=00";
    const headers = { authorization, "x-amz-date": "20260101T000000Z", "x-amz-security-token": "theirs" };
    const path = "/?X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20260101&X-Amz-Signature=00";
    expect(await outcome("mixed", { path, headers })).toBe("200");
    expect(seen[0]).toMatchObject({ url: path, headers });
  });
});

describe("mutual TLS beside it, on the same port", () => {
  test("the mesh's own calls have their identity, and are decided as ever", async () => {
    expect((await call(mesh.sidecar("caller").outbound, { host: "mixed" })).status).toBe(200);
    expect(seen[0]?.headers).toMatchObject({ "x-countersign-peer": "spiffe://test.example/ns/shop/sa/caller" });
    expect(await secured("mixed", signature("mixed"))).toBe("200");
  });

  test("who comes by TLS is held to it: without a signature, or an Allow, there is nothing permissive", async () => {
    expect(await secured("mixed")).toBe("401 missing-signature");
    expect(await secured("strict", signature("strict", "strict.shop", "/items/7"), "/items/7")).toBe("403 no-allow");
    expect(seen).toEqual([]);
  });
});

describe("audit", () => {
  test("what would be denied passes, and is recorded as such", async () => {
    expect(await outcome("audited")).toBe("200");
    expect(await secured("audited", signature("audited"))).toBe("200");
    const stranger = await mesh.identityOf("closed");
    const strangers = await mesh.sessionOf(stranger, serviceLinkedRole("closed"));
    const { headers } = signByHand(
      { method: "GET", host: "audited", path: "/", body: "" },
      { credentials: strangers, region: mesh.region, scopeService: "audited.shop", date: Date.now() },
    );
    const request = wireText({ method: "GET", host: "audited", path: "/", body: "", headers });
    expect(firstAnswer(await sendTls(inbound, tlsOptions(stranger), request)).status).toBe(200);
    expect(seen).toHaveLength(3);
    const ofAudited = (await decisions()).filter((each) => each.service === "audited.shop");
    expect(ofAudited.map(({ decision, reason, peer }) => [decision, reason, peer.split("/").at(-1)])).toEqual([
      ["would-deny", "no-allow", ""],
      ["allow", "identity-policy", "caller"],
      ["would-deny", "no-allow", "closed"],
    ]);
    // Who somebody is has to hold all the same.
    expect(await secured("audited")).toBe("401 missing-signature");
    expect(await secured("audited", { ...signature("audited"), "x-amz-date": "20200101T000000Z" })).toMatch(/^403 /);
  });
});

describe("tiers", () => {
  test("basic: the mTLS identity decides without a signature, by the service's own policy", async () => {
    expect(await secured("basic")).toBe("200");
    expect(seen[0]?.headers).toMatchObject({ "x-countersign-peer": "spiffe://test.example/ns/shop/sa/caller" });
    expect(seen[0]?.headers).not.toHaveProperty("x-countersign-principal");
    const stranger = await mesh.identityOf("closed");
    const request = wireText({ method: "GET", host: "basic", path: "/", body: "", headers: {} });
    expect(firstAnswer(await sendTls(inbound, tlsOptions(stranger), request))).toEqual({ status: 403, reason: "no-allow" });
    // A signature that is there has to hold.
    expect(await secured("basic", { ...signature("basic"), "x-amz-date": "20200101T000000Z" })).toMatch(/^403 /);
    expect(await outcome("basic")).toBe("200");
  });

  test("critical: signed, with its body, once; every call is recorded", async () => {
    expect(await secured("critical")).toBe("401 missing-signature");
    const headers = signature("critical");
    expect(await secured("critical", headers)).toBe("200");
    expect(await secured("critical", headers)).toBe("403 replayed");
    const unsigned = signByHand(
      { method: "GET", host: "critical", path: "/", body: "" },
      {
        credentials: session,
        region: mesh.region,
        scopeService: "critical.shop",
        date: Date.now(),
        headers: { "x-amz-content-sha256": "UNSIGNED-PAYLOAD" },
      },
    );
    expect(await secured("critical", unsigned.headers)).toBe("403 unsigned-payload");
  });
});

test("a port that stops being permissive cuts the plaintext that is under way, and takes no more on open connections", async () => {
  handler = (_request, response) => void response.write("and so on");
  const cut = connect(addressOf(inbound));
  cut.write("GET /long HTTP/1.1\r\nhost: mixed\r\n\r\n");
  await once(cut, "data");
  const kept = connect(addressOf(inbound));
  handler = answer;
  kept.write("GET / HTTP/1.1\r\nhost: mixed\r\n\r\n");
  await once(kept, "data");

  const closed = ending(cut);
  const since = performance.now();
  await mesh.apply(mixed(false, targetPorts));
  await closed;
  expect(performance.now() - since).toBeLessThan(1000);
  const record = (await decisions()).findLast(({ path }) => path === "/long");
  expect(record).toMatchObject({ decision: "deny", reason: "plaintext-refused" });
  let text = "";
  kept.on("data", (chunk: Buffer) => (text += chunk.toString()));
  kept.write("GET / HTTP/1.1\r\nhost: mixed\r\nconnection: close\r\n\r\n");
  await once(kept, "close");
  expect(firstAnswer(text)).toEqual({ status: 403, reason: "plaintext-refused" });
  expect(await secured("mixed", signature("mixed"))).toBe("200");
});
