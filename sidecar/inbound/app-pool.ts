/**
 * Keep-alive HTTP/1.1 connections to the application. Hot path: reads land in one reused buffer a connection, one write a
 * request, and the exchange under way is a field of its connection.
 *
 * Guarantees: a connection carries one exchange at a time; one that was told to close, was left mid-answer or answered
 * out of turn is never used again. A request is written again on another connection only when the application closed an
 * idle one before taking a byte of it, and only for idempotent methods.
 */
import { connect, type Socket } from "node:net";
import { createField, findField, FieldKind, type Field } from "../../common/http/field.ts";
import { endToEndFields } from "../http1/end-to-end.ts";
import { createResponseParser, type ResponseParser } from "../http1/response-parser.ts";
import { acceptOf, webSocketKey } from "../http1/upgrade.ts";
import { CHUNKED_BODY, NO_FRAMING, writeChunkHead, writeLastChunk, writeRequestHead } from "../http1/write-head.ts";
import { openTunnel, type Tunnel } from "./app-tunnel.ts";
import { bodyTaken, type Exchange, type Upstream } from "./exchange.ts";
import type { AppLink, AppLinkOptions, ForwardedHead } from "./forward.ts";
import { takeBody } from "./intake.ts";
import type { Reason } from "../reason.ts";

const maxConnections = 512;
const maxQueued = 2048;
const maxIdle = 256;
const connectTimeoutMs = 5000;
const idempotent = new Set(["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"]);

/** Reads are handed on before the next one starts, so that one buffer serves every connection of the process. */
const readBuffer = Buffer.allocUnsafe(64 * 1024);
const crlf = "\r\n";
const noBytes = Buffer.alloc(0);

interface Request {
  readonly exchange: Exchange;
  readonly head: ForwardedHead;
  /** Sent again on a fresh connection, should an idle one turn out to be gone: possible while all of it is at hand. */
  readonly whole: boolean;
}

interface AppConnection extends Upstream {
  readonly socket: Socket;
  readonly parser: ResponseParser;
  exchange: Exchange | undefined;
  request: Request | undefined;
  /** The body is being sent in chunks. */
  chunked: boolean;
  /** All of the request has been written. */
  sent: boolean;
  /** Of an upgrade: what proves that the application agreed. */
  accept: string;
  /** What the connection has become. */
  tunnel: Tunnel | undefined;
  /** Whether it has completed an exchange before: only then may the application have closed it while it was idle. */
  reused: boolean;
  received: boolean;
  paused: boolean;
  closing: boolean;
  /** Bytes of the answer's body still to come; -1 where only its end will tell. */
  remaining: number;
  /** Answers tend to repeat their fields: the last array seen, and what of it travels on. */
  seenFields: readonly Field[];
  endToEnd: readonly Field[];
}

