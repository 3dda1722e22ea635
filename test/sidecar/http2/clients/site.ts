/** The smallest server on `attachHttp2`: what it does is in the path that is asked for. */
import { createHash, type Hash } from "node:crypto";
import { once } from "node:events";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { createServer as createTlsServer, type TLSSocket, type TlsOptions } from "node:tls";
import { createField, type Field } from "../../../../common/http/field.ts";
import type { RequestHead } from "../../../../common/http/message.ts";
import { createHttp2Connection, type Http2Connection, type Http2Limits, type Http2Stream } from "../../../../sidecar/http2/connection.ts";
import { errorName, Http2ErrorCode, type Http2ErrorName } from "../../../../sidecar/http2/error.ts";
import { attachHttp2, type Http2Transport } from "../../../../sidecar/http2/transport.ts";
import { answerGrpc, type GrpcMethod } from "./grpc.ts";

export interface Site extends AsyncDisposable {
  readonly port: number;
  /** `http://127.0.0.1:port`, or https. */
  readonly origin: string;
  /** Streams the peers reset, in order: their path and code. */
  readonly resets: { readonly path: string; readonly code: Http2ErrorName }[];
  /** What connections ended with, other than an ordinary end. */
  readonly errors: Error[];
  readonly transports: Set<Http2Transport>;
  /** Waits until something of the above is as wanted. */
  until(condition: () => boolean): Promise<void>;
}

export interface SiteOptions {
  readonly limits?: Partial<Http2Limits>;
  readonly tls?: TlsOptions;
}

/** One request under way. */
export interface Exchange {
  readonly connection: Http2Connection;
  readonly stream: Http2Stream;
  readonly head: RequestHead;
  readonly hash: Hash;
  received: number;
  /** What is yet to be sent of `/bytes`. */
  left: number;
  /** Bytes of an echo that the peer has no room for yet: consumed when they have left. */
  owed: number;
  grpc: GrpcMethod | undefined;
}

const PART = 65_536;
const part = Buffer.from(Array.from({ length: PART }, (_, i) => i % 251));
const plain = createField("content-type", "text/plain");

/** Its bytes are what `/bytes/N` sends. */
export function bytesOf(length: number): Buffer {
  return Buffer.alloc(length, part);
}

