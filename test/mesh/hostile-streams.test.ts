/**
 * Streamed bodies that are not what was signed, at a real inbound port by HTTP/2 and HTTP/1.1 (threats.md, rows 12 and 13): no byte
 * reaches the application before its chunk was verified, a request that does not hold is cut, and its caller is told.
 */
import { createSecretKey, randomBytes, type KeyObject } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { constants, type ClientHttp2Session, type IncomingHttpHeaders } from "node:http2";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Field } from "../../common/http/field.ts";
import { createField } from "../../common/http/field.ts";
import { createChunkSigner } from "../../common/sigv4/chunk-signer.ts";
import { streamingPayload, streamingPayloadTrailer, unsignedPayload } from "../../common/sigv4/payload-hash.ts";
import { deriveSigningKey } from "../../common/sigv4/signing-key.ts";
import type { AssumeRoleResponse } from "../../common/gen/mesh/v1/token.ts";
import { signByHand, type HandmadeRequest } from "../../examples/shop/intruder.ts";
import type { Identity } from "../../sidecar/tls/profile.ts";
import { callHttp2, firstAnswer, openHttp2, sendTls, tlsOptions } from "./clients.ts";
import { serviceLinkedRole, startMesh, until, type TestMesh } from "./harness.ts";

const workload = (name: string) =>
  `---\n{ apiVersion: countersign.dev/v1, kind: Workload, metadata: { name: ${name}, namespace: shop }, spec: {} }\n`;
const service = (name: string, spec: string) =>
  `---\n{ apiVersion: countersign.dev/v1, kind: Service, metadata: { name: ${name}, namespace: shop }, spec: { ${spec} } }\n`;
const yaml = [
  "{ apiVersion: countersign.dev/v1, kind: Mesh, metadata: { name: mesh }, spec: { trustDomain: test.example } }\n",
  workload("caller"),
  workload("target"),
  service("caller", "calls: [target, vault]"),
  service("target", "ports: [{ port: 80 }]"),
  service("vault", "ports: [{ port: 80 }], tier: critical, identities: [{ serviceAccount: target }]"),
].join("");

/** What the application got of one request. */
interface Seen {
  readonly headers: NodeJS.Dict<string | string[]>;
  body: Buffer;
  trailers: NodeJS.Dict<string>;
  ended: boolean;
  whole: boolean;
}

const seen: Seen[] = [];
/** The application answers before it has read. */
let early = false;
const application = createServer((request, response) => {
  const record: Seen = { headers: request.headers, body: Buffer.alloc(0), trailers: {}, ended: false, whole: false };
  seen.push(record);
  request.on("error", () => undefined);
  if (early) response.flushHeaders();
  request.on("data", (chunk: Buffer) => (record.body = Buffer.concat([record.body, chunk])));
  request.on("end", () => {
    record.trailers = request.trailers;
    response.end("taken");
  });
  request.on("close", () => {
    record.ended = true;
    record.whole = request.complete;
  });
});

let mesh: TestMesh;
let caller: Identity;
let session: AssumeRoleResponse;
let http2: ClientHttp2Session;
let signingKey: (service: string, date: string) => KeyObject;

beforeAll(async () => {
  mesh = await startMesh({ yaml, workloads: { target: { application } } });
  caller = await mesh.identityOf("caller");
  session = await mesh.sessionOf(caller, serviceLinkedRole("caller"));
  signingKey = (service, date) => createSecretKey(deriveSigningKey(session.secretAccessKey, date, mesh.region, `${service}.shop`));
  http2 = openHttp2(mesh.sidecar("target").inbound, caller);
});
afterAll(async () => {
  http2?.destroy();
  await mesh?.stop();
});
beforeEach(() => {
  early = false;
  seen.length = 0;
});

interface Stream {
  readonly request: HandmadeRequest;
  /** One chunk with what frames it, each. */
  readonly chunks: readonly Buffer[];
  readonly last: Buffer;
}

