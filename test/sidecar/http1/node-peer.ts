/**
 * What Node's own parser (llhttp, through node:http, not lenient) hears in the same bytes. Connections are pairs of
 * streams in memory, so that a case takes a fraction of a millisecond and needs no port.
 */
import type { EventEmitter } from "node:events";
import { createServer, request as startRequest, type IncomingMessage, type ServerResponse } from "node:http";
import { duplexPair, type Duplex } from "node:stream";
import type { Lines } from "./recording.ts";

export interface NodeMessage {
  /** `METHOD url version` or the status. */
  readonly start: string;
  readonly fields: Lines;
  /** Of requests; false for responses, because the client used here never keeps a connection. */
  readonly keepAlive: boolean;
  body: string;
  trailers: Lines;
  /** The message was heard to its end. */
  complete: boolean;
}

export interface NodeHeard {
  readonly messages: NodeMessage[];
  /** What follows a message that hands the connection to another protocol. */
  remainder: string;
  /** Code of llhttp's error, or of the connection's; empty when there was none. */
  error: string;
}

const generous = 1024 * 1024;

function pairs(raw: readonly string[]): Lines {
  const lines: [string, string][] = [];
  for (let index = 0; index < raw.length; index += 2) {
    lines.push([(raw[index] as string).toLowerCase(), raw[index + 1] as string]);
  }
  return lines;
}

function hear(start: string, message: IncomingMessage, keepAlive: boolean): NodeMessage {
  const heard: NodeMessage = {
    start,
    fields: pairs(message.rawHeaders),
    keepAlive,
    body: "",
    trailers: [],
    complete: false,
  };
  message.setEncoding("latin1");
  message.on("data", (chunk: string) => {
    heard.body += chunk;
  });
  message.on("end", () => {
    heard.trailers = pairs(message.rawTrailers);
    heard.complete = message.complete;
  });
  // A message that is cut short: what was heard of it stands.
  message.on("error", () => {});
  return heard;
}

function startLine(message: IncomingMessage): string {
  return `${message.method ?? ""} ${message.url ?? ""} ${message.httpVersionMinor}`;
}

function once(emitter: EventEmitter, event: string): Promise<void> {
  return new Promise((resolve) => {
    emitter.once(event, () => resolve());
  });
}

/** What a server hears in `bytes`, which one client sends and then ends. */
export async function askNodeServer(bytes: Buffer): Promise<NodeHeard> {
  const heard: NodeHeard = { messages: [], remainder: "", error: "" };
  const server = createServer({ maxHeaderSize: generous, insecureHTTPParser: false, keepAliveTimeout: 0 });
  // Otherwise the client's end would discard what was read before it.
  Object.assign(server, { httpAllowHalfOpen: true });
  server.on("request", (message: IncomingMessage, response: ServerResponse) => {
    heard.messages.push(hear(startLine(message), message, response.shouldKeepAlive));
    message.on("end", () => response.end());
  });
  server.on("connect", (message: IncomingMessage, socket: Duplex, head: Buffer) => {
    heard.messages.push({ ...hear(startLine(message), message, true), complete: true });
    heard.remainder = head.toString("latin1");
    socket.on("data", (chunk: Buffer) => {
      heard.remainder += chunk.toString("latin1");
    });
    socket.on("end", () => socket.end());
    socket.resume();
  });
  server.on("clientError", (error: NodeJS.ErrnoException, socket: Duplex) => {
    heard.error = error.code ?? error.message;
    // The messages before the error are still on their way to their listeners.
    setImmediate(() => socket.destroy());
  });
  const [near, far] = duplexPair();
  const closed = once(far, "close");
  // Node keeps an error in the body of an offered upgrade to itself, and the connection open.
  far.on("end", () => setImmediate(() => setImmediate(() => far.destroy())));
  server.emit("connection", far);
  near.resume();
  near.on("error", () => {});
  near.end(bytes);
  await closed;
  return heard;
}

/** What a client hears in `bytes`, which a server sends as answer to `method` and then ends. */
export async function askNodeClient(bytes: Buffer, method: string, upgrade: boolean): Promise<NodeHeard> {
  const heard: NodeHeard = { messages: [], remainder: "", error: "" };
  const [near, far] = duplexPair();
  const call = startRequest({
    method,
    path: method === "CONNECT" ? "a:1" : "/",
    host: "a",
    maxHeaderSize: generous,
    insecureHTTPParser: false,
    headers: upgrade ? { connection: "upgrade", upgrade: "x" } : {},
    createConnection: () => near,
  });
  const interim = (status: number, raw: readonly string[]) =>
    heard.messages.push({
      start: String(status),
      fields: pairs(raw),
      keepAlive: false,
      body: "",
      trailers: [],
      complete: true,
    });
  call.on("information", (message) => interim(message.statusCode, message.rawHeaders));
  call.on("response", (message) => {
    heard.messages.push(hear(String(message.statusCode), message, false));
  });
  let tookOver = false;
  const takeOver = (message: IncomingMessage, socket: Duplex, head: Buffer) => {
    tookOver = true;
    interim(message.statusCode ?? 0, message.rawHeaders);
    heard.remainder = head.toString("latin1");
    socket.on("data", (chunk: Buffer) => {
      heard.remainder += chunk.toString("latin1");
    });
    socket.on("end", () => socket.end());
    socket.resume();
  };
  call.on("upgrade", takeOver);
  call.on("connect", takeOver);
  // Without an agent nobody else closes a connection that the response would let live.
  call.on("close", () => {
    if (!tookOver) near.destroy();
  });
  call.on("error", (error: NodeJS.ErrnoException) => {
    heard.error = error.code ?? error.message;
    setImmediate(() => near.destroy());
  });
  const closed = once(near, "close");
  far.on("error", () => {});
  call.end();
  // Answer once the request was written, as a server would.
  await once(far, "data");
  far.resume();
  far.end(bytes);
  await closed;
  return heard;
}
