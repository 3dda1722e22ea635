/**
 * Requests to the API server, as whom the kubeconfig or the pod's own service account says. Every request has a deadline, every
 * answer and every line of a watch a greatest size; nothing is tried twice here.
 *
 * `@kubernetes/client-node` reads kubeconfigs and knows the many ways to authenticate; connections are ours, because it would
 * open a new one for every request. It takes a second to load, and is loaded only where there is a cluster.
 */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import type { RequestOptions } from "node:https";
import { delimiter } from "node:path";
import type { KubeConfig } from "@kubernetes/client-node";
import { Agent } from "undici";
import type { Dispatcher } from "undici";
import { z } from "zod";
import type { Clock } from "../../common/runtime/clock.ts";
import { KubernetesError } from "./error.ts";
import type { KubernetesErrorCode } from "./error.ts";

const requestMilliseconds = 15_000;
/** A page of the largest objects that etcd holds would be larger; one of ordinary objects is far smaller. */
const maxAnswerBytes = 64 * 1024 * 1024;
const maxLineBytes = 8 * 1024 * 1024;

export interface KubernetesRequest {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** With its query. */
  readonly path: string;
  readonly body?: unknown;
  /** By default `application/json`. */
  readonly contentType?: string;
  /** By default `application/json`. */
  readonly accept?: string;
  readonly signal: AbortSignal;
}

export interface KubernetesClient {
  /** The namespace that requests are made from, where that is known. */
  readonly namespace: string | undefined;
  /** Resolves to the JSON of a 2xx answer. Throws KubernetesError. */
  readonly request: (request: KubernetesRequest) => Promise<unknown>;
  /** The same of what need not be JSON: logs, and what is asked through the API server's proxy. */
  readonly requestText: (request: KubernetesRequest) => Promise<string>;
  /**
   * The JSON lines of a watch, until the API server ends it. Throws KubernetesError, `timed-out` when nothing came for
   * `idleMilliseconds`.
   */
  readonly watch: (path: string, idleMilliseconds: number, signal: AbortSignal) => AsyncGenerator<unknown, void, undefined>;
  readonly close: () => Promise<void>;
}

/**
 * Uses that kubeconfig, or several as the KUBECONFIG variable lists them, and of it `context` or the current one; without one, the service
 * account of the pod. Throws KubernetesError `bad-configuration`.
 */
