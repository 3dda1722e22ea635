/**
 * HTTP/2 connections with prior knowledge to an application that speaks it, as gRPC servers do. Hot path: a stream an
 * exchange, nothing else made for it.
 *
 * A second connection is opened when the first has no room for another stream; a request waits for room no longer than for
 * the connection.
 */
import { connect } from "node:net";
import { createField, FieldKind, type Field } from "../../common/http/field.ts";
import type { ResponseHead } from "../../common/http/message.ts";
import { noBody } from "../body.ts";
import { endToEndFields } from "../http1/end-to-end.ts";
import { createHttp2Connection, type Http2Connection, type Http2Handler, type Http2Stream } from "../http2/connection.ts";
import { Http2Error, Http2ErrorCode } from "../http2/error.ts";
import { attachHttp2, type Http2Transport } from "../http2/transport.ts";
import { bodyTaken, type Exchange, type Upstream } from "./exchange.ts";
import type { AppLink, AppLinkOptions, ForwardedHead } from "./forward.ts";
import { takeBody } from "./intake.ts";

const connectTimeoutMs = 5000;
const maxConnections = 8;
const maxQueued = 2048;
const drainMs = 60_000;
const readBuffer = Buffer.allocUnsafe(64 * 1024);

/** Trailers are passed on, and gRPC servers insist on being told so. */
const trailersTaken = createField("te", "trailers");

interface Waiting {
  readonly exchange: Exchange;
  readonly head: ForwardedHead;
}

