/**
 * The admin, metrics and health listeners. Admin is for an operator on the machine: it refuses any request that did not come
 * from this host, that a browser may have been talked into (a foreign Host, an Origin), and shows no secret.
 */
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from "node:http";
import { isIP } from "node:net";
import type { Registry } from "prom-client";
import { logLevels, type Logging } from "../common/runtime/logger.ts";
import type { ProbeAnswer } from "./probes/probes.ts";

export interface AdminSources {
  /** By path: what it shows, as JSON. */
  readonly views: ReadonlyMap<string, (query: URLSearchParams) => unknown>;
  readonly logging: Logging;
}

const loopback = new Set(["127.0.0.1", "::1", "::ffff:127.0.0.1"]);

export function createAdminServer(sources: AdminSources): Server {
  const { views, logging } = sources;
  return serverFor((request, response) => {
    if (!isLocal(request)) {
      answer(response, 403, { error: "the admin port is for this machine" });
      return;
    }
    const url = new URL(request.url ?? "/", "http://admin");
    if (url.pathname === "/log-level") {
      setLogLevel(request, response, url, logging);
      return;
    }
    if (request.method !== "GET") {
      answer(response, 405, { error: "only GET" });
      return;
    }
    if (url.pathname === "/") {
      answer(response, 200, { paths: [...views.keys(), "/log-level"] });
      return;
    }
    const view = views.get(url.pathname);
    if (view) answer(response, 200, view(url.searchParams));
    else answer(response, 404, { error: "no such page", paths: [...views.keys(), "/log-level"] });
  });
}

function setLogLevel(request: IncomingMessage, response: ServerResponse, url: URL, logging: Logging): void {
  if (request.method === "POST") {
    const wanted = url.searchParams.get("level");
    const level = logLevels.find((each) => each === wanted);
    if (!level) {
      answer(response, 400, { error: `level must be one of ${logLevels.join(", ")}` });
      return;
    }
    logging.setLevel(level);
  } else if (request.method !== "GET") {
    answer(response, 405, { error: "GET, or POST ?level=" });
    return;
  }
  answer(response, 200, { level: logging.level() });
}

/** From this host, and asked for as this host: a web page that resolves its own name to loopback is neither. */
function isLocal(request: IncomingMessage): boolean {
  if (!loopback.has(request.socket.remoteAddress ?? "") || request.headers.origin !== undefined) return false;
  const host = (request.headers.host ?? "").replace(/:\d+$/, "").replace(/^\[(.*)\]$/, "$1");
  return host === "localhost" || (isIP(host) !== 0 && loopback.has(host));
}

export function createMetricsServer(registry: Registry): Server {
  return serverFor((request, response) => {
    if (request.method !== "GET" || new URL(request.url ?? "/", "http://metrics").pathname !== "/metrics") {
      answer(response, 404, { error: "GET /metrics" });
      return;
    }
    registry.metrics().then(
      (text) => {
        response.writeHead(200, { "content-type": registry.contentType });
        response.end(text);
      },
      (error: unknown) => answer(response, 500, { error: String(error) }),
    );
  });
}

export interface HealthSources {
  /** Why the sidecar is not ready; empty when it is. */
  readonly problems: () => readonly string[];
  /** Answers for the application at its own paths; undefined for any other. */
  readonly probe: (request: IncomingMessage, response: ServerResponse) => Promise<ProbeAnswer> | undefined;
  /** Resolves when nobody calls this instance any more, or after some seconds. Anybody may ask, so it must change nothing. */
  readonly takeLeave: () => Promise<void>;
}

export function createHealthServer({ problems, probe, takeLeave }: HealthSources): Server {
  return serverFor((request, response) => {
    const probed = probe(request, response);
    if (probed) {
      void probed.then(({ status, body }) => {
        if (!response.destroyed) answer(response, status, body);
      });
      return;
    }
    const { pathname } = new URL(request.url ?? "/", "http://health");
    if (pathname === "/healthz") {
      answer(response, 200, { status: "ok" });
    } else if (pathname === "/readyz") {
      const missing = problems();
      answer(response, missing.length === 0 ? 200 : 503, missing.length === 0 ? { status: "ready" } : { status: "not ready", missing });
    } else if (pathname === "/farewell") {
      void takeLeave().then(() => {
        if (!response.destroyed) answer(response, 200, { status: "ok" });
      });
    } else {
      answer(response, 404, { error: "/healthz, /readyz, /farewell, or a probe of the application that is listed" });
    }
  });
}

/** Small servers for small requests: slow or endless clients are cut off. */
function serverFor(listener: RequestListener): Server {
  const server = createServer({ requestTimeout: 10_000, headersTimeout: 5000, maxHeaderSize: 16 * 1024 }, listener);
  server.maxConnections = 64;
  return server;
}

function answer(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json", "cache-control": "no-store" });
  response.end(`${JSON.stringify(body, undefined, 2)}\n`);
}
