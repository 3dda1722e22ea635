/**
 * A server that plays the API server over real HTTP: lists in pages of one version, watches with bookmarks, optimistic concurrency,
 * TokenReview; and the faults that a real one has. Its objects are plain JSON, kept by the path of their collection.
 */
import { mkdtempSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { listen } from "../../../common/runtime/listen.ts";

export interface ApiObject {
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid?: string;
    readonly resourceVersion?: string;
    readonly [field: string]: unknown;
  };
  readonly [field: string]: unknown;
}

/** What becomes of a request instead of an answer. */
export type Fault =
  | { readonly kind: "status"; readonly status: number }
  /** No byte is ever answered. */
  | { readonly kind: "stall" }
  /** The connection is closed after that many bytes of the answer. */
  | { readonly kind: "cut"; readonly afterBytes: number }
  | { readonly kind: "garbage" };

interface Event {
  readonly version: number;
  readonly collection: string;
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly object: ApiObject;
}

export interface ApiServer {
  readonly kubeconfig: string;
  readonly requests: readonly string[];
  /** Makes or replaces an object, as somebody else would. */
  readonly put: (collection: string, object: ApiObject) => void;
  readonly remove: (collection: string, namespace: string, name: string) => void;
  readonly objects: (collection: string) => readonly ApiObject[];
  /** Forgets every event so far: watches from before are told 410. */
  readonly compact: () => void;
  /** Ends every open watch. */
  readonly endWatches: () => void;
  /** Every event is sent twice. */
  readonly repeatEvents: (on: boolean) => void;
  readonly bookmark: () => void;
  /** For the next requests whose method and path match, each once. */
  readonly fail: (what: RegExp, fault: Fault) => void;
  /** Drops connections and refuses new ones until it is called with false. */
  readonly down: (down: boolean) => void;
  /** What is answered at a path of its own, to whoever takes that type. */
  readonly serve: (path: string, body: object, type?: string) => void;
  readonly reviewTokens: (review: (token: string, audiences: readonly string[]) => object) => void;
  readonly openWatches: () => number;
  readonly close: () => Promise<void>;
}

