/**
 * Bytes that two programs could read in two ways, at both listeners of a real mesh (threats.md, rows 16 to 18 and 22): one
 * meaning for policy and application, or a refusal and the end of the connection.
 */
import { once } from "node:events";
import { connect as connectTls } from "node:tls";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { HandmadeRequest } from "../../examples/shop/intruder.ts";
import { addressOf, callHttp2, firstAnswer, openHttp2, sendPlain, sendTls, tlsOptions, wireText } from "./clients.ts";
import { until } from "./harness.ts";
import { send, sendRequest, signed, startHostileMesh, type HostileMesh, type Result } from "./hostile-mesh.ts";

let hostile: HostileMesh;
beforeAll(async () => {
  hostile = await startHostileMesh();
});
afterAll(async () => hostile?.mesh.stop());
beforeEach(() => {
  hostile.seen.length = 0;
});

interface Listener {
  readonly name: string;
  /** Sends bytes and waits until the other side closes. */
  send(bytes: string): Promise<string>;
}

const listeners: readonly Listener[] = [
  { name: "inbound", send: (bytes) => sendTls(hostile.target.inbound, tlsOptions(hostile.caller), bytes) },
  { name: "outbound", send: (bytes) => sendPlain(hostile.mesh.sidecar("caller").outbound, bytes) },
];

/** A request whose fields both listeners would take, but for what is added. */
function withLines(lines: readonly string[], options: { start?: string; body?: string; end?: string } = {}): string {
  const { start = "POST /thing HTTP/1.1", body = "", end = "\r\n" } = options;
  return [start, "host: target", ...lines, "", body].join(end);
}

/** Behind it comes another request: if that is answered, the first one's end was guessed. */
const smuggled = "GET /smuggled HTTP/1.1\r\nhost: target\r\n\r\n";

