/** The application's probes, as a kubelet asks them of the health listener, answered by real applications. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, request as httpRequest, type IncomingMessage, type RequestListener, type Server } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { once } from "node:events";
import { createServer as createTcpServer, type AddressInfo, type Server as TcpServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import {
  Server as GrpcServer,
  ServerCredentials,
  status as grpcStatus,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { afterEach, describe, expect, test } from "vitest";
import { createHealthServer } from "../../../sidecar/admin.ts";
import { probeFromString } from "../../../sidecar/probes/probe-list.ts";
import { createProber } from "../../../sidecar/probes/probes.ts";
import { until } from "../../mesh/harness.ts";

const endings: (() => void)[] = [];
afterEach(() => {
  for (const end of endings.splice(0)) end();
});

async function listening(server: TcpServer, host = "127.0.0.1"): Promise<number> {
  endings.push(() => {
    if ("closeAllConnections" in server) (server as Server).closeAllConnections();
    server.close();
  });
  server.listen(0, host);
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

const application = (listener: RequestListener, host?: string): Promise<number> => listening(createServer(listener), host);

interface Asked {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

interface Health {
  readonly port: number;
  readonly ask: (path: string, options?: { readonly headers?: Record<string, string>; readonly method?: string }) => Promise<Asked>;
}

/** A health listener whose pod has that address. */
async function health(entries: readonly string[], pod = "127.0.0.1", hosts: readonly string[] = ["127.0.0.1"]): Promise<Health> {
  const probes = entries.map((entry) => probeFromString(entry)!);
  const port = await listening(
    createHealthServer({ problems: () => [], probe: createProber({ probes, hosts }), takeLeave: async () => undefined }),
    pod,
  );
  return {
    port,
    async ask(path, options = {}) {
      const sent = httpRequest({ host: pod, port, path, agent: false, ...options });
      sent.end();
      const [response] = (await once(sent, "response")) as [IncomingMessage];
      return { status: response.statusCode ?? 0, headers: response.headers, body: await text(response) };
    },
  };
}

