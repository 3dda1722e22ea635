/**
 * Calls that leave the mesh, by way of the sidecar as a proxy: carried as the application spoke, with nothing of ours in them,
 * to hosts that are listed. What decides about them is in egress-decisions.test.ts.
 */
import { once } from "node:events";
import { Agent, createServer, type IncomingMessage, type RequestListener } from "node:http";
import { connect as connectHttp2, createServer as createHttp2Server, type ServerHttp2Stream } from "node:http2";
import { connect, type Socket } from "node:net";
import { buffer, text } from "node:stream/consumers";
import { createServer as createTlsServer, connect as connectTls } from "node:tls";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { lacking, run } from "../sidecar/http2/clients/programs.ts";
import { addressOf, sendPlain } from "./clients.ts";
import { deadPort, startMesh, until, type TestMesh } from "./harness.ts";
import { connectThrough, proxied, readSide, startOutside, type Outside } from "./outside.ts";

const base = `
{ apiVersion: countersign.dev/v1, kind: Mesh, spec: { trustDomain: test.example, auditSample: 1 } }
---
{ apiVersion: countersign.dev/v1, kind: Workload, metadata: { name: caller, namespace: shop }, spec: {} }
---
{ apiVersion: countersign.dev/v1, kind: Service, metadata: { name: caller, namespace: shop }, spec: {} }
`;
const external = (name: string, port: number, protocol: string, addresses: readonly string[]) => `
---
apiVersion: countersign.dev/v1
kind: ExternalService
metadata: { name: ${name}, namespace: shop }
spec: { hosts: [${name}.example], ports: [{ port: ${port}, protocol: ${protocol} }], addresses: [${addresses.join(", ")}] }
`;

interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
  readonly trailers: NodeJS.Dict<string>;
}

let mesh: TestMesh;
let outbound: string;
const closing: { close(): void }[] = [];
const seen: Seen[] = [];
const echo: RequestListener = (_request, response) => response.end("from outside");
let handler: RequestListener = echo;
let onStream: (stream: ServerHttp2Stream) => void = () => undefined;
let onSocket: (socket: Socket) => void = (socket) => socket.destroy();

let http: Outside;
let http2: Outside;
let tls: Outside;
let raw: Outside;
let elsewhere: Outside;
let gonePort: number;

async function outside(...start: Parameters<typeof startOutside>): Promise<Outside> {
  const started = await startOutside(...start);
  closing.push(started);
  return started;
}

const megabyte = Buffer.alloc(1024 * 1024, "0123456789abcdef");
const url = (name: string, { port }: Outside, path = "/") => `http://${name}.example:${port}${path}`;
const ask = (path = "/", options: Parameters<typeof proxied>[2] = {}) => proxied(outbound, url("plain", http, path), options);
const open = () => connect({ ...addressOf(outbound), allowHalfOpen: true });

beforeAll(async () => {
  const httpServer = createServer((request, response) => {
    if (request.headers["x-as-it-comes"] !== undefined) {
      handler(request, response);
      return;
    }
    void buffer(request).then((bytes) => {
      const { method = "", url: target = "", headers, trailers } = request;
      seen.push({ method, url: target, headers, body: bytes.toString(), trailers });
      handler(request, response);
    });
  });
  closing.push({ close: () => httpServer.closeAllConnections() });
  const http2Server = createHttp2Server();
  http2Server.on("stream", (stream: ServerHttp2Stream) => onStream(stream));
  http = await outside(httpServer);
  http2 = await outside(http2Server);
  raw = await outside((socket) => onSocket(socket));
  elsewhere = await outside(httpServer, "127.0.0.3");
  gonePort = await deadPort();
  mesh = await startMesh({ yaml: base, workloads: { caller: {} } });
  const { certificateChain, privateKey } = await mesh.identityOf("caller");
  const tlsServer = createTlsServer({ cert: certificateChain, key: privateKey, ALPNProtocols: ["http/1.1"] });
  tlsServer.on("secureConnection", (socket) => httpServer.emit("connection", socket));
  tlsServer.on("tlsClientError", () => undefined);
  tls = await outside(tlsServer);
  ({ outbound } = mesh.sidecar("caller"));
  await mesh.apply(
    [
      base,
      external("plain", http.port, "http", ["127.0.0.1"]),
      external("grpc", http2.port, "grpc", ["127.0.0.1"]),
      external("secure", tls.port, "tls", ["127.0.0.1"]),
      external("raw", raw.port, "tcp", ["127.0.0.1"]),
      // Nobody listens on the first two of these.
      external("many", elsewhere.port, "tcp", ["127.0.0.4", "127.0.0.5", "127.0.0.3"]),
      external("gone", gonePort, "tcp", ["127.0.0.1"]),
    ].join(""),
  );
  await until("the last is listed", async () => (await proxied(outbound, url("plain", http))).status === 200);
});
afterAll(async () => {
  await mesh?.stop();
  for (const each of closing) each.close();
});
beforeEach(() => {
  handler = echo;
  onStream = (stream) => stream.destroy();
  onSocket = (socket) => socket.destroy();
  seen.length = 0;
});