interface StreamOptions {
  readonly mode?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly service?: string;
  readonly trailers?: readonly Field[];
}

/** A request signed as AWS's SDKs sign an upload, and its body in chunks. */
function stream(
  payloads: readonly Buffer[],
  { mode = streamingPayload, headers = {}, service = "target", trailers = [] }: StreamOptions = {},
): Stream {
  const request = signByHand(
    { method: "PUT", host: service, path: "/upload", body: "" },
    {
      credentials: session,
      region: mesh.region,
      scopeService: `${service}.shop`,
      date: Date.now(),
      // Two uploads of one second would be one request to a receiver that remembers signatures.
      headers: { "x-amz-content-sha256": mode, "x-once": randomBytes(8).toString("hex"), ...headers },
    },
  );
  const amzDate = request.headers["x-amz-date"] ?? "";
  const date = amzDate.slice(0, 8);
  const signer = createChunkSigner({
    signingKey: signingKey(service, date),
    amzDate,
    scopeText: `${date}/${mesh.region}/${service}.shop/aws4_request`,
    seedSignature: (request.headers["authorization"] ?? "").slice(-64),
    hasTrailers: mode === streamingPayloadTrailer,
  });
  const chunks = payloads.map((payload) => Buffer.concat([Buffer.from(signer.head(payload), "latin1"), payload, Buffer.from("\r\n")]));
  return { request, chunks, last: Buffer.from(signer.end(trailers), "latin1") };
}

interface Result {
  /** 0 where there was none, or where it was cut. */
  readonly status: number;
  readonly reason: string;
}

interface Transport {
  readonly name: string;
  send(request: HandmadeRequest, body: Buffer): Promise<Result>;
}

const transports: readonly Transport[] = [
  {
    name: "HTTP/2",
    async send({ method, host, path, headers }, body) {
      return await callHttp2(http2, { ":method": method, ":authority": host, ":path": path, ...headers }, body.toString("latin1"));
    },
  },
  {
    name: "HTTP/1.1",
    async send({ method, host, path, headers }, body) {
      const lines = Object.entries({ ...headers, "content-length": String(body.length), connection: "close" });
      const head = `${method} ${path} HTTP/1.1\r\nhost: ${host}\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`;
      return firstAnswer(await sendTls(mesh.sidecar("target").inbound, tlsOptions(caller), Buffer.concat([Buffer.from(head), body])));
    },
  },
];

const payloads = ["a", "b", "c", "d"].map((letter) => Buffer.alloc(8192, letter));
const whole = Buffer.concat(payloads);

/** Whether the application has nothing but what was signed, from the beginning, and knows that it is not all. */
async function expectCut(verified: Buffer): Promise<void> {
  await until("the application is done with it", () => seen.every(({ ended }) => ended));
  for (const { body, ...end } of seen) {
    expect(end.whole).toBe(false);
    expect(verified.subarray(0, body.length).equals(body)).toBe(true);
  }
}