describe("http", () => {
  test("it is asked what the kubelet would have asked, and nothing comes back but whether it is well", async () => {
    const seen: IncomingMessage[] = [];
    const app = await application((request, response) => {
      seen.push(request);
      response.writeHead(204, { "set-cookie": "secret=1" });
      response.end();
    });
    const { ask } = await health([`http:${app}/live ness?deep=1`]);
    const answer = await ask(`/app/http/${app}/live%20ness?deep=1`, {
      headers: {
        "user-agent": "kube-probe/1.36",
        "x-check": "yes",
        "x-forwarded-client-cert": "By=spiffe://forged",
        "x-countersign-caller": "forged",
      },
    });
    expect(answer).toMatchObject({ status: 200, body: `${JSON.stringify({ status: "ok" }, undefined, 2)}\n` });
    expect(answer.headers["set-cookie"]).toBeUndefined();
    expect(seen).toHaveLength(1);
    expect(seen[0]).toMatchObject({ method: "GET", url: "/live%20ness?deep=1" });
    expect(seen[0]?.headers).toEqual({
      host: `127.0.0.1:${app}`,
      "user-agent": "kube-probe/1.36",
      "x-check": "yes",
      connection: "close",
    });
  });

  test("a Host of the manifest's own goes through", async () => {
    const hosts: (string | undefined)[] = [];
    const app = await application((request, response) => {
      hosts.push(request.headers.host);
      response.end();
    });
    const { ask } = await health([`http:${app}/`]);
    await ask(`/app/http/${app}/`, { headers: { host: "shop.example" } });
    expect(hosts).toEqual(["shop.example"]);
  });

  test.each([
    [200, 200],
    [304, 200],
    [399, 200],
    [400, 400],
    [404, 404],
    [500, 500],
    [503, 503],
  ])("an answer of %i is %i", async (status, expected) => {
    const app = await application((_request, response) => response.writeHead(status).end());
    const { ask } = await health([`http:${app}/`]);
    expect((await ask(`/app/http/${app}/`)).status).toBe(expected);
  });

  test("a redirect is followed within the host, and leads nobody out of it", async () => {
    const paths: string[] = [];
    const app = await application((request, response) => {
      paths.push(request.url ?? "");
      const to = new Map([
        ["/relative", "/bad"],
        ["/absolute", `http://127.0.0.1:${app}/bad`],
        ["/away", "http://elsewhere.example/"],
        ["/odd", "mailto:somebody"],
        ["/round", "/round"],
      ]).get(request.url ?? "");
      if (to === undefined) response.writeHead(500).end();
      else response.writeHead(302, { location: to }).end();
    });
    const { ask } = await health(["relative", "absolute", "away", "odd", "round"].map((path) => `http:${app}/${path}`));
    expect((await ask(`/app/http/${app}/relative`)).status).toBe(500);
    expect((await ask(`/app/http/${app}/absolute`)).status).toBe(500);
    expect(paths).toEqual(["/relative", "/bad", "/absolute", "/bad"]);
    for (const path of ["away", "odd"]) {
      const answer = await ask(`/app/http/${app}/${path}`);
      expect(answer).toMatchObject({ status: 200 });
      expect(answer.headers.location).toBeUndefined();
    }
    paths.length = 0;
    expect(await ask(`/app/http/${app}/round`)).toMatchObject({
      status: 503,
      body: expect.stringContaining("redirects more than 10 times") as string,
    });
    expect(paths).toHaveLength(11);
  });

  test("https is asked whatever its certificate", async () => {
    const folder = mkdtempSync(join(tmpdir(), "countersign-probes-"));
    endings.push(() => rmSync(folder, { recursive: true }));
    const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
    execFileSync(
      "openssl",
      [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-subj",
        "/CN=other.example",
        "-keyout",
        key,
        "-out",
        cert,
      ],
      { stdio: "ignore" },
    );
    const server = createHttpsServer({ key: readFileSync(key), cert: readFileSync(cert) }, (_request, response) => response.end("ok"));
    const app = await listening(server);
    const { ask } = await health([`https:${app}/`]);
    expect((await ask(`/app/https/${app}/`)).status).toBe(200);
  });

  test("of an endless body as much is read as a kubelet reads", async () => {
    let closed = false;
    const app = await application((_request, response) => {
      response.once("close", () => (closed = true));
      const more = () => response.write("x".repeat(1024));
      response.on("drain", more);
      while (more());
    });
    const { ask } = await health([`http:${app}/`]);
    expect((await ask(`/app/http/${app}/`)).status).toBe(200);
    await until("the application is let go", () => closed);
  });

  test("an answer that breaks off is none", async () => {
    const app = await application((_request, response) => {
      response.writeHead(200, { "content-length": "100" });
      response.write("half", () => response.destroy());
    });
    const { ask } = await health([`http:${app}/`]);
    expect((await ask(`/app/http/${app}/`)).status).toBe(503);
  });

  test("when the kubelet gives up, the application is let go", async () => {
    const state = { asked: false, closed: false };
    const app = await application((request) => {
      state.asked = true;
      request.socket.once("close", () => (state.closed = true));
    });
    const { port } = await health([`http:${app}/`]);
    const sent = httpRequest({ host: "127.0.0.1", port, path: `/app/http/${app}/`, agent: false });
    sent.on("error", () => undefined);
    sent.end();
    await until("the application is asked", () => state.asked);
    sent.destroy();
    await until("the application is let go", () => state.closed);
    expect(sent.destroyed).toBe(true);
  });

  test("nothing else can be asked through it", async () => {
    const asked: (string | undefined)[] = [];
    const app = await application((request, response) => {
      asked.push(request.url);
      response.end();
    });
    const other = await application((_request, response) => response.end());
    const { ask } = await health([`http:${app}/healthz`]);
    for (const path of [
      `/app/http/${app}/`,
      `/app/http/${app}/healthz/../x`,
      `/app/http/${app}/healthz?x=1`,
      `/app/http/${other}/healthz`,
    ]) {
      expect((await ask(path)).status).toBe(404);
    }
    expect((await ask(`/app/http/${app}/healthz`, { method: "POST" })).status).toBe(405);
    expect(asked).toEqual([]);
  });
});