export async function startSite({ limits = {}, tls }: SiteOptions = {}): Promise<Site> {
  const resets: { path: string; code: Http2ErrorName }[] = [];
  const errors: Error[] = [];
  const transports = new Set<Http2Transport>();
  const waiting = new Set<() => void>();
  const changed = (): void => {
    for (const look of waiting) look();
  };
  const serve = (socket: Socket | TLSSocket): void => {
    const transport = serveSocket(socket, limits, resets, changed, (error) => {
      transports.delete(transport);
      if (error !== undefined) errors.push(error);
      changed();
    });
    transports.add(transport);
    changed();
  };
  const server = tls === undefined ? createServer({ noDelay: true }, serve) : createTlsServer({ ALPNProtocols: ["h2"], ...tls }, serve);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    port,
    origin: `${tls === undefined ? "http" : "https"}://127.0.0.1:${port}`,
    resets,
    errors,
    transports,
    until: (condition) =>
      new Promise((resolve) => {
        const look = (): void => {
          if (!condition()) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
      }),
    async [Symbol.asyncDispose]() {
      for (const transport of transports) transport.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

function serveSocket(
  socket: Socket,
  limits: Partial<Http2Limits>,
  resets: { path: string; code: Http2ErrorName }[],
  changed: () => void,
  onClose: (error: Error | undefined) => void,
): Http2Transport {
  const of = (stream: Http2Stream): Exchange => stream.data as Exchange;
  const unexpected = (): never => {
    throw new Error("a server has no responses to receive");
  };
  const transport = attachHttp2(
    socket,
    {
      onRequest(stream, head, end) {
        const { connection } = transport;
        const exchange: Exchange = { connection, stream, head, hash: createHash("sha256"), received: 0, left: 0, owed: 0, grpc: undefined };
        stream.data = exchange;
        begin(exchange, transport);
        changed();
        if (end) finish(exchange, []);
      },
      onData(stream, chunk, end) {
        takePart(of(stream), chunk);
        if (end) finish(of(stream), []);
      },
      onTrailers: (stream, fields) => finish(of(stream), fields),
      onReset(stream, code, byPeer) {
        if (byPeer) resets.push({ path: of(stream).head.target, code: errorName(code) });
        changed();
      },
      onWritable(stream) {
        const exchange = of(stream);
        if (exchange.owed > 0) exchange.connection.consumed(stream, exchange.owed);
        exchange.owed = 0;
        if (exchange.left > 0) sendParts(exchange);
      },
      onResponse: unexpected,
      onInformational: unexpected,
      onGoaway: changed,
      onSettings: changed,
      onPong: changed,
      onFatal: changed,
    },
    (handler) => createHttp2Connection({ role: "server", handler, limits, now: () => performance.now() }),
    { onClose },
  );
  return transport;
}

function begin(exchange: Exchange, transport: Http2Transport): void {
  const { connection, stream, head } = exchange;
  if (head.fields.some(({ name, value }) => name === "expect" && value === "100-continue")) connection.respond(stream, 100, [], false);
  exchange.grpc = answerGrpc(exchange);
  if (exchange.grpc !== undefined) return;
  switch (head.target) {
    case "/echo":
      connection.respond(stream, 200, [plain], false);
      return;
    case "/refuse":
      connection.respond(stream, 413, [], false);
      connection.sendData(stream, Buffer.from("too large\n"), true);
      connection.reset(stream, Http2ErrorCode.NO_ERROR);
      return;
    case "/reset":
      connection.reset(stream, Http2ErrorCode.INTERNAL_ERROR);
      return;
    case "/drain":
      void transport.close(10_000);
  }
}

function takePart(exchange: Exchange, chunk: Buffer): void {
  const { connection, stream, head } = exchange;
  exchange.received += chunk.length;
  exchange.hash.update(chunk);
  if (exchange.grpc !== undefined) exchange.grpc.take(chunk);
  else if (head.target === "/echo" && !connection.sendData(stream, chunk, false)) {
    exchange.owed += chunk.length;
    return;
  }
  connection.consumed(stream, chunk.length);
}

function finish(exchange: Exchange, trailers: readonly Field[]): void {
  const { connection, stream, head } = exchange;
  if (exchange.grpc !== undefined) {
    exchange.grpc.end();
    return;
  }
  const text = (body: string): void => {
    const fields = [plain, createField("content-length", String(body.length))];
    connection.respond(stream, 200, fields, head.method === "HEAD");
    if (head.method !== "HEAD") connection.sendData(stream, Buffer.from(body, "latin1"), true);
  };
  const lines = (fields: readonly Field[]): string => fields.map(({ name, value }) => `${name}: ${value}\n`).join("");
  switch (head.target) {
    case "/echo":
      connection.sendTrailers(stream, [createField("x-sha256", exchange.hash.digest("hex"))]);
      return;
    case "/digest":
      text(`${exchange.received} ${exchange.hash.digest("hex")}\n${lines(trailers)}`);
      return;
    case "/fields":
      text(lines(head.fields));
      return;
    case "/hints":
      connection.respond(stream, 103, [createField("link", "</style.css>; rel=preload")], false);
      text("hinted\n");
      return;
    case "/never":
    case "/refuse":
    case "/reset":
      return;
  }
  if (head.target.startsWith("/bytes/")) {
    exchange.left = Number(head.target.slice("/bytes/".length));
    connection.respond(stream, 200, [createField("content-length", String(exchange.left))], false);
    sendParts(exchange);
  } else text("hello\n");
}

/** As much of `/bytes` as the peer has room for. */
function sendParts(exchange: Exchange): void {
  let more = true;
  while (more && exchange.left > 0) {
    const size = Math.min(PART, exchange.left);
    exchange.left -= size;
    more = exchange.connection.sendData(exchange.stream, size === PART ? part : part.subarray(0, size), exchange.left === 0);
  }
}