describe.each(transports)("$name", (transport) => {
  const send = (request: HandmadeRequest, body: Buffer) => transport.send(request, body);

  test("what was signed arrives, without its framing", async () => {
    const { request, chunks, last } = stream(payloads, {
      headers: { "x-amz-decoded-content-length": String(whole.length), "content-encoding": "aws-chunked" },
    });
    expect((await send(request, Buffer.concat([...chunks, last]))).status).toBe(200);
    expect(seen[0]?.body.equals(whole)).toBe(true);
    expect(seen[0]?.whole).toBe(true);
    expect(seen[0]?.headers["content-length"]).toBe(String(whole.length));
    for (const name of ["content-encoding", "x-amz-decoded-content-length", "x-amz-content-sha256"]) {
      expect(seen[0]?.headers).not.toHaveProperty(name);
    }
  });

  test("other codings are the application's", async () => {
    const { request, chunks, last } = stream(payloads, { headers: { "content-encoding": "gzip, aws-chunked" } });
    expect((await send(request, Buffer.concat([...chunks, last]))).status).toBe(200);
    expect(seen[0]?.headers["content-encoding"]).toBe("gzip");
    expect(seen[0]?.headers["transfer-encoding"]).toBe("chunked");
  });

  test("signed trailers arrive, but for what concerns the signature", async () => {
    const { request, chunks, last } = stream(payloads, {
      mode: streamingPayloadTrailer,
      headers: { "x-amz-trailer": "x-sum,x-amz-checksum-crc32c" },
      trailers: [createField("x-sum", "abc"), createField("x-amz-checksum-crc32c", "sOO8/Q==")],
    });
    expect((await send(request, Buffer.concat([...chunks, last]))).status).toBe(200);
    expect(seen[0]?.trailers).toEqual({ "x-sum": "abc" });
    expect(seen[0]?.body.equals(whole)).toBe(true);
  });

  const flip = (chunk: Buffer, at: number) => {
    const copy = Buffer.from(chunk);
    copy.writeUInt8(copy.readUInt8(at) ^ 1, at);
    return copy;
  };
  /** Another hexadecimal digit. */
  const redigit = (chunk: Buffer, at: number) => {
    const copy = Buffer.from(chunk);
    copy.write(copy.toString("latin1", at, at + 1) === "0" ? "1" : "0", at, "latin1");
    return copy;
  };
  const [a = Buffer.alloc(0), b = Buffer.alloc(0)] = payloads;
  const two = Buffer.concat([a, b]);

  test.each<[string, (made: Stream) => readonly (Buffer | undefined)[], Buffer, string]>([
    [
      "a byte of a later chunk is altered",
      ({ chunks: [one, two, three, four], last }) => [one, two, flip(three as Buffer, 5000), four, last],
      two,
      "body-mismatch",
    ],
    [
      "the signature of a later chunk is altered",
      ({ chunks: [one, two, three, four], last }) => [one, two, redigit(three as Buffer, 30), four, last],
      two,
      "body-mismatch",
    ],
    ["a chunk is left out", ({ chunks: [one, , three, four], last }) => [one, three, four, last], a, "body-mismatch"],
    ["the first chunk is left out", ({ chunks: [, two, three, four], last }) => [two, three, four, last], Buffer.alloc(0), "body-mismatch"],
    ["two chunks are swapped", ({ chunks: [one, two, three, four], last }) => [one, three, two, four, last], a, "body-mismatch"],
    ["a chunk comes twice", ({ chunks: [one, two, three, four], last }) => [one, two, two, three, four, last], two, "body-mismatch"],
    ["the last chunk is missing", ({ chunks }) => chunks, whole, "body-mismatch"],
    ["it is cut inside a chunk", ({ chunks: [one, two] }) => [one, two?.subarray(0, 4000)], a, "body-mismatch"],
    ["the last chunk is not the one that was signed", ({ chunks, last }) => [...chunks, redigit(last, 30)], whole, "body-mismatch"],
    ["it is ended early by its own last chunk", ({ chunks: [one, two], last }) => [one, two, last], two, "body-mismatch"],
    ["bytes follow the last chunk", ({ chunks, last }) => [...chunks, last, Buffer.from("more")], whole, "malformed"],
    ["another chunk follows the last", ({ chunks, last }) => [...chunks, last, chunks[0]], whole, "malformed"],
    [
      "a chunk is of another stream",
      ({ chunks: [one, , three, four], last }) => [one, stream(payloads).chunks[1], three, four, last],
      a,
      "body-mismatch",
    ],
    [
      "a chunk says that it is shorter",
      ({ chunks: [one, two], last }) => [one, Buffer.from((two as Buffer).toString("latin1").replace("2000;", "1fff;"), "latin1"), last],
      a,
      "body-mismatch",
    ],
    ["a chunk is not framed", ({ chunks: [one], last }) => [one, b, last], a, "malformed"],
  ])("%s", async (_, alter, verified, reason) => {
    const made = stream(payloads);
    const result = await send(made.request, Buffer.concat(alter(made).map((part) => part ?? Buffer.alloc(0))));
    // Once the application has begun to answer there is no other way to say it than to cut.
    expect([0, reason === "malformed" ? 400 : 403]).toContain(result.status);
    expect(["", reason]).toContain(result.reason);
    await expectCut(verified);
  });

  test("a chunk that is larger than anybody should have to keep", async () => {
    const { request, chunks, last } = stream([a, Buffer.alloc(300 * 1024, "x")]);
    expect(await send(request, Buffer.concat([...chunks, last]))).toMatchObject({ status: 413, reason: "body-too-large" });
    await expectCut(a);
  });

  test.each([
    ["shorter", -1],
    ["longer", 1],
  ])("a length that is %s than what comes", async (_, by) => {
    const { request, chunks, last } = stream(payloads, { headers: { "x-amz-decoded-content-length": String(whole.length + by) } });
    expect((await send(request, Buffer.concat([...chunks, last]))).status).toBe(403);
    await expectCut(whole);
  });

  test("trailers that are altered, left out, or not announced", async () => {
    const announced = { mode: streamingPayloadTrailer, headers: { "x-amz-trailer": "x-sum" }, trailers: [createField("x-sum", "abc")] };
    const altered = stream(payloads, announced);
    const tampered = Buffer.from(altered.last.toString("latin1").replace("abc", "abd"), "latin1");
    expect((await send(altered.request, Buffer.concat([...altered.chunks, tampered]))).status).toBe(403);
    const missing = stream(payloads, { ...announced, trailers: [] });
    expect((await send(missing.request, Buffer.concat([...missing.chunks, missing.last]))).status).toBe(400);
    const others = stream(payloads, { ...announced, trailers: [createField("x-other", "abc")] });
    expect((await send(others.request, Buffer.concat([...others.chunks, others.last]))).status).toBe(400);
    await expectCut(whole);
  });

  test.each(["STREAMING-UNSIGNED-PAYLOAD-TRAILER", "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD", "STREAMING-ANYTHING"])(
    "%s is refused",
    async (mode) => {
      const { request, chunks, last } = stream(payloads, { mode });
      expect(await send(request, Buffer.concat([...chunks, last]))).toMatchObject({ status: 403, reason: "unsigned-payload" });
      expect(seen).toEqual([]);
    },
  );

  test("an unsigned body is streamed to a service of tier standard, and refused by one of tier critical", async () => {
    const body = Buffer.alloc(200_000, "u");
    const { request } = stream([], { mode: unsignedPayload });
    expect((await send(request, body)).status).toBe(200);
    expect(seen[0]?.body.equals(body)).toBe(true);
    const refused = stream([], { mode: unsignedPayload, service: "vault" });
    expect(await send(refused.request, body)).toMatchObject({ status: 403, reason: "unsigned-payload" });
    expect(seen).toHaveLength(1);
    const streamed = stream(payloads, { service: "vault" });
    expect((await send(streamed.request, Buffer.concat([...streamed.chunks, streamed.last]))).status).toBe(200);
  });
});

test("an upload that turns bad under way: the answer that has begun is cut, and so is the request", async () => {
  const { request, chunks } = stream(payloads);
  const { method, host, path, headers } = request;
  early = true;
  const sent = http2.request({ ":method": method, ":authority": host, ":path": path, ...headers }, { endStream: false });
  sent.on("error", () => undefined);
  sent.resume();
  const { promise: closed, resolve } = Promise.withResolvers<void>();
  sent.on("close", resolve);
  const [answer] = (await once(sent, "response")) as [IncomingHttpHeaders];
  expect(answer[":status"]).toBe(200);
  sent.write(chunks[0]);
  await until("the application has the first chunk", () => seen[0]?.body.length === payloads[0]?.length);
  sent.write(chunks[2]);
  await closed;
  expect(sent.rstCode).toBe(constants.NGHTTP2_INTERNAL_ERROR);
  await expectCut(payloads[0] as Buffer);
});
