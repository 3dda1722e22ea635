/** HTTP as applications use it, through both sidecars: what one program sends is what the other gets, framing and all. */
import { once } from "node:events";
import { Agent, createServer, request as httpRequest, type IncomingMessage, type RequestListener } from "node:http";
import { connect, createServer as createTcpServer, type Socket } from "node:net";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { addressOf, call, sendPlain } from "./clients.ts";
import { startMesh, until, type TestMesh } from "./harness.ts";

interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage["headers"];
  readonly rawHeaders: readonly string[];
  readonly body: Buffer;
}

const yaml = `
apiVersion: countersign.dev/v1
kind: Mesh
spec: { trustDomain: test.example, auditSample: 1 }
---
{ apiVersion: countersign.dev/v1, kind: Workload, metadata: { name: caller, namespace: shop }, spec: {} }
---
{ apiVersion: countersign.dev/v1, kind: Workload, metadata: { name: target, namespace: shop }, spec: {} }
---
{ apiVersion: countersign.dev/v1, kind: Workload, metadata: { name: raw, namespace: shop }, spec: {} }
---
{ apiVersion: countersign.dev/v1, kind: Workload, metadata: { name: absent, namespace: shop }, spec: {} }
---
apiVersion: countersign.dev/v1
kind: Service
metadata: { name: caller, namespace: shop }
spec: { calls: [target, raw, absent, unserved] }
---
{ apiVersion: countersign.dev/v1, kind: Service, metadata: { name: target, namespace: shop }, spec: { ports: [{ port: 80 }] } }
---
{ apiVersion: countersign.dev/v1, kind: Service, metadata: { name: raw, namespace: shop }, spec: { ports: [{ port: 80 }] } }
---
{ apiVersion: countersign.dev/v1, kind: Service, metadata: { name: absent, namespace: shop }, spec: { ports: [{ port: 80 }] } }
---
{ apiVersion: countersign.dev/v1, kind: Service, metadata: { name: unserved, namespace: shop }, spec: { ports: [{ port: 80 }] } }
`;

const echo: RequestListener = (_request, response) => response.end("ok");

function* endless(): Generator<Buffer> {
  for (;;) yield Buffer.alloc(16 * 1024);
}