export function createAppHttp2(options: AppLinkOptions): AppLink {
  const { address, onComplete, onFailure, onResponse } = options;
  const open: Http2Transport[] = [];
  const queue: Waiting[] = [];
  let opening = 0;
  let busy = 0;

  const connectionOf = new WeakMap<Http2Stream, Http2Connection>();

  const upstream: Upstream = {
    resume(exchange) {
      const stream = exchange.upstreamSlot as Http2Stream;
      connectionOf.get(stream)?.consumed(stream, uncredited.get(exchange) ?? 0);
      uncredited.delete(exchange);
    },
    cancel(exchange) {
      const stream = exchange.upstreamSlot as Http2Stream;
      detach(exchange);
      connectionOf.get(stream)?.reset(stream, Http2ErrorCode.CANCEL);
    },
    send(exchange, chunk) {
      const stream = exchange.upstreamSlot as Http2Stream;
      return connectionOf.get(stream)?.sendData(stream, chunk, false) ?? true;
    },
    end(exchange, trailers) {
      const stream = exchange.upstreamSlot as Http2Stream;
      const connection = connectionOf.get(stream);
      if (trailers.length > 0) connection?.sendTrailers(stream, trailers);
      else connection?.sendData(stream, noBody, true);
      if (exchange.tunnel && exchange.answerEnded) complete(exchange);
    },
  };
  /** Bytes of answers that their clients have not taken yet. */
  const uncredited = new Map<Exchange, number>();

  function detach(exchange: Exchange): void {
    if (!exchange.upstream) return;
    exchange.upstream = undefined;
    uncredited.delete(exchange);
    busy--;
  }

  /** The answer is whole; of a tunnel, both sides are over. */
  function complete(exchange: Exchange): void {
    const stream = exchange.upstreamSlot as Http2Stream;
    detach(exchange);
    // The rest of a request that has its whole answer is of no use to anybody.
    if (!exchange.bodyEnded) connectionOf.get(stream)?.reset(stream, Http2ErrorCode.CANCEL);
    if (!exchange.done) onComplete(exchange);
  }

  function ended(exchange: Exchange): void {
    exchange.answerEnded = true;
    if (!exchange.tunnel || exchange.bodyEnded || exchange.status >= 300) complete(exchange);
  }

  const handler: Omit<Http2Handler, "onOutput" | "onSettings" | "onGoaway" | "onFatal"> = {
    onInformational(stream, { status, fields, kinds }) {
      const exchange = stream.data as Exchange;
      if (!exchange.done && status !== 100) {
        exchange.front.sendInformational(exchange, status, endToEndFields(fields, kinds, FieldKind.IDENTITY));
      }
    },
    onResponse(stream, response, endStream) {
      const exchange = stream.data as Exchange;
      if (exchange.done) return;
      exchange.answered = true;
      onResponse(exchange, response);
      sendHead(exchange, response, endStream);
      if (endStream) ended(exchange);
    },
    onData(stream, chunk, endStream) {
      const exchange = stream.data as Exchange;
      if (exchange.done) {
        connectionOf.get(stream)?.consumed(stream, chunk.length);
        return;
      }
      if (exchange.front.sendData(exchange, chunk, endStream)) connectionOf.get(stream)?.consumed(stream, chunk.length);
      else uncredited.set(exchange, (uncredited.get(exchange) ?? 0) + chunk.length);
      if (endStream) ended(exchange);
    },
    onTrailers(stream, fields) {
      const exchange = stream.data as Exchange;
      if (exchange.done) return;
      exchange.front.end(exchange, fields);
      ended(exchange);
    },
    onReset(stream, code) {
      const exchange = stream.data as Exchange;
      const live = exchange.upstream !== undefined && exchange.upstreamSlot === stream;
      if (!live) return;
      detach(exchange);
      if (!exchange.done) onFailure(exchange, "upstream-failed", `the application ended the stream with HTTP/2 error ${code}`);
    },
    onWritable(stream) {
      bodyTaken(stream.data as Exchange);
    },
    onRequest() {
      throw new Error("a client has no requests to receive");
    },
    onPong: ignore,
  };

  function sendHead(exchange: Exchange, response: ResponseHead, endStream: boolean): void {
    const fields = endToEndFields(response.fields, response.kinds, FieldKind.IDENTITY);
    exchange.front.sendHead(exchange, response.status, fields, response.contentLength, endStream);
  }

  function send({ connection }: Http2Transport, { exchange, head }: Waiting): void {
    const { framing } = head;
    const empty = framing <= 0 && exchange.bodyEnded && exchange.trailers.length === 0;
    const fields: Field[] = [...head.fields, ...head.identityFields, trailersTaken];
    if (framing >= 0 && !empty) fields.push(createField("content-length", String(framing)));
    const { target, authority } = head;
    const request = { method: head.method, scheme: "http", authority, path: target };
    let stream: Http2Stream;
    try {
      stream = connection.request(
        exchange.protocol === "" ? request : { ...request, method: "CONNECT", protocol: exchange.protocol },
        fields,
        empty,
      );
    } catch (error) {
      if (!(error instanceof Http2Error)) throw error;
      onFailure(exchange, "upstream-failed", `HTTP/2 cannot carry the request: ${error.message}`);
      return;
    }
    stream.data = exchange;
    connectionOf.set(stream, connection);
    exchange.upstreamSlot = stream;
    exchange.upstream = upstream;
    busy++;
    const body = takeBody(exchange);
    const whole = exchange.bodyEnded && exchange.trailers.length === 0;
    if (body.length > 0) connection.sendData(stream, body, whole);
    if (exchange.bodyEnded && !empty && (body.length === 0 || !whole)) upstream.end(exchange, exchange.trailers);
    bodyTaken(exchange);
  }

  function serveQueue(): void {
    let next = queue[0];
    while (next) {
      const transport = open.find(({ connection }) => connection.canRequest());
      if (!transport) break;
      queue.shift();
      if (!next.exchange.done) send(transport, next);
      next = queue[0];
    }
    if (queue.length > 0 && opening === 0 && open.length < maxConnections) openConnection();
  }

  function openConnection(): void {
    opening++;
    let transport: Http2Transport | undefined;
    let cause = "";
    const socket = connect({
      host: address.host,
      port: address.port,
      noDelay: true,
      keepAlive: true,
      timeout: connectTimeoutMs,
      onread: {
        buffer: readBuffer,
        callback(length, buffer) {
          transport?.receive((buffer as Buffer).subarray(0, length));
          return true;
        },
      },
    });
    socket.once("connect", () => {
      socket.setTimeout(0);
      const made = attachHttp2(
        socket,
        { ...handler, onGoaway: () => forget(made), onFatal: () => forget(made), onSettings: serveQueue },
        (wired) => createHttp2Connection({ role: "client", handler: wired, now: Date.now }),
        { reads: "owner", onClose: () => forget(made) },
      );
      transport = made;
      opening--;
      open.push(made);
      serveQueue();
    });
    socket.on("timeout", () => socket.destroy(new Error(`no connection within ${connectTimeoutMs} ms`)));
    socket.on("error", (error) => {
      cause = error.message;
    });
    socket.on("close", () => {
      if (!transport) {
        opening--;
        const detail = cause || `no connection to ${address.host}:${address.port}`;
        for (const { exchange } of queue.splice(0)) if (!exchange.done) onFailure(exchange, "upstream-refused", detail);
      } else if (queue.length > 0) serveQueue();
    });
  }

  function forget(transport: Http2Transport): void {
    const index = open.indexOf(transport);
    if (index >= 0) open.splice(index, 1);
    void transport.close(drainMs);
  }

  return {
    forward(exchange, head) {
      const transport = queue.length === 0 ? open.find(({ connection }) => connection.canRequest()) : undefined;
      if (transport) send(transport, { exchange, head });
      else if (queue.length >= maxQueued) onFailure(exchange, "overloaded", `${queue.length} requests wait for the application already`);
      else {
        queue.push({ exchange, head });
        serveQueue();
      }
    },
    inFlight: () => busy + queue.length,
    close() {
      for (const transport of open.splice(0)) void transport.close(0);
    },
  };
}

function ignore(): void {
  // The transport sees to it.
}
