/** Signatures in the query at the real inbound port: who takes them, for how long, from whom, and what the application sees. */
import { createSecretKey, hash } from "node:crypto";
import { createServer } from "node:http";
import { buffer } from "node:stream/consumers";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { AssumeRoleResponse } from "../../common/gen/mesh/v1/token.ts";
import { createField } from "../../common/http/field.ts";
import { formatAmzDate } from "../../common/sigv4/amz-date.ts";
import { stringToSign } from "../../common/sigv4/canonical-request.ts";
import { hmacSha256Hex } from "../../common/sigv4/digest.ts";
import { orderForPresigned } from "../../common/sigv4/header-order.ts";
import { deriveSigningKey } from "../../common/sigv4/signing-key.ts";
import type { HandmadeRequest } from "../../examples/shop/intruder.ts";
import type { Identity } from "../../sidecar/tls/profile.ts";
import { firstAnswer, sendTls, tlsOptions, wireText } from "./clients.ts";
import { serviceLinkedRole, startMesh, type TestMesh } from "./harness.ts";
import type { Result } from "./hostile-mesh.ts";

const served = (name: string, spec: string) =>
  `---\n{ apiVersion: countersign.dev/v1, kind: Service, metadata: { name: ${name}, namespace: shop }, spec: { ports: [{ port: 80 }], ${spec} } }\n`;
const yaml = `
{ apiVersion: countersign.dev/v1, kind: Mesh, metadata: { name: mesh }, spec: { trustDomain: test.example, maxClockSkewSeconds: 10 } }
---
{ apiVersion: countersign.dev/v1, kind: Workload, metadata: { name: caller, namespace: shop }, spec: {} }
---
{ apiVersion: countersign.dev/v1, kind: Workload, metadata: { name: friend, namespace: shop }, spec: {} }
---
{ apiVersion: countersign.dev/v1, kind: Workload, metadata: { name: files, namespace: shop }, spec: {} }
---
{ apiVersion: countersign.dev/v1, kind: Service, metadata: { name: caller, namespace: shop }, spec: { calls: [files, shared, closed, vault] } }
---
{ apiVersion: countersign.dev/v1, kind: Service, metadata: { name: friend, namespace: shop }, spec: { calls: [closed] } }
${served("files", "presigned: { maxExpiresSeconds: 600 }")}
${served("shared", "identities: [{ serviceAccount: files }], presigned: { maxExpiresSeconds: 600, bearer: any }")}
${served("closed", "identities: [{ serviceAccount: files }]")}
${served("vault", "identities: [{ serviceAccount: files }], tier: critical, presigned: { maxExpiresSeconds: 600, bearer: any }")}
`;

interface Seen {
  readonly url: string;
  readonly body: string;
  readonly principal: unknown;
  readonly peer: unknown;
}

let mesh: TestMesh;
let caller: Identity;
let friend: Identity;
let session: AssumeRoleResponse;
let friendsSession: AssumeRoleResponse;
const seen: Seen[] = [];

beforeAll(async () => {
  const application = createServer((request, response) => {
    void buffer(request).then((body) => {
      const { "x-countersign-principal": principal, "x-countersign-peer": peer } = request.headers;
      seen.push({ url: request.url ?? "", body: body.toString(), principal, peer });
      response.end("from the application");
    });
  });
  mesh = await startMesh({ yaml, workloads: { files: { application } } });
  [caller, friend] = await Promise.all([mesh.identityOf("caller"), mesh.identityOf("friend")]);
  session = await mesh.sessionOf(caller, serviceLinkedRole("caller"));
  friendsSession = await mesh.sessionOf(friend, serviceLinkedRole("friend"));
});
afterAll(async () => mesh?.stop());
beforeEach(() => {
  seen.length = 0;
});

interface PresignOptions {
  readonly method?: string;
  readonly service?: string;
  readonly path?: string;
  /** The application's own parameters. */
  readonly query?: string;
  readonly expires?: number;
  /** Seconds before now that it was signed. */
  readonly age?: number;
  readonly body?: string;
  /** What the query says of the body. */
  readonly declared?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly credentials?: AssumeRoleResponse;
}