export async function createKubernetesClient(kubeconfig: string | undefined, clock: Clock, context?: string): Promise<KubernetesClient> {
  const config = await loadConfig(kubeconfig, context);
  const cluster = config.getCurrentCluster();
  if (cluster === null || cluster.proxyUrl !== undefined) {
    throw new KubernetesError("bad-configuration", "the kubeconfig has no current cluster, or one behind a proxy, which is not supported");
  }
  const origin = new URL(cluster.server);
  const basePath = origin.pathname.replace(/\/$/, "");
  const connections = createConnections();

  async function send(
    { method, path, body, contentType, accept = "application/json" }: Omit<KubernetesRequest, "signal">,
    signal: AbortSignal,
  ): Promise<Dispatcher.ResponseData> {
    const options = await credentials(config);
    const response = await connections.to(options).request({
      origin: origin.origin,
      path: basePath + path,
      method,
      signal,
      headers: {
        ...(options.headers as Record<string, string>),
        accept,
        "user-agent": "countersign",
        ...(body === undefined ? {} : { "content-type": contentType ?? "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (response.statusCode >= 200 && response.statusCode < 300) return response;
    throw refusal(response.statusCode, `${method} ${path}`, await textOf(response, 64 * 1024));
  }

  async function requestText({ signal, ...request }: KubernetesRequest): Promise<string> {
    const deadline = createDeadline(clock, signal);
    deadline.extend(requestMilliseconds);
    try {
      return await textOf(await send(request, deadline.signal), maxAnswerBytes);
    } catch (error) {
      throw asKubernetesError(error, `${request.method} ${request.path}`, deadline, signal);
    } finally {
      deadline.cancel();
    }
  }

  return {
    namespace: config.getContextObject(config.getCurrentContext())?.namespace?.trim(),

    request: async (request) => jsonOf(await requestText(request)),
    requestText,

    async *watch(path, idleMilliseconds, signal) {
      const deadline = createDeadline(clock, signal);
      deadline.extend(idleMilliseconds);
      try {
        const response = await send({ method: "GET", path }, deadline.signal);
        for await (const line of linesOf(response.body, () => {
          deadline.extend(idleMilliseconds);
        })) {
          yield jsonOf(line);
        }
      } catch (error) {
        throw asKubernetesError(error, `watch ${path}`, deadline, signal);
      } finally {
        deadline.cancel();
        // A reader that stops early leaves a connection on which the API server would go on writing.
        deadline.abort();
      }
    },

    close: () => connections.close(),
  };
}

async function loadConfig(kubeconfig: string | undefined, context: string | undefined): Promise<KubeConfig> {
  const { KubeConfig } = await import("@kubernetes/client-node");
  const config = new KubeConfig();
  try {
    if (kubeconfig === undefined) config.loadFromCluster();
    else loadFiles(config, kubeconfig, () => new KubeConfig());
    if (context !== undefined) {
      if (config.getContextObject(context) === null) throw new Error(`there is no context ${JSON.stringify(context)}`);
      config.setCurrentContext(context);
    }
    await credentials(config);
    return config;
  } catch (error) {
    const where = kubeconfig ?? "the pod's service account";
    throw new KubernetesError("bad-configuration", `${where}: ${messageOf(error)}`, { cause: error });
  }
}

/** All of them, in the first one's context; files that are not there are passed over, where there are several. A name in two of them is an error. */
function loadFiles(config: KubeConfig, kubeconfig: string, empty: () => KubeConfig): void {
  const listed = kubeconfig.split(delimiter).filter((file) => file !== "");
  const present = listed.filter((file) => existsSync(file));
  const [first = kubeconfig, ...others] = listed.length > 1 && present.length > 0 ? present : listed;
  config.loadFromFile(first);
  for (const file of others) {
    const other = empty();
    other.loadFromFile(file);
    config.mergeConfig(other, true);
  }
}

/** Headers and TLS settings, which may change from one request to the next: tokens are rotated. */
async function credentials(config: KubeConfig): Promise<RequestOptions> {
  const options: RequestOptions = { headers: {} };
  await config.applyToHTTPSOptions(options);
  return options;
}

/** Connections stay while who we are and whom we trust stay. */
function createConnections() {
  let fingerprint = "";
  let agent: Agent | undefined;
  return {
    to({ ca, cert, key, servername, rejectUnauthorized }: RequestOptions): Agent {
      const tls = { ca, cert, key, servername, rejectUnauthorized };
      const now = createHash("sha256")
        .update(JSON.stringify(tls, (_key, value: unknown) => (Buffer.isBuffer(value) ? value.toString("base64") : value)))
        .digest("base64");
      if (agent !== undefined && now === fingerprint) return agent;
      agent?.close().catch(() => undefined);
      fingerprint = now;
      const given = Object.fromEntries(Object.entries(tls).filter(([, value]) => value !== undefined));
      // Deadlines are ours: a watch may be silent for longer than undici lets an answer be.
      agent = new Agent({ connect: { ...given, timeout: requestMilliseconds }, headersTimeout: 0, bodyTimeout: 0 });
      return agent;
    },
    async close() {
      await agent?.destroy();
    },
  };
}

interface Deadline {
  readonly signal: AbortSignal;
  /** That much from now. */
  readonly extend: (milliseconds: number) => void;
  readonly passed: () => boolean;
  readonly cancel: () => void;
  readonly abort: () => void;
}

function createDeadline(clock: Clock, outer: AbortSignal): Deadline {
  const controller = new AbortController();
  let passed = false;
  let cancel = () => {};
  return {
    signal: AbortSignal.any([outer, controller.signal]),
    extend(milliseconds) {
      cancel();
      cancel = clock.schedule(milliseconds, () => {
        passed = true;
        controller.abort();
      });
    },
    passed: () => passed,
    cancel() {
      cancel();
    },
    abort() {
      controller.abort();
    },
  };
}

async function textOf(response: Dispatcher.ResponseData, maxBytes: number): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response.body as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxBytes) throw new KubernetesError("malformed-answer", `an answer of more than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

/** What comes after the last line's end is a line that was cut off, and not one. */
async function* linesOf(body: AsyncIterable<Buffer>, onBytes: () => void): AsyncGenerator<string, void, undefined> {
  let parts: Buffer[] = [];
  let size = 0;
  for await (const chunk of body) {
    onBytes();
    let from = 0;
    for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, from)) {
      parts.push(chunk.subarray(from, end));
      yield Buffer.concat(parts).toString();
      parts = [];
      size = 0;
      from = end + 1;
    }
    size += chunk.length - from;
    if (size > maxLineBytes) throw new KubernetesError("malformed-answer", `an event of more than ${maxLineBytes} bytes`);
    parts.push(chunk.subarray(from));
  }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new KubernetesError("malformed-answer", "an answer that is not JSON", { cause: error });
  }
}

const statusObject = z.object({ message: z.string().default("") });
const codesByStatus = new Map<number, KubernetesErrorCode>([
  [401, "unauthorized"],
  [403, "forbidden"],
  [404, "not-found"],
  [409, "conflict"],
  [410, "gone"],
  [429, "throttled"],
]);

/** The error of a status other than 2xx; `text` is the body, a `Status` object where the API server made it. */
function refusal(status: number, what: string, text: string): KubernetesError {
  const said = messageOfStatus(text).slice(0, 2000);
  const code = codesByStatus.get(status) ?? (status >= 500 ? "server-error" : "rejected");
  return new KubernetesError(code, `${what}: ${status}${said === "" ? "" : ` ${said}`}`);
}

function messageOfStatus(text: string): string {
  try {
    return statusObject.parse(JSON.parse(text)).message;
  } catch {
    // A proxy on the way says what it likes.
    return "";
  }
}

function asKubernetesError(error: unknown, what: string, deadline: Deadline, outer: AbortSignal): unknown {
  if (outer.aborted) return outer.reason;
  if (error instanceof KubernetesError) return error;
  if (deadline.passed()) return new KubernetesError("timed-out", `${what}: no answer in time`, { cause: error });
  return new KubernetesError("unreachable", `${what}: ${messageOf(error)}`, { cause: error });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