describe("HTTP/1.1", () => {
  test("a call arrives as the application made it, and so does the answer", async () => {
    handler = (_request, response) => {
      response.writeHead(201, { "x-answer": "yes", "set-cookie": ["a=1", "b=2"] });
      response.end("made");
    };
    const answer = await ask("/a//b/../c?z=1&a=%2f%20x", {
      method: "POST",
      headers: {
        "x-question": "why",
        "user-agent": "test",
        authorization: "Bearer of-the-application",
        cookie: "c=3",
        "x-amz-date": "theirs",
      },
      body: "thing",
    });
    expect(answer).toMatchObject({ status: 201, headers: { "x-answer": "yes", "set-cookie": ["a=1", "b=2"] } });
    expect(answer.body.toString()).toBe("made");
    expect(seen).toEqual([
      {
        method: "POST",
        // Nobody here judges the path, and so nobody changes it.
        url: "/a//b/../c?z=1&a=%2f%20x",
        headers: {
          host: `plain.example:${http.port}`,
          "x-question": "why",
          "user-agent": "test",
          authorization: "Bearer of-the-application",
          cookie: "c=3",
          "x-amz-date": "theirs",
          "content-length": "5",
        },
        body: "thing",
        trailers: {},
      },
    ]);
  });

  test("nothing of the mesh leaves, nor what an application says in its name, nor what concerns the proxy", async () => {
    await ask("/", {
      headers: {
        "x-countersign-principal": "arn:mesh:sts:test.example:shop:assumed-role/admin/x",
        "X-Countersign-Destination": "target.shop:80",
        "x-forwarded-client-cert": "URI=spiffe://test.example/ns/shop/sa/admin",
        "proxy-authorization": "Basic c2VjcmV0",
        "proxy-connection": "keep-alive",
        connection: "x-of-the-connection",
        "x-of-the-connection": "1",
      },
    });
    expect(Object.keys(seen[0]?.headers ?? {})).toEqual(["host"]);
    expect(http.received()).not.toMatch(/countersign|x-amz-security|AWS4-HMAC|spiffe|proxy-/i);
  });

  test("an outside host cannot speak in the name of a sidecar", async () => {
    handler = (_request, response) => {
      response.writeHead(403, { "x-countersign-reason": "explicit-deny", "x-countersign-decision": "d-1" });
      response.end("mine");
    };
    const answer = await ask();
    expect(answer).toMatchObject({ status: 403, reason: "" });
    expect(answer.headers).not.toHaveProperty("x-countersign-decision");
  });

  test.each([
    ["whole", 10_000],
    ["streamed", megabyte.length],
  ])("a body of known length, %s, and back", async (_, length) => {
    handler = (request, response) => {
      response.setHeader("x-length", String(request.headers["content-length"]));
      request.pipe(response);
    };
    const body = megabyte.subarray(0, length);
    const answer = await ask("/", { method: "PUT", headers: { "x-as-it-comes": "1" }, body });
    expect(answer.headers["x-length"]).toBe(String(length));
    expect(answer.body.equals(body)).toBe(true);
  });

  test("chunks and trailers pass both ways, each part as it comes", async () => {
    handler = (request, response) => {
      response.setHeader("trailer", "x-sum");
      request.on("data", (chunk: Buffer) => response.write(chunk));
      request.on("end", () => {
        response.addTrailers({ "x-sum": String(request.trailers["x-asked"]) });
        response.end();
      });
    };
    const socket = open();
    const answer = text(socket);
    let got = "";
    socket.on("data", (chunk: Buffer) => (got += chunk.toString()));
    socket.write(
      `POST ${url("plain", http)} HTTP/1.1\r\nhost: plain.example:${http.port}\r\ntransfer-encoding: chunked\r\ntrailer: x-asked\r\nx-as-it-comes: 1\r\nconnection: close\r\n\r\n`,
    );
    for (const part of ["first", "second"]) {
      socket.write(`${part.length.toString(16)}\r\n${part}\r\n`);
      await until("it has come back", () => got.includes(part));
    }
    socket.write("0\r\nx-asked: 42\r\n\r\n");
    expect(await answer).toMatch(/transfer-encoding: chunked\r\n[^]*first[^]*second[^]*0\r\nx-sum: 42\r\n\r\n$/i);
  });

  test("connections are kept on both sides, and used again", async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    await ask("/", { agent });
    const before = http.connections();
    for (let round = 0; round < 5; round++) expect((await ask(`/${round}`, { agent })).status).toBe(200);
    expect(http.connections()).toBe(before);
    agent.destroy();
  });

  test("HEAD, 204, 1xx and pipelined calls", async () => {
    handler = (request, response) => {
      if (request.url === "/early") response.writeEarlyHints({ link: "</style.css>; rel=preload" });
      if (request.url === "/none") response.writeHead(204);
      else if (request.method === "HEAD") response.writeHead(200, { "content-length": "99" });
      response.end(request.method === "GET" && request.url !== "/none" ? `answer to ${request.url}` : undefined);
    };
    const host = `plain.example:${http.port}`;
    const lines = ["HEAD /head", "GET /none", "GET /early"].map(
      (line) => `${line.replace(" ", ` http://${host}`)} HTTP/1.1\r\nhost: ${host}\r\n`,
    );
    const answers = await sendPlain(outbound, `${lines.join("\r\n")}connection: close\r\n\r\n`);
    expect(answers.match(/^HTTP\/1\.1 \d+/gm)).toEqual(["HTTP/1.1 200", "HTTP/1.1 204", "HTTP/1.1 103", "HTTP/1.1 200"]);
    expect(answers).toMatch(/content-length: 99\r\n/i);
    expect(answers.endsWith("answer to /early")).toBe(true);
  });

  test("an upgrade is the outside host's to accept, and bytes pass both ways after it", async () => {
    onSocket = (socket) => {
      socket.once("data", (head: Buffer) => {
        expect(head.toString()).toMatch(/^GET \/chat HTTP\/1\.1\r\n[^]*upgrade: chat/i);
        socket.write("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: chat\r\n\r\nhello");
        socket.pipe(socket);
      });
    };
    const host = `raw.example:${raw.port}`;
    const socket = open();
    socket.write(`GET http://${host}/chat HTTP/1.1\r\nhost: ${host}\r\nconnection: upgrade\r\nupgrade: chat\r\n\r\n`);
    let got = "";
    socket.on("data", (chunk: Buffer) => (got += chunk.toString()));
    await until("it greets", () => got.endsWith("hello"));
    socket.end("echoed");
    await once(socket, "close");
    expect(got.endsWith("helloechoed")).toBe(true);
  });

  test("https in the request line is refused: the application has to encrypt it", async () => {
    const before = tls.connections();
    const answer = await proxied(outbound, `https://secure.example:${tls.port}/`);
    expect(answer).toMatchObject({ status: 400, reason: "malformed-target" });
    expect(tls.connections()).toBe(before);
  });

  test.runIf(lacking("curl") === "")("curl -x", async () => {
    const { stdout } = await run("curl", ["-sS", "-x", `http://${outbound}`, "-d", "from curl", url("plain", http, "/curl?x=1")]);
    expect(stdout).toBe("from outside");
    expect(seen[0]).toMatchObject({ method: "POST", url: "/curl?x=1", body: "from curl" });
  });
});

