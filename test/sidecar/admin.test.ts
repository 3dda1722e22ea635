/** The listeners for operators: what they show, and to whom (threats.md, row 31). */
import { once } from "node:events";
import { request as httpRequest, type IncomingMessage, type Server } from "node:http";
import { text } from "node:stream/consumers";
import type { AddressInfo } from "node:net";
import { Counter, Registry } from "prom-client";
import { afterEach, describe, expect, test } from "vitest";
import { createLogging, type Logging } from "../../common/runtime/logger.ts";
import { createAdminServer, createHealthServer, createMetricsServer } from "../../sidecar/admin.ts";

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

interface Shown {
  readonly status: number;
  readonly body: string;
  readonly headers: IncomingMessage["headers"];
}

async function ask(server: Server, path: string, options: { method?: string; headers?: Record<string, string> } = {}): Promise<Shown> {
  if (!server.listening) {
    servers.push(server);
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
  }
  const sent = httpRequest({ host: "127.0.0.1", port: (server.address() as AddressInfo).port, path, agent: false, ...options });
  sent.end();
  const [response] = (await once(sent, "response")) as [IncomingMessage];
  return { status: response.statusCode ?? 0, body: await text(response), headers: response.headers };
}

function admin(): { server: Server; logging: Logging } {
  const logging = createLogging({ name: "test", level: "info", destination: { write: () => undefined } });
  const views = new Map<string, (query: URLSearchParams) => unknown>([
    ["/config", () => ({ revision: 7 })],
    ["/decisions", (query) => ({ id: query.get("id") })],
  ]);
  return { server: createAdminServer({ views, logging }), logging };
}

describe("admin", () => {
  test("shows its pages as JSON that nobody keeps", async () => {
    const { server } = admin();
    expect(JSON.parse((await ask(server, "/")).body)).toEqual({ paths: ["/config", "/decisions", "/log-level"] });
    const shown = await ask(server, "/decisions?id=d-1");
    expect(shown).toMatchObject({ status: 200, headers: { "content-type": "application/json", "cache-control": "no-store" } });
    expect(JSON.parse(shown.body)).toEqual({ id: "d-1" });
    expect((await ask(server, "/nothing")).status).toBe(404);
    expect((await ask(server, "/config", { method: "POST" })).status).toBe(405);
  });

  test.each<[string, Record<string, string>]>([
    ["a page of the web, which says where it comes from", { origin: "https://evil.example" }],
    ["the same by its own name, made to point here", { host: "evil.example" }],
    ["an address that is not this machine's", { host: "10.0.0.1" }],
  ])("refuses %s", async (_, headers) => {
    const { server, logging } = admin();
    for (const [path, method] of [
      ["/config", "GET"],
      ["/log-level?level=silent", "POST"],
    ] as const) {
      expect((await ask(server, path, { method, headers })).status).toBe(403);
    }
    expect(logging.level()).toBe("info");
  });

  test.each(["localhost", "localhost:15000", "127.0.0.1:15000", "[::1]:15000"])("knows this machine as %s", async (host) => {
    expect((await ask(admin().server, "/config", { headers: { host } })).status).toBe(200);
  });

  test("sets the level of the log", async () => {
    const { server, logging } = admin();
    expect((await ask(server, "/log-level?level=debug", { method: "POST" })).status).toBe(200);
    expect(logging.level()).toBe("debug");
    expect((await ask(server, "/log-level")).body).toContain("debug");
    expect((await ask(server, "/log-level?level=loud", { method: "POST" })).status).toBe(400);
    expect(logging.level()).toBe("debug");
  });
});

test("health: alive at once, ready when nothing is missing", async () => {
  const missing = ["certificate"];
  const server = createHealthServer({ problems: () => missing, probe: () => undefined, takeLeave: async () => undefined });
  expect((await ask(server, "/healthz")).status).toBe(200);
  const not = await ask(server, "/readyz");
  expect(not.status).toBe(503);
  expect(JSON.parse(not.body)).toEqual({ status: "not ready", missing: ["certificate"] });
  missing.length = 0;
  expect((await ask(server, "/readyz")).status).toBe(200);
  expect((await ask(server, "/")).status).toBe(404);
});

test("health: a farewell is answered when it is over", async () => {
  const over = Promise.withResolvers<void>();
  let answered = false;
  const server = createHealthServer({ problems: () => [], probe: () => undefined, takeLeave: () => over.promise });
  const asked = ask(server, "/farewell").finally(() => {
    answered = true;
  });
  expect((await ask(server, "/healthz")).status).toBe(200);
  expect(answered).toBe(false);
  over.resolve();
  expect((await asked).status).toBe(200);
});

test("metrics: in Prometheus' form, at one path", async () => {
  const registry = new Registry();
  new Counter({ name: "some_total", help: "some", registers: [registry] }).inc(3);
  const server = createMetricsServer(registry);
  const shown = await ask(server, "/metrics");
  expect(shown.headers["content-type"]).toBe(registry.contentType);
  expect(shown.body).toContain("some_total 3");
  expect((await ask(server, "/")).status).toBe(404);
  expect((await ask(server, "/metrics", { method: "POST" })).status).toBe(404);
});
