/** What travels between two sidecars, as somebody on the network sees it. */
import { createServer } from "node:http";
import { afterAll, beforeAll, expect, test } from "vitest";
import { addressOf, call } from "./clients.ts";
import { startMesh, type TestMesh } from "./harness.ts";
import { startRelay, type Relay } from "./relay.ts";

const yaml = `
apiVersion: countersign.dev/v1
kind: Mesh
spec: { trustDomain: test.example }
---
{ apiVersion: countersign.dev/v1, kind: Workload, metadata: { name: caller, namespace: shop }, spec: {} }
---
{ apiVersion: countersign.dev/v1, kind: Workload, metadata: { name: target, namespace: shop }, spec: {} }
---
{ apiVersion: countersign.dev/v1, kind: Service, metadata: { name: caller, namespace: shop }, spec: { calls: [target] } }
---
{ apiVersion: countersign.dev/v1, kind: Service, metadata: { name: target, namespace: shop }, spec: { ports: [{ port: 80 }] } }
`;

let mesh: TestMesh;
let relay: Relay;
beforeAll(async () => {
  relay = await startRelay();
  const application = createServer((_request, response) => {
    response.setHeader("x-answer-header", "answer-header-value");
    response.end("answer-body-in-clear");
  });
  mesh = await startMesh({
    yaml,
    workloads: { caller: {}, target: { application, environment: { COUNTERSIGN_ADVERTISE: relay.address } } },
  });
  relay.aim(addressOf(mesh.sidecar("target").inbound).port);
});
afterAll(async () => {
  await mesh?.stop();
  relay?.close();
});

interface TlsRecord {
  readonly type: number;
  readonly fragment: Buffer;
}

/** RFC 8446 5.1. */
function recordsOf(bytes: Buffer): TlsRecord[] {
  const records: TlsRecord[] = [];
  for (let at = 0; at + 5 <= bytes.length;) {
    const length = bytes.readUInt16BE(at + 3);
    records.push({ type: bytes.readUInt8(at), fragment: bytes.subarray(at + 5, at + 5 + length) });
    at += 5 + length;
  }
  return records;
}

const handshake = 22;
const applicationData = 23;
const changeCipherSpec = 20;

/** Extensions of a ServerHello by their type (RFC 8446 4.1.3). */
function serverHelloExtensions(message: Buffer): Map<number, Buffer> {
  expect(message.readUInt8(0)).toBe(2);
  let at = 4 + 2 + 32;
  at += 1 + message.readUInt8(at);
  at += 2 + 1;
  const end = at + 2 + message.readUInt16BE(at);
  at += 2;
  const extensions = new Map<number, Buffer>();
  while (at < end) {
    const length = message.readUInt16BE(at + 2);
    extensions.set(message.readUInt16BE(at), message.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return extensions;
}

test("the wire holds TLS 1.3 with X25519MLKEM768 and no plaintext of a request or its answer", async () => {
  const answer = await call(mesh.sidecar("caller").outbound, {
    host: "target",
    method: "POST",
    path: "/secret-path/in-clear?query-in-clear=1",
    headers: { "x-request-header": "request-header-value", authorization: "Bearer token-in-clear" },
    body: "request-body-in-clear",
  });
  expect(answer).toMatchObject({ status: 200 });
  expect(answer.body.toString()).toBe("answer-body-in-clear");

  const wire = Buffer.concat([relay.fromClient(), relay.fromServer()]);
  expect(wire.length).toBeGreaterThan(2000);
  const everything = wire.toString("latin1");
  for (const secret of [
    "in-clear",
    "POST",
    "secret-path",
    "x-request-header",
    "request-header-value",
    "answer-header",
    "token",
    "AWS4-HMAC-SHA256",
    "PRI * HTTP/2.0",
    "x-amz-",
    // Neither the service nor either workload is named: there is no SNI, and certificates travel encrypted.
    "target",
    "caller",
    "test.example",
    "spiffe://",
  ]) {
    expect(everything).not.toContain(secret);
  }

  const fromServer = recordsOf(relay.fromServer());
  const [hello] = fromServer;
  if (!hello) throw new Error("the server said nothing");
  expect(hello.type).toBe(handshake);
  const extensions = serverHelloExtensions(hello.fragment);
  // supported_versions: 0x0304 is TLS 1.3.
  expect(extensions.get(43)?.toString("hex")).toBe("0304");
  // key_share: 0x11ec is X25519MLKEM768, whose server share is the ciphertext and the point.
  const share = extensions.get(51);
  expect(share?.readUInt16BE(0)).toBe(0x11ec);
  expect(share?.readUInt16BE(2)).toBe(1088 + 32);
  // No HelloRetryRequest, and no pre_shared_key: nothing is resumed.
  expect(extensions.has(41)).toBe(false);
  const rest = [...fromServer.slice(1), ...recordsOf(relay.fromClient()).slice(1)];
  expect(rest.every(({ type }) => type === applicationData || type === changeCipherSpec)).toBe(true);
});

test("many calls share one connection, and none of them is resumed or opened anew", async () => {
  const hellos = () => recordsOf(relay.fromClient()).filter(({ type }) => type === handshake).length;
  await call(mesh.sidecar("caller").outbound, { host: "target" });
  const before = hellos();
  await Promise.all(Array.from({ length: 50 }, () => call(mesh.sidecar("caller").outbound, { host: "target" })));
  expect(hellos()).toBe(before);
});
