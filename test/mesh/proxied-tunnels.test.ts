/**
 * Tunnels that a proxy's client asks for, to services of the mesh that do not declare TCP: what is inside is judged call by call, as on
 * a redirected connection. grpc-js and Node's fetch know no other way through a proxy.
 */
import { execFile } from "node:child_process";
import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import { connect as connectHttp2, createServer as createHttp2Server, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import { connect, createServer as createTcpServer, type Socket } from "node:net";
import { text } from "node:stream/consumers";
import { promisify } from "node:util";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { addressOf } from "./clients.ts";
import { serveGrpc } from "./grpc-application.ts";
import { adminView } from "./harness.ts";
import { startPair, type Pair } from "./pair.ts";
import { openByHand } from "./websocket-peer.ts";

const run = promisify(execFile);

let seen: IncomingMessage[] = [];
const application = createServer((request, response) => {
  seen.push(request);
  request.resume();
  request.on("end", () => response.end(`${request.method} ${request.url}`));
});
const modern = createHttp2Server();
let modernSeen: IncomingHttpHeaders | undefined;
modern.on("stream", (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
  modernSeen = headers;
  stream.respond({ ":status": 200 });
  stream.end("over HTTP/2");
});

let pair: Pair;
let overHttp2: Pair;
beforeAll(async () => {
  pair = await startPair(application);
  overHttp2 = await startPair(modern);
});
afterAll(async () => {
  await pair?.mesh.stop();
  await overHttp2?.mesh.stop();
});
beforeEach(() => {
  seen = [];
});

async function open(authority: string, behind = "", through = pair): Promise<Socket> {
  const head = [`CONNECT ${authority} HTTP/1.1`, `Host: ${authority}`];
  const { socket, status } = await openByHand(through.outbound, head, Buffer.from(behind));
  expect(status).toBe(200);
  return socket;
}

const request = (host: string, path = "/") => `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`;

async function ask(authority: string, sent: string): Promise<string> {
  const socket = await open(authority, sent);
  return await text(socket);
}

describe("HTTP/1.1 in a tunnel", () => {
  test.each(["target:80", "classic:80", "target.shop.svc.cluster.local:80"])("to %s is calls that know their caller", async (authority) => {
    const answer = await ask(authority, request(authority.replace(":80", ""), "/x?y=1"));
    expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\n.*GET \/x\?y=1$/s);
    expect(seen[0]?.headers["x-forwarded-client-cert"]).toContain("URI=spiffe://test.example/ns/shop/sa/caller");
  });

  test("is decided call by call", async () => {
    const answer = await ask("guarded:80", request("guarded"));
    expect(answer).toMatch(/^HTTP\/1\.1 403 .*x-countersign-reason: no-allow/is);
    expect(seen).toEqual([]);
    const decisions = await adminView<{ decision: string; action: string }[]>(pair.mesh.sidecar("target"), "/decisions");
    expect(decisions.findLast(({ decision }) => decision === "deny")).toMatchObject({ action: "guarded:GET" });
  });

  test("is read however it is cut", async () => {
    const socket = await open("target:80");
    const answer = text(socket);
    for (const byte of request("target", "/slow")) {
      if (!socket.write(byte)) await once(socket, "drain");
    }
    expect(await answer).toContain("GET /slow");
  });

  test("whose CONNECT comes a byte at a time", async () => {
    const socket = connect({ ...addressOf(pair.outbound), noDelay: true });
    const answer = text(socket);
    for (const byte of `CONNECT target:80 HTTP/1.1\r\nHost: target:80\r\n\r\n${request("target", "/bytes")}`) {
      if (!socket.write(byte)) await once(socket, "drain");
    }
    expect(await answer).toMatch(/^HTTP\/1\.1 200 Connection Established\r\n\r\nHTTP\/1\.1 200 OK\r\n.*GET \/bytes$/s);
  });

  test("a port that the service does not have is refused before the tunnel is open", async () => {
    const { socket, status, headers } = await openByHand(pair.outbound, ["CONNECT target:81 HTTP/1.1", "Host: target:81"]);
    expect([status, headers.get("x-countersign-reason")]).toEqual([502, "unknown-destination"]);
    socket.destroy();
  });
});

test("HTTP/2 in a tunnel", async () => {
  const socket = await open("target:80", "", overHttp2);
  const session = connectHttp2("http://target", { createConnection: () => socket });
  const stream = session.request({ ":path": "/inside" });
  stream.end();
  expect(await text(stream)).toBe("over HTTP/2");
  expect(modernSeen).toMatchObject({ ":path": "/inside" });
  session.close();
});

test("curl -p", async () => {
  const { stdout } = await run("curl", ["-sS", "-p", "-x", `http://${pair.outbound}`, "--max-time", "30", "http://target/by-curl"]);
  expect(stdout).toBe("GET /by-curl");
});

test("Node's fetch and http.get, told of the proxy by the environment alone", async () => {
  const program = `
    const said = await (await fetch("http://target/by-fetch")).text();
    const { get } = await import("node:http");
    get("http://target/by-get", async (response) => {
      let body = "";
      for await (const chunk of response) body += chunk;
      console.log(said + ", " + body);
    });`;
  const proxy = `http://${pair.outbound}`;
  const env = { PATH: process.env["PATH"], NODE_USE_ENV_PROXY: "1", HTTP_PROXY: proxy, http_proxy: proxy, NO_PROXY: "localhost" };
  const { stdout } = await run(process.execPath, ["--input-type=module", "--eval", program], { env });
  expect(stdout.trim()).toBe("GET /by-fetch, GET /by-get");
  for (const { headers } of seen) expect(headers["x-forwarded-client-cert"]).toContain("/sa/caller");
});

describe("gRPC", () => {
  let served: Awaited<ReturnType<typeof serveGrpc>>;
  let calls: Pair;
  beforeAll(async () => {
    served = await serveGrpc();
    calls = await startPair(served.port);
  });
  afterAll(async () => {
    await calls?.mesh.stop();
    served?.server.forceShutdown();
  });

  test("grpc-js, told of the proxy by the environment alone", async () => {
    const program = `
      const { Client, credentials } = await import("@grpc/grpc-js");
      const same = (value) => value;
      const client = new Client("modern:80", credentials.createInsecure());
      client.makeUnaryRequest("/test.Mesh/Unary", same, same, Buffer.from("hello"), (error, answer) => {
        console.log(error ? error.message : String(answer));
        client.close();
      });`;
    const env = { PATH: process.env["PATH"], http_proxy: `http://${calls.outbound}` };
    const { stdout } = await run(process.execPath, ["--input-type=module", "--eval", program], { env, cwd: import.meta.dirname });
    expect(stdout.trim()).toBe("hello");
  });
});

describe("what is no HTTP", () => {
  let calls: Pair;
  const echo = createTcpServer({ allowHalfOpen: true }, (socket) => void socket.pipe(socket));
  const greeter = createTcpServer((socket) => {
    socket.on("error", () => undefined);
    socket.end("220 ready\r\n");
  });
  beforeAll(async () => {
    calls = await startPair(echo, greeter);
  });
  afterAll(async () => {
    await calls?.mesh.stop();
  });

  test("goes through as it is, however short", async () => {
    const socket = await open("target:80", "", calls);
    socket.end("quick");
    expect(await text(socket)).toBe("quick");
  });

  test("of a server that speaks first arrives", async () => {
    expect(await text(await open("fragile:80", "", calls))).toBe("220 ready\r\n");
  });
});
