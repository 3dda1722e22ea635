/**
 * Keep-alive HTTP/1.1 connections to the application. Hot path: reads land in one reused buffer a connection, one write a
 * request, and the exchange under way is a field of its connection.
 *
 * Guarantees: a connection carries one exchange at a time; one that was told to close, was left mid-answer or answered
 * out of turn is never used again. A request is written again on another connection only when the application closed an
 * idle one before taking a byte of it, and only for idempotent methods.
 */
import { connect, type Socket } from "node:net";
import { FieldKind, type Field } from "../../common/http/field.ts";
import type { ResponseHead } from "../../common/http/message.ts";
import type { Address } from "../../common/runtime/environment.ts";
import { endToEndFields } from "../http1/end-to-end.ts";
import { createResponseParser, type ResponseParser } from "../http1/response-parser.ts";
import type { Exchange, Upstream } from "./exchange.ts";
import type { Reason } from "../reason.ts";

export interface AppPool {
  /** Sends a request, head and body in one write. The answer goes to the exchange's front; trouble to `onFailure`. */
  forward(exchange: Exchange, head: string, body: Buffer): void;
  /** Ends idle connections now and the others when their exchange is over. */
  close(): void;
  inFlight(): number;
}

export interface AppPoolOptions {
  readonly address: Address;
  readonly onResponse: (exchange: Exchange, response: ResponseHead) => void;
  /** The answer has been sent whole. */
  readonly onComplete: (exchange: Exchange) => void;
  /** The application did not answer, or not properly. Nothing has been sent to the client when `exchange.answered` is false. */
  readonly onFailure: (exchange: Exchange, reason: Reason, detail: string) => void;
}

const maxConnections = 512;
const maxQueued = 2048;
const maxIdle = 256;
const connectTimeoutMs = 5000;
const idempotent = new Set(["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"]);

/** Reads are handed on before the next one starts, so that one buffer serves every connection of the process. */
const readBuffer = Buffer.allocUnsafe(64 * 1024);

interface Waiting {
  readonly exchange: Exchange;
  readonly head: string;
  readonly body: Buffer;
}

interface AppConnection extends Upstream {
  readonly socket: Socket;
  readonly parser: ResponseParser;
  exchange: Exchange | undefined;
  request: Waiting | undefined;
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

export function createAppPool(options: AppPoolOptions): AppPool {
  const { address } = options;
  const idle: AppConnection[] = [];
  const queue: Waiting[] = [];
  let open = 0;
  let busy = 0;
  let closed = false;

  function send(connection: AppConnection, request: Waiting): void {
    const { exchange, head, body } = request;
    connection.exchange = exchange;
    connection.request = request;
    connection.received = false;
    exchange.upstream = connection;
    busy++;
    connection.parser.expect(exchange.head.method);
    if (body.length === 0) {
      connection.socket.write(head, "latin1");
    } else {
      const message = Buffer.allocUnsafe(head.length + body.length);
      message.write(head, 0, "latin1");
      body.copy(message, head.length);
      connection.socket.write(message);
    }
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
    if (connection.closing || closed || idle.length >= maxIdle) {
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
    if (reused && !received && idempotent.has(exchange.head.method) && !exchange.done) {
      // The application gave up an idle connection as we took it: a fresh one cannot fail in this way.
      openConnection(request);
      return;
    }
    options.onFailure(exchange, reason, detail);
  }

  function openConnection(first: Waiting): void {
    open++;
    let connected = false;
    const socket = connect({
      host: address.host,
      port: address.port,
      noDelay: true,
      keepAlive: true,
      onread: {
        buffer: readBuffer,
        callback(length, buffer) {
          connection.received = true;
          connection.parser.push(length === buffer.length ? (buffer as Buffer) : (buffer as Buffer).subarray(0, length));
          return !connection.paused;
        },
      },
    });
    const parser = createResponseParser({
      onInformational() {
        // 100 was answered before the body was asked for; hints are for the hop that has them.
      },
      onResponse(response) {
        const { exchange } = connection;
        if (!exchange || exchange.done) return;
        if (!parser.keepAlive) connection.closing = true;
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
          if (connection.remaining !== 0) exchange.front.sendTrailers(exchange, trailers);
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
    };
    const timer = setTimeout(() => {
      socket.destroy(new Error(`no connection within ${connectTimeoutMs} ms`));
    }, connectTimeoutMs);
    socket.on("connect", () => {
      connected = true;
      clearTimeout(timer);
    });
    socket.on("end", () => {
      // Where the answer has no declared length, this is its end.
      connection.closing = true;
      parser.finish();
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
      if (connection.exchange) {
        const reason = connected ? "upstream-failed" : "upstream-refused";
        fail(connection, reason, cause || `the application closed the connection to ${address.host}:${address.port}`);
      }
      const next = open < maxConnections ? queue.shift() : undefined;
      if (next) openConnection(next);
    });
    send(connection, first);
  }

  return {
    forward(exchange, head, body) {
      const request = { exchange, head, body };
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
