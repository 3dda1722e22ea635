/** What the three services have in common: JSON over plain HTTP, on loopback unless HOST says otherwise. Nothing here knows of the mesh. */
import { createServer, type IncomingMessage } from "node:http";
import { json } from "node:stream/consumers";

export interface Answer {
  readonly status: number;
  readonly body: unknown;
}

export type Handler = (method: string, path: string, body: unknown, request: IncomingMessage) => Promise<Answer> | Answer;

export function serveJson(name: string, handler: Handler): void {
  const server = createServer((request, response) => {
    if (process.env["LOG_CALLS"] === "on") process.stdout.write(`${JSON.stringify(describe(request))}\n`);
    void answer(handler, request).then(({ status, body }) => {
      response.writeHead(status, { "content-type": "application/json" });
      response.end(`${JSON.stringify(body)}\n`);
    });
  });
  server.listen(Number(process.env["PORT"]), process.env["HOST"] ?? "127.0.0.1", () => process.stdout.write(`${name} listens\n`));
  process.once("SIGTERM", () => server.close(() => process.exit(0)));
}

function describe({ method, url, headers }: IncomingMessage): object {
  return { method, url, host: headers.host, from: headers["x-forwarded-client-cert"] };
}

async function answer(handler: Handler, request: IncomingMessage): Promise<Answer> {
  try {
    const body = request.method === "POST" ? await json(request) : undefined;
    return await handler(request.method ?? "", request.url ?? "/", body, request);
  } catch (error) {
    return { status: 502, body: { error: String(error) } };
  }
}

/** Calls another service by its name; `http_proxy` in the environment makes the sidecar carry it. */
export async function call(method: string, url: string, body?: unknown): Promise<Answer> {
  const init: RequestInit = body === undefined ? { method } : { method, body: JSON.stringify(body) };
  const response = await fetch(url, init);
  return { status: response.status, body: await response.json() };
}