/** A request as SDKs presign it, with whatever is wrong with it by the options. */
function presign(options: PresignOptions = {}): HandmadeRequest {
  const { method = "GET", service = "files", path = "/report", query = "", expires = 300, age = 0, body = "", declared } = options;
  const { headers = {}, credentials = session } = options;
  const amzDate = formatAmzDate(Math.floor(Date.now() / 1000) - age);
  const day = amzDate.slice(0, 8);
  const scopeText = `${day}/${mesh.region}/${service}.shop/aws4_request`;
  const fields = Object.entries(headers).map(([name, value]) => createField(name, value));
  const signedHeaders = ["host", ...Object.keys(headers)].sort().join(";");
  const parameters = [
    ["X-Amz-Algorithm", "AWS4-HMAC-SHA256"],
    ["X-Amz-Credential", `${credentials.accessKeyId}/${scopeText}`],
    ["X-Amz-Date", amzDate],
    ["X-Amz-Expires", String(expires)],
    ["X-Amz-Security-Token", credentials.sessionToken],
    ["X-Amz-SignedHeaders", signedHeaders],
    ...(declared === undefined ? [] : [["X-Amz-Content-Sha256", declared]]),
  ].map(([name, value]) => `${name}=${encodeURIComponent(value ?? "")}`);
  const signedQuery = [...(query === "" ? [] : [query]), ...parameters].join("&");
  const request = {
    method,
    path,
    query: signedQuery,
    host: createField("host", service),
    fields,
    payloadHash: declared ?? hash("sha256", body),
  };
  const key = createSecretKey(deriveSigningKey(credentials.secretAccessKey, day, mesh.region, `${service}.shop`));
  const signature = hmacSha256Hex(key, stringToSign(request, orderForPresigned(fields, signedHeaders), amzDate, scopeText));
  return { method, host: service, path: `${path}?${signedQuery}&X-Amz-Signature=${signature}`, headers, body };
}

async function send(request: HandmadeRequest, as = caller): Promise<Result> {
  return firstAnswer(await sendTls(mesh.sidecar("files").inbound, tlsOptions(as), wireText(request)));
}

const refused = (status: number, reason: string) => ({ status, reason });
const allowed = expect.objectContaining({ status: 200 });

