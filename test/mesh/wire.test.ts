/** What travels between two sidecars, as somebody on the network sees it. */
import { createServer } from "node:http";
import { afterAll, beforeAll, expect, test } from "vitest";
import { addressOf, call } from "./clients.ts";
import { startMesh, type TestMesh } from "./harness.ts";
import { startRelay, type Relay } from "./relay.ts";
import { ContentType, Extension, recordsOf, serverHelloExtensions, tls13, x25519MlKem768 } from "./tls-records.ts";

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
  expect(hello.type).toBe(ContentType.handshake);
  const extensions = serverHelloExtensions(hello.fragment);
  expect(extensions.get(Extension.supportedVersions)?.toString("hex")).toBe(tls13);
  const share = extensions.get(Extension.keyShare);
  expect(share?.readUInt16BE(0)).toBe(x25519MlKem768.group);
  expect(share?.readUInt16BE(2)).toBe(x25519MlKem768.shareBytes);
  // No HelloRetryRequest, and no pre_shared_key: nothing is resumed.
  expect(extensions.has(Extension.preSharedKey)).toBe(false);
  const rest = [...fromServer.slice(1), ...recordsOf(relay.fromClient()).slice(1)];
  expect(rest.every(({ type }) => type === ContentType.applicationData || type === ContentType.changeCipherSpec)).toBe(true);
});

test("many calls share one connection, and none of them is resumed or opened anew", async () => {
  const hellos = () => recordsOf(relay.fromClient()).filter(({ type }) => type === ContentType.handshake).length;
  await call(mesh.sidecar("caller").outbound, { host: "target" });
  const before = hellos();
  await Promise.all(Array.from({ length: 50 }, () => call(mesh.sidecar("caller").outbound, { host: "target" })));
  expect(hellos()).toBe(before);
});