describe("HTTP/2 with prior knowledge", () => {
  test("streams of one connection, with bodies and trailers both ways", async () => {
    onStream = (stream) => {
      stream.respond({ ":status": 200, "x-te": "yes" }, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
      stream.pipe(stream);
    };
    const session = connectHttp2(`http://${outbound}`);
    const exchange = async (body: Buffer) => {
      const stream = session.request({
        ":method": "POST",
        ":path": "/a//b?q=%2f",
        ":authority": `grpc.example:${http2.port}`,
        "x-countersign-principal": "forged",
      });
      const trailers = once(stream, "trailers");
      stream.end(body);
      const bytes = await buffer(stream);
      return { same: bytes.equals(body), trailers: ((await trailers) as [Record<string, string>])[0]["grpc-status"] };
    };
    const bodies = [Buffer.from("small"), megabyte, Buffer.from("other")];
    expect(await Promise.all(bodies.map(exchange))).toEqual(bodies.map(() => ({ same: true, trailers: "0" })));
    expect(http2.connections()).toBe(1);
    expect(http2.received()).not.toContain("countersign");
    session.close();
  });

  test("a CONNECT on a stream is a tunnel", async () => {
    onSocket = (socket) => socket.pipe(socket);
    const session = connectHttp2(`http://${outbound}`);
    const stream = session.request({ ":method": "CONNECT", ":authority": `raw.example:${raw.port}` });
    stream.end("through");
    const [head] = (await once(stream, "response")) as [Record<string, unknown>];
    expect(head[":status"]).toBe(200);
    expect(await text(stream)).toBe("through");
    session.close();
  });
});

describe("CONNECT", () => {
  test("TLS of the application's own passes untouched, SNI and certificate its own affair", async () => {
    const { socket, head } = await connectThrough(open(), `secure.example:${tls.port}`);
    expect(head).toMatch(/^HTTP\/1\.1 200 /);
    expect(head).not.toMatch(/countersign/i);
    const secured = connectTls({ socket, servername: "secure.example", rejectUnauthorized: false, ALPNProtocols: ["http/1.1"] });
    secured.write("GET /tls HTTP/1.1\r\nhost: secure.example\r\nconnection: close\r\n\r\n");
    expect(await text(secured)).toMatch(/^HTTP\/1\.1 200 OK[^]*from outside$/);
    expect(seen[0]).toMatchObject({ url: "/tls", headers: { host: "secure.example" } });
  });

  test.runIf(lacking("curl") === "")("curl -x with https", async () => {
    const options = ["-sS", "-k", "--http1.1", "-x", `http://${outbound}`, "--data-binary", "@-"];
    const { stdout } = await run("curl", [...options, `https://secure.example:${tls.port}/curl`], { input: "x".repeat(100_000) });
    expect(stdout).toBe("from outside");
    expect(seen[0]).toMatchObject({ method: "POST", url: "/curl" });
    expect(seen[0]?.body).toHaveLength(100_000);
  });

  test("each side ends on its own", async () => {
    onSocket = (socket) => {
      socket.write("greeting");
      // Answers only once the client has said all it has to say.
      void readSide(socket).then((said) => socket.end(`you said ${said}`));
    };
    const { socket } = await connectThrough(open(), `raw.example:${raw.port}`);
    socket.end("goodbye");
    expect(await readSide(socket)).toBe("greetingyou said goodbye");
  });

  test("the far side's end reaches the client, whose own side stays open", async () => {
    const said = Promise.withResolvers<string>();
    onSocket = (socket) => {
      socket.end("all of it");
      readSide(socket).then(said.resolve, said.reject);
    };
    const { socket } = await connectThrough(open(), `raw.example:${raw.port}`);
    expect(await readSide(socket)).toBe("all of it");
    socket.write("still ");
    socket.end("here");
    expect(await said.promise).toBe("still here");
  });

  test("megabytes both ways at once, and a slow reader holds the writer back", async () => {
    onSocket = (socket) => socket.pipe(socket);
    const { socket } = await connectThrough(open(), `raw.example:${raw.port}`);
    const back = buffer(socket);
    for (let part = 0; part < 4; part++) socket.write(megabyte);
    socket.end();
    expect((await back).length).toBe(4 * megabyte.length);
  });

  test("a client that goes takes the connection outside with it, and the other way round", async () => {
    const gone = Promise.withResolvers<void>();
    onSocket = (socket) => void socket.resume().once("close", () => gone.resolve());
    const first = await connectThrough(open(), `raw.example:${raw.port}`);
    first.socket.resetAndDestroy();
    await gone.promise;

    onSocket = (socket) => socket.once("data", () => socket.resetAndDestroy());
    const second = await connectThrough(open(), `raw.example:${raw.port}`);
    const failure = Promise.withResolvers<Error>();
    second.socket.once("error", failure.resolve);
    second.socket.write("x");
    second.socket.resume();
    expect(await failure.promise).toMatchObject({ code: "ECONNRESET" });
  });
});

describe("trouble outside", () => {
  const garbage = () => proxied(outbound, url("raw", raw));

  test("a host that does not listen is 503", async () => {
    expect(await proxied(outbound, `http://gone.example:${gonePort}/`, { method: "POST", body: "x" })).toMatchObject({
      status: 503,
      reason: "upstream-refused",
    });
    const { head } = await connectThrough(open(), `gone.example:${gonePort}`);
    expect(head).toMatch(/^HTTP\/1\.1 503 [^]*x-countersign-reason: upstream-refused/i);
  });

  test("a host that answers garbage is 502", async () => {
    onSocket = (socket) => socket.once("data", () => socket.end("SSH-2.0-OpenSSH_9.2\r\n\r\n"));
    expect(await garbage()).toMatchObject({ status: 502, reason: "upstream-failed" });
  });

  test("a host that closes before it answers is 502", async () => {
    onSocket = (socket) => socket.once("data", () => socket.destroy());
    expect(await garbage()).toMatchObject({ status: 502, reason: "upstream-failed" });
  });

  test("an answer that is cut short is cut for the application", async () => {
    onSocket = (socket) => socket.once("data", () => socket.end("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this"));
    await expect(garbage()).rejects.toMatchObject({ code: "ECONNRESET" });
  });
});

describe("several addresses", () => {
  test.each([
    ["GET", undefined],
    ["POST", "whole"],
    ["PUT", megabyte],
  ])("where one refuses, %s goes to the next, body and all", async (method, body) => {
    const answer = await proxied(outbound, url("many", elsewhere), { method, ...(body === undefined ? {} : { body }) });
    expect(answer.status).toBe(200);
    expect(seen).toHaveLength(1);
    expect(seen[0]?.body).toBe(body === undefined ? "" : body.toString());
  });

  test("so does a tunnel", async () => {
    const { socket, head } = await connectThrough(open(), `many.example:${elsewhere.port}`);
    expect(head).toMatch(/^HTTP\/1\.1 200 /);
    socket.write("GET /in-a-tunnel HTTP/1.1\r\nhost: many.example\r\nconnection: close\r\n\r\n");
    expect(await text(socket)).toMatch(/from outside$/);
  });

  test("one that did not listen is tried again last", async () => {
    await proxied(outbound, url("many", elsewhere));
    const late = await outside((socket) => socket.destroy(), "127.0.0.4", elsewhere.port);
    expect((await proxied(outbound, url("many", elsewhere), { method: "POST", body: "x" })).status).toBe(200);
    expect(late.connections()).toBe(0);
  });
});