describe("a presigned request", () => {
  test("is let in as often as it comes, and the application sees none of its signature", async () => {
    const request = presign({ query: "b=2&a=%2f" });
    for (let count = 0; count < 3; count++) expect(await send(request)).toEqual(allowed);
    expect(seen.map(({ url }) => url)).toEqual(Array.from({ length: 3 }, () => "/report?b=2&a=%2f"));
  });

  test("leaves no question mark behind where the application has no query", async () => {
    expect(await send(presign())).toEqual(allowed);
    expect(seen[0]?.url).toBe("/report");
  });

  test.each([
    ["its body's hash in nothing but the signature", {}],
    ["its body's hash in the query", { declared: hash("sha256", "upload") }],
    ["any body", { declared: "UNSIGNED-PAYLOAD" }],
  ])("carries %s", async (_, options) => {
    expect(await send(presign({ method: "PUT", body: "upload", ...options }))).toEqual(allowed);
    expect(seen[0]).toMatchObject({ url: "/report", body: "upload" });
  });

  test("is refused with another body than the one signed", async () => {
    expect(await send({ ...presign({ method: "PUT", body: "upload" }), body: "uplaod" })).toEqual(refused(403, "signature-mismatch"));
    const declared = hash("sha256", "upload");
    expect(await send(presign({ method: "PUT", body: "uplaod", declared }))).toEqual(refused(403, "body-mismatch"));
    expect(seen).toEqual([]);
  });

  test.each<[string, (path: string) => string]>([
    ["a parameter more", (path) => `${path}&admin=1`],
    ["another path", (path) => path.replace("/report", "/reports")],
    ["a longer life", (path) => path.replace("Expires=300", "Expires=301")],
    ["another signature", (path) => path.replace(/.$/, (digit) => (digit === "0" ? "1" : "0"))],
  ])("is refused with %s", async (_, change) => {
    const request = presign();
    expect(await send({ ...request, path: change(request.path) })).toEqual(refused(403, "signature-mismatch"));
    expect(seen).toEqual([]);
  });

  test.each<[string, PresignOptions, number, string]>([
    ["its own life is over", { age: 30, expires: 29 }, 403, "request-expired"],
    ["what the service gives it is over", { age: 601, expires: 604_800 }, 403, "request-expired"],
    ["it is of the future", { age: -30 }, 403, "request-in-future"],
    ["it allows itself more than a week", { expires: 604_801 }, 401, "malformed-signature"],
    ["it is good for no time", { expires: 0 }, 401, "malformed-signature"],
    ["it is for another service", { service: "closed" }, 401, "missing-signature"],
    ["its service is critical", { service: "vault" }, 401, "missing-signature"],
    ["its body is to be signed in chunks", { method: "PUT", declared: "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" }, 403, "unsigned-payload"],
    ["its body is said to be what nobody takes", { declared: "STREAMING-UNSIGNED-PAYLOAD-TRAILER" }, 403, "unsigned-payload"],
  ])("is refused when %s", async (_, options, status, reason) => {
    expect(await send(presign(options))).toEqual(refused(status, reason));
    expect(seen).toEqual([]);
  });

  test("is good beyond the skew that other signatures are held to", async () => {
    expect(await send(presign({ age: 15, expires: 60 }))).toEqual(allowed);
  });

  test("is refused when its fields say again what the query says", async () => {
    const field = (name: string, value: string) => {
      const { path, ...request } = presign();
      return { ...request, path: path.replace("SignedHeaders=host", `SignedHeaders=host%3B${name}`), headers: { [name]: value } };
    };
    expect(await send(field("x-amz-date", "20260101T000000Z"))).toEqual(refused(401, "malformed-signature"));
    expect(await send(field("x-amz-security-token", session.sessionToken))).toEqual(refused(401, "malformed-signature"));
    const twice = presign({ declared: hash("sha256", ""), headers: { "x-amz-content-sha256": hash("sha256", "") } });
    expect(await send(twice)).toEqual(refused(401, "malformed-signature"));
  });

  test("is refused beside an Authorization of any kind, and with a parameter twice", async () => {
    const request = presign();
    expect(await send({ ...request, headers: { authorization: "Basic eA==" } })).toEqual(refused(401, "duplicate-signature"));
    expect(await send({ ...request, path: `${request.path}&X-Amz-Credential=a` })).toEqual(refused(401, "malformed-signature"));
    expect(await send({ ...request, path: `${request.path}&x-amz-signature=a` })).toEqual(refused(401, "malformed-signature"));
    expect(seen).toEqual([]);
  });
});

describe("a presigned request that somebody else bears", () => {
  test("is refused where it is bound to its signer", async () => {
    expect(await send(presign(), friend)).toEqual(refused(403, "identity-mismatch"));
  });

  test("is let in where the service says so: with the signer's permissions, under the bearer's name", async () => {
    const request = presign({ service: "shared" });
    for (const identity of [friend, caller, friend]) expect(await send(request, identity)).toEqual(allowed);
    expect(seen.map(({ peer }) => peer)).toEqual(["friend", "caller", "friend"].map((name) => `spiffe://test.example/ns/shop/sa/${name}`));
    const principals = new Set(seen.map(({ principal }) => principal));
    expect([...principals]).toEqual([expect.stringContaining("assumed-role/service-linked/caller/")]);
  });

  test("does not lend the bearer's permissions to its signer", async () => {
    const request = presign({ service: "shared", credentials: friendsSession });
    expect(await send(request, friend)).toMatchObject({ status: 403, reason: "no-allow" });
    expect(await send(request, caller)).toMatchObject({ status: 403, reason: "no-allow" });
  });

  test("is no excuse for a signature in the Authorization field", async () => {
    const { path, ...request } = presign({ service: "shared" });
    const value = (name: string) => decodeURIComponent(new RegExp(`${name}=([^&]*)`).exec(path)?.[1] ?? "");
    const authorization = `AWS4-HMAC-SHA256 Credential=${value("Credential")}, SignedHeaders=host;x-amz-date;x-amz-security-token, Signature=${value("Signature")}`;
    const headers = { "x-amz-date": value("Date"), "x-amz-security-token": session.sessionToken, authorization };
    expect(await send({ ...request, path: "/report", headers }, friend)).toEqual(refused(403, "identity-mismatch"));
  });
});
