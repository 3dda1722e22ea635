/** Clients of all sorts for a test: an application's own, raw bytes over TCP or TLS, and HTTP/2. */
import { request as httpRequest, type Agent, type IncomingHttpHeaders } from "node:http";
import { connect as connectHttp2, constants, type ClientHttp2Session, type OutgoingHttpHeaders } from "node:http2";
import { connect } from "node:net";
import { buffer } from "node:stream/consumers";
import { connect as connectTls, type ConnectionOptions } from "node:tls";
import { addressFromString, type Address } from "../../common/runtime/environment.ts";
import type { HandmadeRequest } from "../../examples/shop/intruder.ts";
import type { Identity } from "../../sidecar/tls/profile.ts";

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  readonly trailers: NodeJS.Dict<string>;
  /** `x-countersign-reason`, or empty. */
  readonly reason: string;
}

export interface Call {
  readonly host: string;
  readonly method?: string;
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string | string[]>>;
  readonly body?: string | Buffer;
  readonly agent?: Agent;
  readonly signal?: AbortSignal;
}

export function addressOf(text: string): Address {
  const address = addressFromString(text);
  if (!address) throw new TypeError(`${text} is not an address`);
  return address;
}

/** As an application calls: by way of an outbound listener, the destination in `Host`. Rejects when the answer is cut. */
export async function call(outbound: string, { host, method = "GET", path = "/", headers, body, agent, signal }: Call): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const sent = httpRequest(
    {
      ...addressOf(outbound),
      method,
      path,
      headers: { host, ...(body === undefined ? {} : { "content-length": String(Buffer.byteLength(body)) }), ...headers },
      agent: agent ?? false,
      ...(signal === undefined ? {} : { signal }),
    },
    (response) => {
      buffer(response).then(
        (bytes) =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            body: bytes,
            trailers: response.trailers,
            reason: String(response.headers["x-countersign-reason"] ?? ""),
          }),
        reject,
      );
    },
  );
  sent.once("error", reject);
  sent.end(body);
  return await promise;
}

const silenceMs = 15_000;

/** Sends bytes and returns everything that comes back until the other side closes. Rejects when it does not. */
export async function sendPlain(address: string, bytes: string | Buffer): Promise<string> {
  const { host, port } = addressOf(address);
  return await readToEnd(connect({ host, port }), "connect", bytes);
}

export function tlsOptions(identity: Pick<Identity, "certificateChain" | "privateKey" | "authorities">): ConnectionOptions {
  return {
    cert: identity.certificateChain,
    key: identity.privateKey,
    ca: identity.authorities,
    ALPNProtocols: ["http/1.1"],
    checkServerIdentity: () => undefined,
  };
}

/** The same over mutual TLS. */
export async function sendTls(address: string, options: ConnectionOptions, bytes: string | Buffer): Promise<string> {
  return await readToEnd(connectTls({ ...addressOf(address), ...options }), "secureConnect", bytes);
}

async function readToEnd(
  socket: ReturnType<typeof connect>,
  connected: "connect" | "secureConnect",
  bytes: string | Buffer,
): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let text = "";
  const timer = setTimeout(() => socket.destroy(new Error(`not closed after ${silenceMs} ms: ${text}`)), silenceMs);
  let failure: Error | undefined;
  socket.once(connected, () => socket.write(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes));
  socket.on("data", (chunk: Buffer) => (text += chunk.toString("latin1")));
  socket.on("error", (error) => (failure = error));
  socket.once("close", () => {
    clearTimeout(timer);
    // What was refused on the way counts as answered with nothing.
    if (failure?.message.startsWith("not closed")) reject(failure);
    else resolve(text);
  });
  return await promise;
}

/** Status and reason of the first answer in `text`; status 0 where there is none. */
export function firstAnswer(text: string): { readonly status: number; readonly reason: string } {
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1] ?? 0);
  return { status, reason: /^x-countersign-reason: (\S+)/im.exec(text)?.[1] ?? "" };
}

/** The bytes of a request made by hand; `lines` are more header lines, as they are. */
export function wireText(request: HandmadeRequest, lines: readonly string[] = []): string {
  const fields = Object.entries(request.headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const length = request.body === "" ? "" : `content-length: ${Buffer.byteLength(request.body)}\r\n`;
  const more = lines.map((line) => `${line}\r\n`).join("");
  return `${request.method} ${request.path} HTTP/1.1\r\nhost: ${request.host}\r\n${fields.join("")}${more}${length}connection: close\r\n\r\n${request.body}`;
}

export interface Http2Answer {
  /** 0 where the stream was reset. */
  readonly status: number;
  readonly reason: string;
  readonly body: string;
  /** RST_STREAM's code. */
  readonly code: number;
}

export function openHttp2(address: string, identity: Identity): ClientHttp2Session {
  const session = connectHttp2("https://inbound", {
    createConnection: () => connectTls({ ...addressOf(address), ...tlsOptions(identity), ALPNProtocols: ["h2"] }),
  });
  session.on("error", () => undefined);
  return session;
}

export async function callHttp2(session: ClientHttp2Session, headers: OutgoingHttpHeaders, body = ""): Promise<Http2Answer> {
  const { promise, resolve } = Promise.withResolvers<Http2Answer>();
  const stream = session.request(headers, { endStream: body === "" });
  let status = 0;
  let reason = "";
  let text = "";
  stream.on("response", (fields) => {
    status = fields[":status"] ?? 0;
    reason = String(fields["x-countersign-reason"] ?? "");
  });
  stream.on("data", (chunk: Buffer) => (text += chunk.toString("latin1")));
  stream.on("error", () => undefined);
  stream.once("close", () => resolve({ status, reason, body: text, code: stream.rstCode ?? constants.NGHTTP2_NO_ERROR }));
  if (body !== "") stream.end(body);
  return await promise;
}