export async function startApiServer(): Promise<ApiServer> {
  const collections = new Map<string, Map<string, ApiObject>>();
  const events: Event[] = [];
  const watches = new Set<{ collection: string; field: string | undefined; response: ServerResponse }>();
  const faults: { what: RegExp; fault: Fault }[] = [];
  const requests: string[] = [];
  const pages = new Map<string, { readonly body: object; readonly type: string }>();
  const snapshots = new Map<string, { version: number; objects: readonly ApiObject[] }>();
  let version = 100;
  let compactedAt = 0;
  let uids = 0;
  let repeat = false;
  let isDown = false;
  let review: (token: string, audiences: readonly string[]) => object = () => ({ authenticated: false });

  const collectionOf = (path: string) => collections.getOrInsertComputed(path, () => new Map<string, ApiObject>());
  const keyOf = (namespace: string | undefined, name: string) => `${namespace ?? ""}/${name}`;
  const selected = (field: string | undefined) => (object: ApiObject) =>
    field === undefined || field === `metadata.name=${object.metadata.name}`;

  function send(response: ServerResponse, status: number, body: unknown): void {
    response.writeHead(status, { "content-type": "application/json" });
    response.write(JSON.stringify(body));
    response.end();
  }
  function refuse(response: ServerResponse, code: number, message: string): void {
    send(response, code, { kind: "Status", apiVersion: "v1", status: "Failure", code, message });
  }
  function emit(event: Event): void {
    events.push(event);
    for (const watch of watches) {
      if (watch.collection !== event.collection || !selected(watch.field)(event.object)) continue;
      const line = `${JSON.stringify({ type: event.type, object: event.object })}\n`;
      watch.response.write(repeat ? line + line : line);
    }
  }
  function put(collection: string, object: ApiObject): ApiObject {
    const key = keyOf(object.metadata.namespace, object.metadata.name);
    const present = collectionOf(collection).get(key);
    version += 1;
    uids += 1;
    const uid = present?.metadata.uid ?? object.metadata.uid ?? `uid-${uids}`;
    const stored = { ...object, metadata: { ...object.metadata, uid, resourceVersion: String(version) } };
    collectionOf(collection).set(key, stored);
    emit({ version, collection, type: present === undefined ? "ADDED" : "MODIFIED", object: stored });
    return stored;
  }
  function remove(collection: string, namespace: string, name: string): boolean {
    const key = keyOf(namespace, name);
    const present = collectionOf(collection).get(key);
    if (present === undefined) return false;
    collectionOf(collection).delete(key);
    version += 1;
    const object = { ...present, metadata: { ...present.metadata, resourceVersion: String(version) } };
    emit({ version, collection, type: "DELETED", object });
    return true;
  }

  function watch(url: URL, response: ServerResponse): void {
    const from = Number(url.searchParams.get("resourceVersion"));
    response.writeHead(200, { "content-type": "application/json" });
    if (from < compactedAt) {
      response.end(`${JSON.stringify({ type: "ERROR", object: { kind: "Status", code: 410, message: "too old resource version" } })}\n`);
      return;
    }
    const field = url.searchParams.get("fieldSelector") ?? undefined;
    const one = { collection: url.pathname, field, response };
    response.flushHeaders();
    for (const { version: at, collection, type, object } of events) {
      if (at > from && collection === url.pathname && selected(field)(object)) response.write(`${JSON.stringify({ type, object })}\n`);
    }
    watches.add(one);
    response.once("close", () => watches.delete(one));
  }

  function list(url: URL, response: ServerResponse): void {
    const limit = Math.min(Number(url.searchParams.get("limit") ?? 500), 3);
    const [id = "", offset = "0"] = (url.searchParams.get("continue") ?? "").split(":");
    const snapshot = id === "" ? { version, objects: [...collectionOf(url.pathname).values()] } : snapshots.get(id);
    if (snapshot === undefined || (id !== "" && snapshot.version < compactedAt)) {
      refuse(response, 410, "the continue token is too old");
      return;
    }
    const name = id === "" ? `s${snapshots.size}` : id;
    snapshots.set(name, snapshot);
    const chosen = snapshot.objects.filter(selected(url.searchParams.get("fieldSelector") ?? undefined));
    const next = Number(offset) + limit;
    send(response, 200, {
      kind: "List",
      metadata: { resourceVersion: String(snapshot.version), ...(next < chosen.length ? { continue: `${name}:${next}` } : {}) },
      items: chosen.slice(Number(offset), next),
    });
  }

  function item(method: string, collection: string, namespace: string, name: string, body: ApiObject, response: ServerResponse): void {
    const present = collectionOf(collection).get(keyOf(namespace, name));
    if (method === "POST") {
      const metadata = { ...body.metadata, namespace };
      const taken = collectionOf(collection).has(keyOf(namespace, body.metadata.name));
      if (taken) refuse(response, 409, "already exists");
      else send(response, 201, put(collection, { ...body, metadata }));
    } else if (present === undefined) refuse(response, 404, `${name} not found`);
    else if (method === "GET") send(response, 200, present);
    else if (method === "DELETE") {
      remove(collection, namespace, name);
      send(response, 200, { kind: "Status", status: "Success" });
    } else if (body.metadata.resourceVersion !== present.metadata.resourceVersion) refuse(response, 409, "the object has been modified");
    else send(response, 200, put(collection, mergePatch(present, body) as ApiObject));
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", "http://api");
    const method = request.method ?? "GET";
    requests.push(`${method} ${request.url ?? ""}`);
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    const index = faults.findIndex(({ what }) => what.test(`${method} ${request.url ?? ""}`));
    if (index !== -1) {
      const { fault } = faults.splice(index, 1)[0]!;
      if (fault.kind === "stall") return;
      if (fault.kind === "status") {
        refuse(response, fault.status, "as the test wants it");
        return;
      }
      if (fault.kind === "garbage") {
        response.end("<html>\n");
        return;
      }
      let left = fault.afterBytes;
      const write = response.write.bind(response);
      response.write = (chunk: string) => {
        left -= chunk.length;
        write(left >= 0 ? chunk : chunk.slice(0, left));
        if (left < 0) setImmediate(() => response.destroy());
        return true;
      };
    }
    if (request.headers.authorization !== "Bearer the-control-plane") {
      refuse(response, 401, "Unauthorized");
      return;
    }
    const body = JSON.parse(Buffer.concat(chunks).toString() || '{ "metadata": { "name": "" } }') as ApiObject;
    if (url.pathname.endsWith("/tokenreviews")) {
      const { token, audiences } = body["spec"] as { token: string; audiences: readonly string[] };
      send(response, 201, { kind: "TokenReview", metadata: {}, status: review(token, audiences) });
      return;
    }
    const page = pages.get(url.pathname);
    if (page !== undefined) {
      if (request.headers.accept === page.type) send(response, 200, page.body);
      else refuse(response, 406, `Available representations: ${page.type}`);
      return;
    }
    const statusPath = /^(.*?)(?:\/namespaces\/([^/]+))?\/([^/]+)\/([^/]+)\/status$/.exec(url.pathname);
    const inNamespace = /^(.*)\/namespaces\/([^/]+)\/([^/]+)(?:\/([^/]+))?$/.exec(url.pathname);
    if (statusPath !== null) {
      const [, base = "", namespace, kind = "", name = ""] = statusPath;
      const present = collectionOf(`${base}/${kind}`).get(keyOf(namespace, name));
      if (present === undefined) refuse(response, 404, `${name} not found`);
      else send(response, 200, put(`${base}/${kind}`, { ...present, status: body["status"] }));
    } else if (inNamespace !== null) {
      const [, base = "", namespace = "", kind = "", name = ""] = inNamespace;
      item(method, `${base}/${kind}`, namespace, name, body, response);
    } else if (url.searchParams.has("watch")) watch(url, response);
    else list(url, response);
  }

  const server = createServer((request, response) => {
    if (isDown) request.socket.destroy();
    else void answer(request, response);
  });
  const { port } = await listen(server, { host: "127.0.0.1", port: 0 });
  const kubeconfig = join(mkdtempSync(join(tmpdir(), "countersign-api-")), "kubeconfig");
  const config = {
    apiVersion: "v1",
    kind: "Config",
    "current-context": "test",
    clusters: [{ name: "test", cluster: { server: `http://127.0.0.1:${port}`, "insecure-skip-tls-verify": true } }],
    users: [{ name: "test", user: { token: "the-control-plane" } }],
    contexts: [{ name: "test", context: { cluster: "test", user: "test", namespace: "countersign-system" } }],
  };
  writeFileSync(kubeconfig, JSON.stringify(config));

  const endWatches = () => {
    for (const one of watches) {
      watches.delete(one);
      one.response.end();
    }
  };
  return {
    kubeconfig,
    requests,
    put: (collection, object) => void put(collection, object),
    remove: (collection, namespace, name) => void remove(collection, namespace, name),
    objects: (collection) => [...collectionOf(collection).values()],
    compact() {
      version += 1;
      compactedAt = version;
      events.length = 0;
    },
    endWatches,
    repeatEvents(on) {
      repeat = on;
    },
    bookmark() {
      for (const { response } of watches) {
        response.write(`${JSON.stringify({ type: "BOOKMARK", object: { metadata: { resourceVersion: String(version) } } })}\n`);
      }
    },
    fail: (what, fault) => void faults.push({ what, fault }),
    down(down) {
      isDown = down;
      if (down) server.closeAllConnections();
    },
    serve: (path, body, type = "application/json") => void pages.set(path, { body, type }),
    reviewTokens(next) {
      review = next;
    },
    openWatches: () => watches.size,
    async close() {
      const { promise, resolve } = Promise.withResolvers<void>();
      server.close(() => {
        resolve();
      });
      server.closeAllConnections();
      await promise;
    },
  };
}

/** RFC 7396. */
function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isMap(patch)) return patch;
  const result = new Map(Object.entries(isMap(target) ? target : {}));
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) result.delete(name);
    else result.set(name, mergePatch(result.get(name), value));
  }
  return Object.fromEntries(result);
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
