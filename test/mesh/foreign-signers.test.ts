/** Signatures by other people's code, straight to the inbound port: curl's, and that of the AWS SDK for JavaScript. */
import { execFile } from "node:child_process";
import { createHash, createHmac } from "node:crypto";
import { writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { promisify } from "node:util";
import { SignatureV4 } from "@smithy/signature-v4";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { AssumeRoleResponse } from "../../common/gen/mesh/v1/token.ts";
import type { Identity } from "../../sidecar/tls/profile.ts";
import { addressOf, call, callHttp2, firstAnswer, openHttp2, sendTls, tlsOptions, wireText } from "./clients.ts";
import { serviceLinkedRole, startMesh, type TestMesh } from "./harness.ts";

const yaml = `
apiVersion: countersign.dev/v1
kind: Mesh
spec: { trustDomain: test.example, auditSample: 1 }
---
{ apiVersion: countersign.dev/v1, kind: Workload, metadata: { name: caller, namespace: shop }, spec: {} }
---
{ apiVersion: countersign.dev/v1, kind: Workload, metadata: { name: target, namespace: shop }, spec: {} }
---
{ apiVersion: countersign.dev/v1, kind: Service, metadata: { name: caller, namespace: shop }, spec: { calls: [target, vault] } }
---
{ apiVersion: countersign.dev/v1, kind: Service, metadata: { name: target, namespace: shop }, spec: { ports: [{ port: 80 }] } }
---
apiVersion: countersign.dev/v1
kind: Service
metadata: { name: vault, namespace: shop }
spec: { ports: [{ port: 80 }], tier: critical, identities: [{ serviceAccount: target }] }
`;

interface Seen {
  readonly request: string;
  readonly body: string;
}

let mesh: TestMesh;
let identity: Identity;
let session: AssumeRoleResponse;
const seen: Seen[] = [];

beforeAll(async () => {
  const application = createServer((request, response) => {
    void buffer(request).then((body) => {
      seen.push({ request: `${request.method ?? ""} ${request.url ?? ""}`, body: body.toString() });
      response.end("from the application");
    });
  });
  mesh = await startMesh({ yaml, workloads: { target: { application } } });
  identity = await mesh.identityOf("caller");
  session = await mesh.sessionOf(identity, serviceLinkedRole("caller"));
  for (const [name, text] of Object.entries({ "cert.pem": identity.certificateChain, "key.pem": identity.privateKey })) {
    writeFileSync(join(mesh.folder, name), text, { mode: 0o600 });
  }
});
afterAll(async () => mesh?.stop());
beforeEach(() => {
  seen.length = 0;
});

const run = promisify(execFile);
const version = await run("curl", ["--version"]).then(
  ({ stdout }) => /^curl (\d+)\.(\d+)/.exec(stdout)?.slice(1).map(Number) ?? [0, 0],
  () => [0, 0],
);
const canSign = (version[0] ?? 0) > 7 || (version[0] === 7 && (version[1] ?? 0) >= 75);

describe.skipIf(!canSign)("curl --aws-sigv4", () => {
  interface Shown {
    readonly status: number;
    readonly body: string;
  }

  /** `target` is the service's name, which curl sends as Host and signs. */
  async function curl(path: string, options: readonly string[] = [], service = "target"): Promise<Shown> {
    const { host, port } = addressOf(mesh.sidecar("target").inbound);
    const { stdout } = await run("curl", [
      "--silent",
      "--show-error",
      "--insecure",
      "--max-time",
      "20",
      "--cert",
      join(mesh.folder, "cert.pem"),
      "--key",
      join(mesh.folder, "key.pem"),
      "--aws-sigv4",
      `aws:amz:${mesh.region}:${service}.shop`,
      "--user",
      `${session.accessKeyId}:${session.secretAccessKey}`,
      "--header",
      `x-amz-security-token: ${session.sessionToken}`,
      "--connect-to",
      `${service}:443:${host}:${port}`,
      "--write-out",
      "\n%{http_code}",
      ...options,
      `https://${service}${path}`,
    ]);
    const at = stdout.lastIndexOf("\n");
    return { status: Number(stdout.slice(at + 1)), body: stdout.slice(0, at) };
  }

  test.each<[string, string, readonly string[], Seen]>([
    ["GET", "/thing", ["--http1.1"], { request: "GET /thing", body: "" }],
    ["GET over HTTP/2", "/thing", ["--http2"], { request: "GET /thing", body: "" }],
    ["GET with a query in order", "/thing?a=1&b=2&c=", ["--http1.1"], { request: "GET /thing?a=1&b=2&c=", body: "" }],
    ["POST", "/thing", ["--http1.1", "--data", "hello=world"], { request: "POST /thing", body: "hello=world" }],
    ["POST over HTTP/2", "/thing", ["--http2", "--data", "hello=world"], { request: "POST /thing", body: "hello=world" }],
    [
      "PUT",
      "/thing",
      ["--request", "PUT", "--data", '{"a":1}', "--header", "content-type: application/json"],
      { request: "PUT /thing", body: '{"a":1}' },
    ],
    ["DELETE", "/thing", ["--request", "DELETE"], { request: "DELETE /thing", body: "" }],
    ["more headers", "/thing", ["--header", "x-mine: 1"], { request: "GET /thing", body: "" }],
  ])("%s is let in", async (_, path, options, expected) => {
    expect(await curl(path, options)).toEqual({ status: 200, body: "from the application" });
    expect(seen).toEqual([expected]);
  });

  test("a critical service lets it in once, and refuses the wrong key", async () => {
    expect(await curl("/thing", ["--data", "x"], "vault")).toMatchObject({ status: 200 });
    const wrong = await curl("/thing", ["--user", `${session.accessKeyId}:wrong`]);
    expect(wrong).toMatchObject({ status: 403 });
    expect(wrong.body).toContain("signature-mismatch");
  });
});

/** The hash that the SDK's signer asks for. */
class Sha256 {
  readonly #hash;
  constructor(secret?: string | ArrayBuffer | ArrayBufferView) {
    this.#hash = secret === undefined ? createHash("sha256") : createHmac("sha256", bytesOf(secret));
  }
  update(data: string | ArrayBuffer | ArrayBufferView): void {
    this.#hash.update(bytesOf(data));
  }
  digest(): Promise<Uint8Array> {
    return Promise.resolve(new Uint8Array(this.#hash.digest()));
  }
}

function bytesOf(data: string | ArrayBuffer | ArrayBufferView): Buffer {
  if (typeof data === "string") return Buffer.from(data);
  return ArrayBuffer.isView(data) ? Buffer.from(data.buffer, data.byteOffset, data.byteLength) : Buffer.from(data);
}

describe("@smithy/signature-v4", () => {
  async function signedBySdk(
    request: { method: string; path: string; query?: Record<string, string>; body?: string; headers?: Record<string, string> },
    service = "target",
    options: { applyChecksum?: boolean } = {},
  ): Promise<Record<string, string>> {
    const signer = new SignatureV4({
      service: `${service}.shop`,
      region: mesh.region,
      credentials: session,
      sha256: Sha256,
      ...options,
    });
    const { headers } = await signer.sign({
      protocol: "https:",
      hostname: service,
      method: request.method,
      path: request.path,
      query: request.query ?? {},
      body: request.body ?? "",
      headers: { host: service, ...request.headers },
    });
    const { host: _host, ...rest } = headers;
    return rest;
  }

  test.each<
    [string, { method: string; path: string; query?: Record<string, string>; body?: string; headers?: Record<string, string> }, string]
  >([
    ["GET", { method: "GET", path: "/thing" }, "/thing"],
    ["a query out of order", { method: "GET", path: "/thing", query: { b: "2", a: "1 2", "c/d": "é" } }, "/thing?b=2&a=1%202&c%2Fd=%C3%A9"],
    ["a path with escapes", { method: "GET", path: "/a%20b/c%2Cd" }, "/a%20b/c%2Cd"],
    ["a body", { method: "POST", path: "/thing", body: "héllo" }, "/thing"],
    ["headers with runs of spaces", { method: "GET", path: "/thing", headers: { "x-mine": "a   b" } }, "/thing"],
  ])("%s is let in over both protocols", async (_, request, target) => {
    const headers = await signedBySdk(request);
    const { method, body = "" } = request;
    const text = await sendTls(
      mesh.sidecar("target").inbound,
      tlsOptions(identity),
      Buffer.from(wireText({ method, path: target, host: "target", headers, body }), "utf8"),
    );
    expect(firstAnswer(text)).toEqual({ status: 200, reason: "" });
    const http2 = openHttp2(mesh.sidecar("target").inbound, identity);
    try {
      const head = { ":method": method, ":path": target, ":scheme": "https", ":authority": "target" };
      expect(await callHttp2(http2, { ...head, ...headers }, body)).toMatchObject({ status: 200 });
    } finally {
      http2.close();
    }
    expect(seen).toEqual([
      { request: `${method} ${target}`, body },
      { request: `${method} ${target}`, body },
    ]);
  });

  test("a critical service takes the same request once", async () => {
    const headers = await signedBySdk({ method: "GET", path: "/thing" }, "vault");
    const bytes = wireText({ method: "GET", path: "/thing", host: "vault", headers, body: "" });
    const send = async () => firstAnswer(await sendTls(mesh.sidecar("target").inbound, tlsOptions(identity), bytes));
    expect(await send()).toEqual({ status: 200, reason: "" });
    expect(await send()).toEqual({ status: 403, reason: "replayed" });
  });

  test("an application that signs for itself is passed through by its sidecar, with its own session and nothing added", async () => {
    const sidecar = await mesh.startSidecar("caller");
    try {
      const signedFor = await signedBySdk({ method: "POST", path: "/own", body: "mine" });
      const answer = await call(sidecar.outbound, { host: "target", method: "POST", path: "/own", headers: signedFor, body: "mine" });
      expect(answer).toMatchObject({ status: 200 });
      expect(seen).toEqual([{ request: "POST /own", body: "mine" }]);
      const decision = mesh.sidecar("target").logs.findLast((line) => line["path"] === "/own");
      expect(decision).toMatchObject({ decision: "allow", sequence: "" });
      expect(String(decision?.["principal"])).toMatch(/\/by-hand$/);
      // Altered on the way by the application itself: its signature is the one that counts.
      expect(
        await call(sidecar.outbound, { host: "target", method: "POST", path: "/own", headers: signedFor, body: "your" }),
      ).toMatchObject({
        status: 403,
        reason: "body-mismatch",
      });
    } finally {
      await sidecar.stop();
    }
  });
});