describe.each(listeners)("row 17 at the $name port: ambiguous framing is 400 and the end of the connection", (listener) => {
  test.each<[string, string]>([
    ["content-length and transfer-encoding", withLines(["content-length: 4", "transfer-encoding: chunked"], { body: "0\r\n\r\n" })],
    ["transfer-encoding and content-length", withLines(["transfer-encoding: chunked", "content-length: 4"], { body: "0\r\n\r\n" })],
    ["content-length twice", withLines(["content-length: 4", "content-length: 4"], { body: "body" })],
    ["content-length twice, not the same", withLines(["content-length: 4", "content-length: 5"], { body: "body" })],
    ["content-length as a list", withLines(["content-length: 4, 4"], { body: "body" })],
    ["a signed content-length", withLines(["content-length: +4"], { body: "body" })],
    ["a negative content-length", withLines(["content-length: -4"], { body: "body" })],
    ["an empty content-length", withLines(["content-length:"], { body: "body" })],
    ["a hexadecimal content-length", withLines(["content-length: 0x4"], { body: "body" })],
    ["a fraction of a content-length", withLines(["content-length: 4.0"], { body: "body" })],
    ["a content-length beyond numbers", withLines(["content-length: 99999999999999999999"], { body: "body" })],
    [", chunked", withLines(["transfer-encoding: , chunked"], { body: "0\r\n\r\n" })],
    ["gzip, chunked", withLines(["transfer-encoding: gzip, chunked"], { body: "0\r\n\r\n" })],
    ["chunked, identity", withLines(["transfer-encoding: chunked, identity"], { body: "0\r\n\r\n" })],
    ["chunked twice", withLines(["transfer-encoding: chunked", "transfer-encoding: chunked"], { body: "0\r\n\r\n" })],
    ["xchunked", withLines(["transfer-encoding: xchunked"], { body: "0\r\n\r\n" })],
    ["chunked behind a vertical tab", withLines(["transfer-encoding: \x0bchunked"], { body: "0\r\n\r\n" })],
    ["identity", withLines(["transfer-encoding: identity"], { body: "" })],
    ["chunked on 1.0", withLines(["transfer-encoding: chunked"], { start: "POST /thing HTTP/1.0", body: "0\r\n\r\n" })],
    ["bare LF for line ends", withLines(["content-length: 4"], { end: "\n", body: "body" })],
    ["one bare LF", "GET /thing HTTP/1.1\r\nhost: target\nx-a: b\r\n\r\n"],
    ["a bare CR in a value", "GET /thing HTTP/1.1\r\nhost: target\r\nx-a: b\rc\r\n\r\n"],
    ["obs-fold", withLines(["x-a: b", " c: d"])],
    ["obs-fold of the first line", "GET /thing HTTP/1.1\r\n x-a: b\r\nhost: target\r\n\r\n"],
    ["a space before the colon", withLines(["content-length : 4"], { body: "body" })],
    ["a tab before the colon", withLines(["transfer-encoding\t: chunked"], { body: "0\r\n\r\n" })],
    ["NUL in a value", withLines(["x-a: b\0c"])],
    ["NUL in a name", withLines(["x\0a: b"])],
    ["a name beyond ASCII", withLines(["x\xe9: b"])],
    ["no name", withLines([": b"])],
    ["no colon", withLines(["x-a"])],
    ["a request line of two words", "GET /thing\r\nhost: target\r\n\r\n"],
    ["two spaces in the request line", "GET  /thing HTTP/1.1\r\nhost: target\r\n\r\n"],
    ["a space in the target", "GET /thing else HTTP/1.1\r\nhost: target\r\n\r\n"],
  ])("%s", async (_, bytes) => {
    const text = await listener.send(bytes + smuggled);
    expect(firstAnswer(text).status).toBe(400);
    expect(text.match(/^HTTP\/1\.1 \d{3}/gm)).toHaveLength(1);
    expect(hostile.seen).toEqual([]);
  });

  test.each<[string, string]>([
    ["a chunk size with a sign", "+4\r\nbody\r\n0\r\n\r\n"],
    ["a chunk size in 0x", "0x4\r\nbody\r\n0\r\n\r\n"],
    ["a chunk size beyond numbers", "fffffffffffffffff\r\nbody\r\n0\r\n\r\n"],
    ["a chunk longer than it says", "3\r\nbody\r\n0\r\n\r\n"],
    ["a chunk shorter than it says", "5\r\nbody\r\n0\r\n\r\n"],
    ["a chunk behind a bare LF", "4\nbody\r\n0\r\n\r\n"],
    ["a host in the trailers", "4\r\nbody\r\n0\r\nhost: other\r\n\r\n"],
    ["a content-length in the trailers", "4\r\nbody\r\n0\r\ncontent-length: 4\r\n\r\n"],
  ])("%s", async (_, body) => {
    // Signed, so that the body is read at all.
    const { headers } = signed(hostile, { method: "POST", body: "body" });
    const lines = listener.name === "inbound" ? Object.entries(headers).map(([name, value]) => `${name}: ${value}`) : [];
    const text = await listener.send(withLines([...lines, "transfer-encoding: chunked"], { body }) + smuggled);
    expect(firstAnswer(text).status).toBe(400);
    expect(text.match(/^HTTP\/1\.1 \d{3}/gm)).toHaveLength(1);
    expect(hostile.seen).toEqual([]);
  });

  test.each<[string, string, number]>([
    ["another version", "GET /thing HTTP/1.2\r\nhost: target\r\n\r\n", 505],
    ["what only begins as HTTP/2 does", "PRI * HTTP/2.1\r\n\r\nSM\r\n\r\n", 505],
    ["an expectation that nobody meets", withLines(["expect: the-unexpected"]), 417],
  ])("%s", async (_, bytes, status) => {
    expect(firstAnswer(await listener.send(bytes)).status).toBe(status);
    expect(hostile.seen).toEqual([]);
  });
});