test("tcp: whoever listens is well", async () => {
  const app = await listening(createTcpServer((socket) => socket.on("error", () => undefined)));
  const { ask } = await health([`tcp:${app}`, "tcp:1"]);
  expect((await ask(`/app/tcp/${app}`)).status).toBe(200);
  expect(await ask("/app/tcp/1")).toMatchObject({ status: 503, body: expect.stringContaining("127.0.0.1:1: ECONNREFUSED") as string });
});

describe("where the application listens", () => {
  test.each([
    ["the pod's address alone", "127.0.0.2"],
    ["loopback alone", "127.0.0.1"],
    ["loopback of IPv6 alone", "::1"],
  ])("on %s", async (_, host) => {
    const app = await application((_request, response) => response.end(), host);
    const tcp = await listening(createTcpServer(), host);
    const { ask } = await health([`http:${app}/`, `tcp:${tcp}`], "127.0.0.2", ["127.0.0.1", "::1"]);
    expect((await ask(`/app/http/${app}/`)).status).toBe(200);
    expect((await ask(`/app/tcp/${tcp}`)).status).toBe(200);
  });
});

describe("grpc", () => {
  const definition: ServiceDefinition = {
    check: {
      path: "/grpc.health.v1.Health/Check",
      requestStream: false,
      responseStream: false,
      requestSerialize: (bytes: Buffer) => bytes,
      requestDeserialize: (bytes: Buffer) => bytes,
      responseSerialize: (bytes: Buffer) => bytes,
      responseDeserialize: (bytes: Buffer) => bytes,
    },
  };

  async function grpcApplication(implementation: UntypedServiceImplementation | undefined): Promise<number> {
    const server = new GrpcServer();
    if (implementation) server.addService(definition, implementation);
    endings.push(() => server.forceShutdown());
    return await new Promise((resolve, reject) => {
      server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) => (error ? reject(error) : resolve(port)));
    });
  }

  test("what is SERVING is well; which service is asked for is what was listed", async () => {
    const app = await grpcApplication({
      // HealthCheckRequest: `service` is field 1. The answer's `status` is field 1: 1 SERVING, 2 NOT_SERVING.
      check(call: { request: Buffer }, answer: (error: object | null, bytes?: Buffer) => void) {
        const service = call.request.subarray(2).toString();
        if (service === "nobody") answer({ code: grpcStatus.NOT_FOUND, details: "unknown" });
        else answer(null, Buffer.from([8, service === "cart" || service === "" ? 1 : 2]));
      },
    });
    const { ask } = await health([`grpc:${app}`, `grpc:${app}/cart`, `grpc:${app}/other`, `grpc:${app}/nobody`]);
    expect((await ask(`/app/grpc/${app}`)).status).toBe(200);
    expect((await ask(`/app/grpc/${app}/cart`)).status).toBe(200);
    expect(await ask(`/app/grpc/${app}/other`)).toMatchObject({
      status: 503,
      body: expect.stringContaining("it says NOT_SERVING") as string,
    });
    expect(await ask(`/app/grpc/${app}/nobody`)).toMatchObject({
      status: 503,
      body: expect.stringContaining("NOT_FOUND: unknown") as string,
    });
    expect((await ask(`/app/grpc/${app}/unlisted`)).status).toBe(404);
  });

  test("an application without health checks, or that is no gRPC, is not well", async () => {
    const bare = await grpcApplication(undefined);
    const plain = await application((_request, response) => response.end());
    const { ask } = await health([`grpc:${bare}`, `grpc:${plain}`]);
    expect(await ask(`/app/grpc/${bare}`)).toMatchObject({
      status: 503,
      body: expect.stringContaining("it has no grpc.health.v1.Health") as string,
    });
    expect((await ask(`/app/grpc/${plain}`)).status).toBe(503);
  });
});