describe("HTTP through two sidecars", () => {
  let mesh: TestMesh;
  let outbound: string;
  let handler: RequestListener = echo;
  let onRaw: (socket: Socket) => void = (socket) => socket.destroy();
  const seen: Seen[] = [];
  const rawSockets = new Set<Socket>();

  const application = createServer((request, response) => {
    void buffer(request).then((body) => {
      const { method = "", url = "", headers, rawHeaders } = request;
      seen.push({ method, url, headers, rawHeaders, body });
      handler(request, response);
    });
  });
  const rawApplication = createTcpServer((socket) => {
    rawSockets.add(socket);
    socket.on("error", () => undefined);
    onRaw(socket);
  });

  beforeAll(async () => {
    mesh = await startMesh({
      yaml,
      workloads: { caller: {}, target: { application }, raw: { application: rawApplication }, absent: {} },
    });
    ({ outbound } = mesh.sidecar("caller"));
  });
  afterAll(async () => {
    for (const socket of rawSockets) socket.destroy();
    await mesh?.stop();
  });
  beforeEach(() => {
    handler = echo;
    onRaw = (socket) => socket.destroy();
    seen.length = 0;
  });

  test("method, path, query, fields and body arrive as they were sent", async () => {
    handler = (_request, response) => {
      response.writeHead(201, { "x-answer": "yes", "set-cookie": ["a=1", "b=2"], "content-type": "text/plain" });
      response.end("made");
    };
    const answer = await call(outbound, {
      host: "target",
      method: "POST",
      path: "/a/b?z=1&a=%20x",
      headers: { "x-question": "why", "content-type": "text/plain", "user-agent": "test" },
      body: "thing",
    });
    expect(answer.status).toBe(201);
    expect(answer.body.toString()).toBe("made");
    expect(answer.headers["set-cookie"]).toEqual(["a=1", "b=2"]);
    expect(answer.headers["x-answer"]).toBe("yes");
    expect(seen).toHaveLength(1);
    expect(seen[0]).toMatchObject({ method: "POST", url: "/a/b?z=1&a=%20x" });
    expect(seen[0]?.body.toString()).toBe("thing");
    expect(seen[0]?.headers).toMatchObject({
      host: "target",
      "x-question": "why",
      "user-agent": "test",
      "content-type": "text/plain",
      "x-countersign-principal": "arn:mesh:sts:test.example:shop:assumed-role/service-linked/caller/caller-1",
      "x-countersign-peer": "spiffe://test.example/ns/shop/sa/caller",
      "x-forwarded-client-cert": "By=spiffe://test.example/ns/shop/sa/target;URI=spiffe://test.example/ns/shop/sa/caller",
    });
    // What spoke to the sidecar is not the application's.
    for (const name of ["authorization", "x-amz-date", "x-amz-security-token", "x-amz-content-sha256", "x-countersign-sequence"]) {
      expect(seen[0]?.headers).not.toHaveProperty(name);
    }
  });

  test("an application's own bearer token arrives unchanged", async () => {
    const token = "Bearer eyJhbGciOiJub25lIn0.e30.";
    expect((await call(outbound, { host: "target", headers: { authorization: token } })).status).toBe(200);
    expect(seen[0]?.headers.authorization).toBe(token);
    expect(seen[0]?.headers).not.toHaveProperty("x-countersign-authorization");
  });

  test("identity fields that an application makes up are taken off", async () => {
    await call(outbound, {
      host: "target",
      headers: {
        "x-countersign-principal": "arn:mesh:sts:test.example:shop:assumed-role/admin/me",
        "x-countersign-peer": "spiffe://test.example/ns/shop/sa/admin",
        "x-countersign-anything": "else",
        "x-forwarded-client-cert": "By=me;URI=spiffe://test.example/ns/shop/sa/admin",
      },
    });
    expect(seen[0]?.headers["x-countersign-principal"]).toBe("arn:mesh:sts:test.example:shop:assumed-role/service-linked/caller/caller-1");
    expect(seen[0]?.headers["x-countersign-peer"]).toBe("spiffe://test.example/ns/shop/sa/caller");
    expect(seen[0]?.headers["x-forwarded-client-cert"]).not.toContain("admin");
    expect(seen[0]?.headers).not.toHaveProperty("x-countersign-anything");
    expect(JSON.stringify(seen[0]?.rawHeaders)).not.toContain("admin");
  });

  test.each([
    ["GET", 204, false],
    ["GET", 304, false],
    ["HEAD", 200, true],
  ])("%s answered with %i has no body and keeps the connection", async (method, status, sized) => {
    handler = (_request, response) => {
      response.writeHead(status, sized ? { "content-length": "12", etag: '"x"' } : { etag: '"x"' });
      response.end(method === "HEAD" || status !== 200 ? undefined : "twelve bytes");
    };
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    try {
      const first = await call(outbound, { host: "target", method, agent });
      expect(first.status).toBe(status);
      expect(first.headers.etag).toBe('"x"');
      expect(first.body).toHaveLength(0);
      expect(first.headers["content-length"]).toBe(sized ? "12" : undefined);
      expect(first.headers["transfer-encoding"]).toBeUndefined();
      handler = echo;
      expect((await call(outbound, { host: "target", agent })).body.toString()).toBe("ok");
      expect(Object.values(agent.freeSockets).flat()).toHaveLength(1);
    } finally {
      agent.destroy();
    }
  });

  test("a chunked answer keeps its trailers", async () => {
    handler = (_request, response) => {
      response.writeHead(200, { trailer: "x-checksum" });
      response.write("one ");
      response.write("two");
      response.addTrailers({ "x-checksum": "abc" });
      response.end();
    };
    const answer = await call(outbound, { host: "target" });
    expect(answer.body.toString()).toBe("one two");
    expect(answer.headers["transfer-encoding"]).toBe("chunked");
    expect(answer.trailers).toEqual({ "x-checksum": "abc" });
  });

  test("parts of an answer arrive as they are sent, not when it is whole", async () => {
    let finish = () => undefined as void;
    handler = (_request, response) => {
      response.write("first");
      finish = () => response.end("last");
    };
    const sent = httpRequest({ ...addressOf(outbound), headers: { host: "target" }, agent: false });
    sent.end();
    const [response] = (await once(sent, "response")) as [IncomingMessage];
    const [part] = (await once(response, "data")) as [Buffer];
    expect(part.toString()).toBe("first");
    finish();
    expect((await buffer(response)).toString()).toBe("last");
  });

  test("a chunked request arrives whole", async () => {
    const sent = httpRequest({ ...addressOf(outbound), method: "POST", headers: { host: "target" }, agent: false });
    sent.write("one ");
    sent.write("two");
    sent.end();
    const [response] = (await once(sent, "response")) as [IncomingMessage];
    expect(response.statusCode).toBe(200);
    expect(seen[0]?.body.toString()).toBe("one two");
    expect(seen[0]?.headers["content-length"]).toBe("7");
    response.resume();
  });

  test("Expect: 100-continue is answered and not passed on", async () => {
    const sent = httpRequest({
      ...addressOf(outbound),
      method: "POST",
      headers: { host: "target", expect: "100-continue", "content-length": "4" },
      agent: false,
    });
    sent.flushHeaders();
    await once(sent, "continue");
    sent.end("body");
    const [response] = (await once(sent, "response")) as [IncomingMessage];
    expect(response.statusCode).toBe(200);
    response.resume();
    expect(seen[0]?.headers).not.toHaveProperty("expect");
  });

  test("HTTP/1.0: the answer ends with the connection", async () => {
    handler = (_request, response) => {
      response.write("part ");
      response.end("end");
    };
    const text = await sendPlain(outbound, "GET /old HTTP/1.0\r\nHost: target\r\n\r\n");
    expect(text).toMatch(/^HTTP\/1\.1 200 /);
    expect(text.toLowerCase()).not.toContain("transfer-encoding");
    expect(text).toMatch(/\r\n\r\npart end$/);
  });

  test("HTTP/1.0 with keep-alive keeps the connection for an answer of known length", async () => {
    const text = await sendPlain(
      outbound,
      "GET /1 HTTP/1.0\r\nHost: target\r\nConnection: keep-alive\r\n\r\nGET /2 HTTP/1.0\r\nHost: target\r\n\r\n",
    );
    expect(text.match(/HTTP\/1\.1 200 /g)).toHaveLength(2);
    expect(seen.map(({ url }) => url)).toEqual(["/1", "/2"]);
  });

  test("pipelined requests are answered in order", async () => {
    handler = (request, response) => response.end(request.url);
    const requests = Array.from({ length: 20 }, (_, index) => `GET /n${index} HTTP/1.1\r\nHost: target\r\n\r\n`).join("");
    const text = await sendPlain(outbound, `${requests}GET /last HTTP/1.1\r\nHost: target\r\nConnection: close\r\n\r\n`);
    const bodies = text.match(/\/(?:n\d+|last)$|\/n\d+(?=HTTP)/g);
    expect(bodies).toEqual([...Array.from({ length: 20 }, (_, index) => `/n${index}`), "/last"]);
  });

  test("an absolute-form target is a proxy's request", async () => {
    const text = await sendPlain(outbound, "GET http://target/x?y HTTP/1.1\r\nHost: target\r\nConnection: close\r\n\r\n");
    expect(text).toMatch(/^HTTP\/1\.1 200 /);
    expect(seen[0]).toMatchObject({ method: "GET", url: "/x?y" });
  });

  test("hop-by-hop fields, and what Connection names, stay on their hop", async () => {
    await call(outbound, {
      host: "target",
      headers: { connection: "close, x-hop", "x-hop": "mine", te: "trailers", "proxy-authorization": "Basic eA==", "x-end": "to-end" },
    });
    for (const name of ["x-hop", "te", "proxy-authorization"]) expect(seen[0]?.headers).not.toHaveProperty(name);
    expect(seen[0]?.headers["x-end"]).toBe("to-end");
  });

  test("a body up to the limit of what is hashed passes, and one over it", async () => {
    const whole = Buffer.alloc(64 * 1024, "a");
    expect((await call(outbound, { host: "target", method: "POST", body: whole })).status).toBe(200);
    expect(seen[0]?.body.equals(whole)).toBe(true);
    const longer = Buffer.alloc(64 * 1024 + 1, "b");
    expect((await call(outbound, { host: "target", method: "POST", body: longer })).status).toBe(200);
    expect(seen[1]?.body.equals(longer)).toBe(true);
  });

  test("1 MiB to a reader that is slow arrives intact, many times over on the same connections", async () => {
    const megabyte = Buffer.alloc(1024 * 1024, "0123456789abcdef");
    handler = (_request, response) => response.end(megabyte);
    // More than the connection's whole window, so that credit that is lost somewhere is missed.
    for (let round = 0; round < 8; round++) {
      const sent = httpRequest({ ...addressOf(outbound), headers: { host: "target" }, agent: false });
      sent.end();
      const [response] = (await once(sent, "response")) as [IncomingMessage];
      // Nothing is read until everything that fits between the two is full.
      response.pause();
      await until("the way is full", () => response.readableLength >= response.readableHighWaterMark);
      expect((await buffer(response)).equals(megabyte)).toBe(true);
    }
    handler = echo;
    expect((await call(outbound, { host: "target" })).body.toString()).toBe("ok");
  });

  test("answers that end in a full socket give their credit back", async () => {
    const body = Buffer.alloc(200_000, "y");
    handler = (_request, response) => response.end(body);
    // Together many times what the sidecars may have on their way at once.
    for (let round = 0; round < 150; round++) expect((await call(outbound, { host: "target" })).body).toHaveLength(200_000);
  });

  test("one slow reader does not hold up the others", async () => {
    const large = Buffer.alloc(4 * 1024 * 1024, "x");
    handler = (request, response) => response.end(request.url === "/large" ? large : "small");
    const sent = httpRequest({ ...addressOf(outbound), path: "/large", headers: { host: "target" }, agent: false });
    sent.end();
    const [response] = (await once(sent, "response")) as [IncomingMessage];
    response.pause();
    for (let index = 0; index < 20; index++) {
      expect((await call(outbound, { host: "target", path: "/small" })).body.toString()).toBe("small");
    }
    expect((await buffer(response)).equals(large)).toBe(true);
  });

  test("a client that leaves an answer unread is noticed by the application, and the connection serves on", async () => {
    const gone = Promise.withResolvers<void>();
    handler = (_request, response) => {
      response.on("close", () => gone.resolve());
      // Without an end: the application stops only when it is told that nobody reads.
      Readable.from(endless()).pipe(response);
    };
    const sent = httpRequest({ ...addressOf(outbound), headers: { host: "target" }, agent: false });
    sent.end();
    const [response] = (await once(sent, "response")) as [IncomingMessage];
    response.pause();
    await until("the way is full", () => response.readableLength >= response.readableHighWaterMark);
    sent.destroy();
    await gone.promise;
    handler = echo;
    expect((await call(outbound, { host: "target" })).status).toBe(200);
  });

  describe("trouble", () => {
    test("an unknown destination is 502", async () => {
      expect(await call(outbound, { host: "nobody" })).toMatchObject({ status: 502, reason: "unknown-destination" });
    });

    test("a service that nobody serves is 503", async () => {
      expect(await call(outbound, { host: "unserved" })).toMatchObject({ status: 503, reason: "no-endpoint" });
    });

    test("an application that does not listen is 503 upstream-refused", async () => {
      expect(await call(outbound, { host: "absent", method: "POST", body: "x" })).toMatchObject({
        status: 503,
        reason: "upstream-refused",
      });
    });

    test("an application that closes before it answers is 502", async () => {
      onRaw = (socket) => socket.once("data", () => socket.destroy());
      expect(await call(outbound, { host: "raw", method: "POST", body: "x" })).toMatchObject({ status: 502, reason: "upstream-failed" });
    });

    test("an application that answers nonsense is 502", async () => {
      onRaw = (socket) => socket.once("data", () => socket.end("SSH-2.0-OpenSSH_9.2\r\n\r\n"));
      expect(await call(outbound, { host: "raw" })).toMatchObject({ status: 502, reason: "upstream-failed" });
    });

    test.each([
      ["of known length", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this"],
      ["chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nonly this\r\n"],
    ])("an answer %s that the application cuts short is cut for the client", async (_, bytes) => {
      onRaw = (socket) => socket.once("data", () => socket.end(bytes));
      await expect(call(outbound, { host: "raw" })).rejects.toMatchObject({ code: "ECONNRESET" });
    });

    test("an answer delimited by the end of the connection is whole", async () => {
      onRaw = (socket) => socket.once("data", () => socket.end("HTTP/1.1 200 OK\r\n\r\nuntil the end"));
      expect((await call(outbound, { host: "raw" })).body.toString()).toBe("until the end");
    });

    test("an idle connection that the application closed is not used again, and the call is not lost", async () => {
      let asked = 0;
      onRaw = (socket) =>
        socket.on("data", () => {
          asked++;
          // Keeps the connection, and gives it up as the next request comes.
          if (socket.bytesWritten > 0) socket.destroy();
          else socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        });
      expect((await call(outbound, { host: "raw" })).status).toBe(200);
      expect((await call(outbound, { host: "raw" })).status).toBe(200);
      expect(asked).toBe(3);
    });

    test("a request that is not idempotent is not sent a second time", async () => {
      let asked = 0;
      onRaw = (socket) =>
        socket.on("data", () => {
          asked++;
          if (socket.bytesWritten > 0) socket.destroy();
          else socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        });
      expect((await call(outbound, { host: "raw" })).status).toBe(200);
      expect((await call(outbound, { host: "raw", method: "POST", body: "x" })).status).toBe(502);
      expect(asked).toBe(2);
    });

    test("bytes that an application sends unasked are nobody's answer", async () => {
      onRaw = (socket) =>
        socket.on("data", () =>
          socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npoisoned"),
        );
      expect((await call(outbound, { host: "raw" })).body.toString()).toBe("ok");
      expect((await call(outbound, { host: "raw" })).body.toString()).toBe("ok");
    });

    test("a client that connects and says nothing, or half a request, costs nobody else anything", async () => {
      const { host, port } = addressOf(outbound);
      const silent = connect(port, host);
      const half = connect(port, host);
      half.write("GET / HTTP/1.1\r\nHo");
      expect((await call(outbound, { host: "target" })).status).toBe(200);
      silent.destroy();
      half.destroy();
    });
  });
});