test("HTTP/2's preface where HTTP/1.1 was agreed on is no request", async () => {
  const text = await sendTls(hostile.target.inbound, tlsOptions(hostile.caller), "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  expect(firstAnswer(text).status).toBe(505);
});

describe.each(listeners)("row 18 at the $name port: who is meant must be said once", (listener) => {
  test.each<[string, string]>([
    ["two hosts", "GET / HTTP/1.1\r\nhost: target\r\nhost: target\r\n\r\n"],
    ["two hosts that differ", "GET / HTTP/1.1\r\nhost: target\r\nhost: vault\r\n\r\n"],
    ["no host", "GET / HTTP/1.1\r\nx-a: b\r\n\r\n"],
    ["an empty host", "GET / HTTP/1.1\r\nhost:\r\n\r\n"],
    ["a host with a path", "GET / HTTP/1.1\r\nhost: target/x\r\n\r\n"],
    ["a host with user information", "GET / HTTP/1.1\r\nhost: me@target\r\n\r\n"],
    ["a list of hosts", "GET / HTTP/1.1\r\nhost: target, vault\r\n\r\n"],
    ["an absolute form of another host", "GET http://vault/ HTTP/1.1\r\nhost: target\r\n\r\n"],
    ["an absolute form of another port", "GET http://target:81/ HTTP/1.1\r\nhost: target\r\n\r\n"],
    ["an absolute form with user information", "GET http://me@target/ HTTP/1.1\r\nhost: target\r\n\r\n"],
    ["host nominated by connection", "GET / HTTP/1.1\r\nhost: target\r\nconnection: host\r\n\r\n"],
  ])("%s is 400", async (_, bytes) => {
    const text = await listener.send(bytes + smuggled);
    expect(firstAnswer(text).status).toBe(400);
    expect(text.match(/^HTTP\/1\.1 \d{3}/gm)).toHaveLength(1);
    expect(hostile.seen).toEqual([]);
  });
});

describe("row 18: addresses that do not agree", () => {
  const request = "GET / HTTP/1.1\r\nhost: target\r\nconnection: close\r\n\r\n";

  test("a host that nobody here serves is 421 at the inbound port and 502 at the outbound one", async () => {
    const inbound = await send(hostile, request.replace("target", "caller"));
    expect(inbound).toEqual({ status: 421, reason: "wrong-destination" });
    const outbound = firstAnswer(await sendPlain(hostile.mesh.sidecar("caller").outbound, request.replace("target", "nobody")));
    expect(outbound).toEqual({ status: 502, reason: "unknown-destination" });
  });

  test.each<[string, string, Result]>([
    ["the same service", "target", { status: 401, reason: "missing-signature" }],
    ["the same service in other letters", "TARGET", { status: 401, reason: "missing-signature" }],
    ["another name of the service", "target.shop.svc", { status: 401, reason: "missing-signature" }],
    ["another service that is served here", "vault", { status: 421, reason: "wrong-destination" }],
    ["a service that is not served here", "caller", { status: 421, reason: "wrong-destination" }],
    ["a name that nobody knows", "elsewhere.example", { status: 421, reason: "wrong-destination" }],
  ])("SNI of %s", async (_, servername, result) => {
    const text = await sendTls(hostile.target.inbound, { ...tlsOptions(hostile.caller), servername }, request);
    expect(firstAnswer(text)).toEqual(result);
  });

  test("HTTP/2: :authority and host that differ never reach the application", async () => {
    const session = openHttp2(hostile.target.inbound, hostile.caller);
    try {
      const { headers } = signed(hostile);
      const head = { ":method": "GET", ":path": "/thing", ":scheme": "https", ":authority": "target" };
      expect(await callHttp2(session, { ...head, ...headers, host: "vault" })).toMatchObject({ status: 0, code: 1 });
      expect(await callHttp2(session, { ...head, ...headers })).toMatchObject({ status: 200 });
      expect(hostile.seen).toHaveLength(1);
    } finally {
      session.close();
    }
  });
});

describe("row 16: a path has one meaning or none", () => {
  /** Signed by the rules, which normalise; then sent as written. */
  function variant(path: string, canonical: string, service = "guarded"): HandmadeRequest {
    return { ...signed(hostile, { service, path: canonical }), path };
  }

  test.each([
    "/admin",
    "//admin",
    "/%61dmin",
    "/a/../admin",
    "/./admin",
    "/a/b/../../admin",
    "/../admin",
    "/%2e/admin",
    "/a/%2E%2e/admin",
    "/admin?x=/..",
  ])("%s is /admin, which is denied", async (path) => {
    const query = path.includes("?") ? `?${path.split("?")[1] ?? ""}` : "";
    expect(await sendRequest(hostile, variant(path, `/admin${query}`))).toEqual({ status: 403, reason: "explicit-deny" });
    expect(hostile.seen).toEqual([]);
  });

  test.each([
    ["//open", "/open"],
    ["/%6fpen", "/open"],
    ["/admin/../open", "/open"],
    ["/open/.", "/open"],
    ["/%7euser", "/~user"],
    ["/a%2cb", "/a%2Cb"],
  ])("%s is allowed, and reaches the application as %s", async (path, canonical) => {
    expect(await sendRequest(hostile, variant(path, canonical))).toMatchObject({ status: 200 });
    expect(hostile.seen.map(({ url }) => url)).toEqual([canonical]);
  });

  test.each(["/admin%2f", "/a%2Fb", "/admin%00", "/a%5cb", "/a\\b", "/a#b", "/%", "/%2", "/%zz", "/..;x/admin", "/..%2fadmin", "/a\xffb"])(
    "%s is 400, signed or not, at both ports",
    async (path) => {
      const outcome = await sendRequest(hostile, { ...signed(hostile), path });
      expect(outcome.status).toBe(400);
      const outbound = await sendPlain(
        hostile.mesh.sidecar("caller").outbound,
        `GET ${path} HTTP/1.1\r\nhost: target\r\nconnection: close\r\n\r\n`,
      );
      expect(firstAnswer(outbound).status).toBe(400);
      expect(hostile.seen).toEqual([]);
    },
  );

  test.each(["/admin;x", "/ADMIN", "/admin.", "/%2561dmin"])(
    "what is another path to the policy, %s, is that path to the application",
    async (path) => {
      const allowed = !path.startsWith("/admin");
      const outcome = await sendRequest(hostile, variant(path, path));
      expect(outcome.status).toBe(allowed ? 200 : 403);
      expect(hostile.seen.map(({ url }) => url)).toEqual(allowed ? [path] : []);
    },
  );

  test.each(["//admin", "/%61dmin", "/a/../admin"])("by way of the caller's own sidecar, %s is /admin too", async (path) => {
    const text = await sendPlain(
      hostile.mesh.sidecar("caller").outbound,
      `GET ${path} HTTP/1.1\r\nhost: guarded\r\nconnection: close\r\n\r\n`,
    );
    expect(firstAnswer(text)).toEqual({ status: 403, reason: "explicit-deny" });
    expect(hostile.seen).toEqual([]);
  });

  test.each(["TARGET", "Target.", "target:80", "target.shop", "target.shop.svc.cluster.local."])("the host %s is target", async (host) => {
    expect(await sendRequest(hostile, signed(hostile, { host }))).toMatchObject({ status: 200 });
    const text = await sendPlain(hostile.mesh.sidecar("caller").outbound, `GET / HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\n\r\n`);
    expect(firstAnswer(text).status).toBe(200);
    expect(hostile.seen).toHaveLength(2);
  });

  test.each(["target..", ".target", "tar%67et", "target\t", "[::1", "target:", "target:99999"])("the host %j is 400", async (host) => {
    const bytes = `GET / HTTP/1.1\r\nhost: ${host.trim() === host ? host : `${host}x`}\r\nconnection: close\r\n\r\n`;
    for (const listener of listeners) expect(firstAnswer(await listener.send(bytes)).status).toBe(400);
  });
});

describe.each(listeners)("row 22 at the $name port: too much is a bounded error", (listener) => {
  test.each<[string, () => string]>([
    ["one field of 64 KiB", () => withLines([`x-a: ${"a".repeat(65_536)}`], { start: "GET / HTTP/1.1" })],
    ["a target of 64 KiB", () => withLines([], { start: `GET /${"a".repeat(65_536)} HTTP/1.1` })],
    [
      "2,000 fields",
      () =>
        withLines(
          Array.from({ length: 2000 }, (_, index) => `x-${index}: y`),
          { start: "GET / HTTP/1.1" },
        ),
    ],
    ["a name of 64 KiB", () => withLines([`${"a".repeat(65_536)}: b`], { start: "GET / HTTP/1.1" })],
    ["a head without end", () => `GET / HTTP/1.1\r\nhost: target\r\n${"x: y\r\n".repeat(20_000)}`],
  ])("%s is 431", async (_, bytes) => {
    const text = await listener.send(bytes());
    expect(firstAnswer(text).status).toBe(431);
    expect(hostile.seen).toEqual([]);
  });

  test("a body over the limit of what is hashed is streamed, whether its length is told or not", async () => {
    const start = "POST /thing HTTP/1.1";
    const told = withLines(["content-length: 70000", "connection: close"], { start, body: "x".repeat(70_000) });
    const untold = withLines(["transfer-encoding: chunked", "connection: close"], {
      start,
      body: `11170\r\n${"x".repeat(70_000)}\r\n0\r\n\r\n`,
    });
    for (const bytes of [told, untold]) {
      const { status } = firstAnswer(await listener.send(bytes));
      // At the inbound port the missing signature is found before the body is read.
      expect(status).toBe(listener.name === "inbound" ? 401 : 200);
    }
    expect(hostile.seen).toHaveLength(listener.name === "inbound" ? 0 : 2);
  });
});

describe("row 22: a signed body over the limit", () => {
  test.each([65_536, 65_537])("of %i bytes", async (size) => {
    const request = signed(hostile, { method: "POST", body: "x".repeat(size) });
    const outcome = await sendRequest(hostile, request);
    expect(outcome).toEqual(size > 65_536 ? { status: 413, reason: "body-too-large" } : { status: 200, reason: "" });
    expect(hostile.seen).toHaveLength(size > 65_536 ? 0 : 1);
  });

  test("HTTP/2: 2,000 fields are 431, a body over the limit is 413", async () => {
    const session = openHttp2(hostile.target.inbound, hostile.caller);
    try {
      const head = { ":method": "POST", ":path": "/thing", ":scheme": "https", ":authority": "target" };
      const many = Object.fromEntries(Array.from({ length: 2000 }, (_, index) => [`x-header-${index}`, "y"]));
      expect(await callHttp2(session, { ...head, ...many })).toMatchObject({ status: 431 });
      const body = "x".repeat(70_000);
      expect(await callHttp2(session, { ...head, ...signed(hostile, { method: "POST", body }).headers }, body)).toMatchObject({
        status: 413,
      });
      expect(await callHttp2(session, { ...head, ...signed(hostile, { method: "POST", body: "x" }).headers }, "x")).toMatchObject({
        status: 200,
      });
      expect(hostile.seen).toHaveLength(1);
    } finally {
      session.close();
    }
  });
});

test("one connection serves request after request, and ends when it is asked to", async () => {
  const first = wireText(signed(hostile, { path: "/1" })).replace("connection: close\r\n", "");
  const second = wireText(signed(hostile, { path: "/2" }));
  const text = await sendTls(hostile.target.inbound, tlsOptions(hostile.caller), first + second);
  expect(text.match(/HTTP\/1\.1 200/g)).toHaveLength(2);
  expect(hostile.seen.map(({ url }) => url)).toEqual(["/1", "/2"]);
});

test("what piles up behind a request that is not answered yet waits with the sender", async () => {
  const release = Promise.withResolvers<void>();
  hostile.hold(release.promise);
  const first = wireText(signed(hostile, { path: "/held" })).replace("connection: close\r\n", "");
  const pile = wireText({ method: "GET", path: "/next", host: "target", headers: {}, body: "" }).replace("connection: close\r\n", "");
  const socket = connectTls({ ...addressOf(hostile.target.inbound), ...tlsOptions(hostile.caller) });
  try {
    let text = "";
    socket.on("data", (chunk: Buffer) => (text += chunk.toString("latin1")));
    await once(socket, "secureConnect");
    socket.write(first);
    await until("the application has the first", () => hostile.seen.length === 1);
    const count = 20_000;
    socket.write(Buffer.alloc(count * pile.length, pile));
    // More than buffers between the two hold, and nobody takes it.
    await until("the sender is stopped", () => socket.writableLength > 0);
    expect(text).toBe("");
    release.resolve();
    await until("all are answered", () => text.match(/HTTP\/1\.1 /g)?.length === count + 1 || undefined);
    expect(text.match(/HTTP\/1\.1 200/g)).toHaveLength(1);
    expect(text.startsWith("HTTP/1.1 200")).toBe(true);
  } finally {
    socket.destroy();
  }
});