export function createAppPool(options: AppLinkOptions): AppLink {
  const { address } = options;
  const idle: AppConnection[] = [];
  const queue: Request[] = [];
  let open = 0;
  let busy = 0;
  let closed = false;

  function send(connection: AppConnection, request: Request): void {
    const { exchange, head } = request;
    connection.exchange = exchange;
    connection.request = request;
    connection.received = false;
    connection.sent = exchange.bodyEnded;
    connection.chunked = head.framing === CHUNKED_BODY;
    exchange.upstream = connection;
    busy++;
    const upgrading = exchange.protocol !== "";
    connection.parser.expect(upgrading ? "GET" : head.method, upgrading);
    // What is whole stays at hand, to be sent again; of what is not, the first part goes with the head.
    const body = request.whole ? exchange.body : undefined;
    const first = body ? body.buffer.subarray(0, body.length) : upgrading ? noBytes : takeBody(exchange);
    write(connection.socket, upgrading ? upgradeHead(connection, head, exchange) : textOf(head), first, connection.chunked);
    if (connection.chunked && exchange.bodyEnded) connection.socket.write(writeLastChunk(exchange.trailers), "latin1");
    bodyTaken(exchange);
  }

  function textOf({ method, target, authority, fields, framing, identityFields }: ForwardedHead): string {
    return writeRequestHead(method, target, authority, fields, framing, identityFields);
  }

  /** An upgrade as HTTP/1.1 offers it; WebSocket's key is ours, because it concerns this leg only (RFC 8441 5). */
  function upgradeHead(connection: AppConnection, head: ForwardedHead, { protocol }: Exchange): string {
    const added = [...head.identityFields];
    connection.accept = "";
    if (protocol === "websocket") {
      const key = webSocketKey();
      connection.accept = acceptOf(key);
      added.push(createField("sec-websocket-key", key));
    }
    return writeRequestHead("GET", head.target, head.authority, head.fields, NO_FRAMING, added, 0, protocol);
  }

  function write(socket: Socket, head: string, body: Buffer, chunked: boolean): void {
    if (body.length === 0) {
      socket.write(head, "latin1");
      return;
    }
    const before = chunked ? head + writeChunkHead(body.length) : head;
    const after = chunked ? crlf : "";
    const message = Buffer.allocUnsafe(before.length + body.length + after.length);
    message.write(before, 0, "latin1");
    body.copy(message, before.length);
    if (chunked) message.write(after, before.length + body.length, "latin1");
    socket.write(message);
  }

  /** Takes the exchange off its connection. */
  function detach(connection: AppConnection): Exchange | undefined {
    const { exchange } = connection;
    if (exchange) {
      busy--;
      exchange.upstream = undefined;
      connection.exchange = undefined;
      connection.request = undefined;
    }
    return exchange;
  }

  function release(connection: AppConnection): void {
    connection.reused = true;
    // Of the answer that is over: the front that had no room has all of it now, and will not call.
    connection.paused = false;
    if (connection.closing || closed || !connection.sent || idle.length >= maxIdle) {
      connection.socket.destroy();
      return;
    }
    const next = queue.shift();
    if (next) send(connection, next);
    else idle.push(connection);
  }

  function fail(connection: AppConnection, reason: Reason, detail: string): void {
    const { request, reused, received } = connection;
    const exchange = detach(connection);
    connection.closing = true;
    connection.socket.destroy();
    if (!exchange || !request) return;
    if (reused && !received && request.whole && idempotent.has(exchange.head.method) && !exchange.done) {
      // The application gave up an idle connection as we took it: a fresh one cannot fail in this way.
      openConnection(request);
      return;
    }
    options.onFailure(exchange, reason, detail);
  }

  /** 101: what follows is the other protocol's. */
  function switched(connection: AppConnection, fields: readonly Field[], kinds: number): void {
    const { exchange, accept, parser, socket } = connection;
    if (!exchange || exchange.done) return;
    if (accept !== "" && findField(fields, "sec-websocket-accept")?.value !== accept) {
      fail(connection, "upstream-failed", "the application's sec-websocket-accept is not that of the key");
      return;
    }
    const early = parser.takeRemainder();
    connection.closing = true;
    exchange.answered = true;
    options.onResponse(exchange, { status: 101 });
    const passed = endToEndFields(fields, kinds, FieldKind.IDENTITY).filter(({ name }) => name !== "sec-websocket-accept");
    exchange.front.sendHead(exchange, 200, passed, -1, false);
    detach(connection);
    connection.tunnel = openTunnel(socket, exchange, options);
    if (early.length > 0 && !connection.tunnel.receive(early)) socket.pause();
  }

  function openConnection(first: Request): void {
    open++;
    let connected = false;
    const socket = connect({
      host: address.host,
      port: address.port,
      noDelay: true,
      keepAlive: true,
      allowHalfOpen: true,
      onread: {
        buffer: readBuffer,
        callback(length, buffer) {
          const chunk = length === buffer.length ? (buffer as Buffer) : (buffer as Buffer).subarray(0, length);
          if (connection.tunnel) return connection.tunnel.receive(chunk);
          connection.received = true;
          connection.parser.push(chunk);
          return !connection.paused;
        },
      },
    });
    const parser = createResponseParser({
      onInformational({ status, fields, kinds }) {
        const { exchange } = connection;
        if (status === 101) switched(connection, fields, kinds);
        // 100 was answered before the body was asked for.
        else if (status !== 100 && exchange && !exchange.done) {
          exchange.front.sendInformational(exchange, status, endToEndFields(fields, kinds, FieldKind.IDENTITY));
        }
      },
      onResponse(response) {
        const { exchange } = connection;
        if (!exchange || exchange.done) return;
        if (!parser.keepAlive) connection.closing = true;
        if (exchange.tunnel && response.status < 300) {
          fail(connection, "upgrade-unsupported", `the application answers ${response.status} instead of switching protocols`);
          return;
        }
        if (response.fields !== connection.seenFields) {
          connection.seenFields = response.fields;
          connection.endToEnd = endToEndFields(response.fields, response.kinds, FieldKind.IDENTITY);
        }
        exchange.answered = true;
        connection.remaining = response.contentLength;
        options.onResponse(exchange, response);
        try {
          exchange.front.sendHead(exchange, response.status, connection.endToEnd, response.contentLength, response.contentLength === 0);
        } catch (error) {
          // Nothing of the answer has been written: what the client's protocol cannot carry is the application's mistake.
          exchange.answered = false;
          fail(connection, "upstream-failed", `the application's answer cannot be passed on: ${String(error)}`);
        }
      },
      onBody(chunk) {
        const { exchange } = connection;
        if (!exchange || exchange.done) return;
        if (connection.remaining > 0) connection.remaining -= chunk.length;
        if (!exchange.front.sendData(exchange, chunk, connection.remaining === 0)) connection.paused = true;
      },
      onEnd(trailers) {
        // Bytes behind the answer belong to nothing that was asked.
        if (!parser.keepAlive) connection.closing = true;
        const exchange = detach(connection);
        if (exchange && !exchange.done) {
          if (connection.remaining !== 0) exchange.front.end(exchange, trailers);
          options.onComplete(exchange);
        }
        release(connection);
      },
      onError(error) {
        fail(connection, "upstream-failed", `the application's answer is not HTTP/1.1: ${error.message}`);
      },
    });
    const connection: AppConnection = {
      socket,
      parser,
      exchange: undefined,
      request: undefined,
      chunked: false,
      sent: false,
      accept: "",
      tunnel: undefined,
      reused: false,
      received: false,
      paused: false,
      closing: false,
      remaining: 0,
      seenFields: [],
      endToEnd: [],
      resume() {
        if (!connection.paused) return;
        connection.paused = false;
        socket.resume();
      },
      cancel() {
        detach(connection);
        connection.closing = true;
        socket.destroy();
      },
      send(_exchange, chunk) {
        if (!connection.chunked) return socket.write(Buffer.from(chunk));
        write(socket, "", chunk, true);
        return !socket.writableNeedDrain;
      },
      end(_exchange, trailers) {
        connection.sent = true;
        if (connection.chunked) socket.write(writeLastChunk(trailers), "latin1");
      },
    };
    const timer = setTimeout(() => {
      socket.destroy(new Error(`no connection within ${connectTimeoutMs} ms`));
    }, connectTimeoutMs);
    socket.on("connect", () => {
      connected = true;
      clearTimeout(timer);
    });
    socket.on("drain", () => {
      if (connection.exchange) bodyTaken(connection.exchange);
    });
    socket.on("end", () => {
      if (connection.tunnel) {
        connection.tunnel.ended();
        return;
      }
      // Where the answer has no declared length, this is its end.
      connection.closing = true;
      parser.finish();
      socket.end();
    });
    let cause = "";
    socket.on("error", (error) => {
      cause = error.message;
    });
    socket.on("close", () => {
      clearTimeout(timer);
      open--;
      const index = idle.indexOf(connection);
      if (index >= 0) idle.splice(index, 1);
      if (connection.tunnel) connection.tunnel.closed(cause || "the application closed the connection");
      else if (connection.exchange) {
        const reason = connected ? "upstream-failed" : "upstream-refused";
        fail(connection, reason, cause || `the application closed the connection to ${address.host}:${address.port}`);
      }
      const next = open < maxConnections ? queue.shift() : undefined;
      if (next) openConnection(next);
    });
    send(connection, first);
  }

  return {
    forward(exchange, head) {
      const request = { exchange, head, whole: exchange.bodyEnded && exchange.protocol === "" };
      const connection = idle.pop();
      if (connection) send(connection, request);
      else if (open < maxConnections) openConnection(request);
      else if (queue.length < maxQueued) queue.push(request);
      else options.onFailure(exchange, "overloaded", `${queue.length} requests wait for the application already`);
    },
    close() {
      closed = true;
      for (const connection of idle.splice(0)) connection.socket.destroy();
    },
    inFlight: () => busy + queue.length,
  };
}
