/**
 * HTTP/2 connections with prior knowledge to an upstream that speaks it, as gRPC servers do. Hot path: a stream a
 * call, nothing else made for it.
 *
 * A second connection is opened when the first has no room for another stream; a request waits for room no longer than for
 * the connection.
 */
import { connect } from "node:net";
import { createField, type Field } from "../../common/http/field.ts";
import type { ResponseHead } from "../../common/http/message.ts";
import { noBody } from "../body.ts";
import { endToEndFields } from "../http1/end-to-end.ts";
import { createHttp2Connection, type Http2Connection, type Http2Handler, type Http2Stream } from "../http2/connection.ts";
import { Http2Error, Http2ErrorCode } from "../http2/error.ts";
import { attachHttp2, type Http2Transport } from "../http2/transport.ts";
import { bodyTaken, takeBody, type ForwardedHead, type Link, type LinkOptions, type Upstream, type UpstreamCall } from "./upstream.ts";

const connectTimeoutMs = 5000;
const maxConnections = 8;
const maxQueued = 2048;
const drainMs = 60_000;
const readBuffer = Buffer.allocUnsafe(64 * 1024);

/** Trailers are passed on, and gRPC servers insist on being told so. */
const trailersTaken = createField("te", "trailers");

interface Waiting<C> {
  readonly call: C;
  readonly head: ForwardedHead;
}

export function createHttp2Link<C extends UpstreamCall<C>>(options: LinkOptions<C>): Link<C> {
  const { address, onComplete, onFailure, onResponse } = options;
  const open: Http2Transport[] = [];
  const queue: Waiting<C>[] = [];
  let opening = 0;
  let busy = 0;

  const connectionOf = new WeakMap<Http2Stream, Http2Connection>();

  const upstream: Upstream<C> = {
    resume(call) {
      const stream = call.upstreamSlot as Http2Stream;
      connectionOf.get(stream)?.consumed(stream, uncredited.get(call) ?? 0);
      uncredited.delete(call);
    },
    cancel(call) {
      const stream = call.upstreamSlot as Http2Stream;
      detach(call);
      connectionOf.get(stream)?.reset(stream, Http2ErrorCode.CANCEL);
    },
    send(call, chunk) {
      const stream = call.upstreamSlot as Http2Stream;
      return connectionOf.get(stream)?.sendData(stream, chunk, false) ?? true;
    },
    end(call, trailers) {
      const stream = call.upstreamSlot as Http2Stream;
      const connection = connectionOf.get(stream);
      if (trailers.length > 0) connection?.sendTrailers(stream, trailers);
      else connection?.sendData(stream, noBody, true);
      if (call.tunnel && call.answerEnded) complete(call);
    },
  };
  /** Bytes of answers that their clients have not taken yet. */
  const uncredited = new Map<C, number>();

  function detach(call: C): void {
    if (!call.upstream) return;
    call.upstream = undefined;
    uncredited.delete(call);
    busy--;
  }

  /** The answer is whole; of a tunnel, both sides are over. */
  function complete(call: C): void {
    const stream = call.upstreamSlot as Http2Stream;
    detach(call);
    // The rest of a request that has its whole answer is of no use to anybody.
    if (!call.bodyEnded) connectionOf.get(stream)?.reset(stream, Http2ErrorCode.CANCEL);
    if (!call.done) onComplete(call);
  }

  function ended(call: C): void {
    call.answerEnded = true;
    if (!call.tunnel || call.bodyEnded || call.status >= 300) complete(call);
  }

  const handler: Omit<Http2Handler, "onOutput" | "onSettings" | "onGoaway" | "onFatal"> = {
    onInformational(stream, { status, fields, kinds }) {
      const call = stream.data as C;
      if (!call.done && status !== 100) {
        call.front.sendInformational(call, status, endToEndFields(fields, kinds, options.withheld));
      }
    },
    onResponse(stream, response, endStream) {
      const call = stream.data as C;
      if (call.done) return;
      call.answered = true;
      onResponse(call, response);
      sendHead(call, response, endStream);
      if (endStream) ended(call);
    },
    onData(stream, chunk, endStream) {
      const call = stream.data as C;
      if (call.done) {
        connectionOf.get(stream)?.consumed(stream, chunk.length);
        return;
      }
      if (call.front.sendData(call, chunk, endStream)) connectionOf.get(stream)?.consumed(stream, chunk.length);
      else uncredited.set(call, (uncredited.get(call) ?? 0) + chunk.length);
      if (endStream) ended(call);
    },
    onTrailers(stream, fields) {
      const call = stream.data as C;
      if (call.done) return;
      call.front.end(call, fields);
      ended(call);
    },
    onReset(stream, code) {
      const call = stream.data as C;
      const live = call.upstream !== undefined && call.upstreamSlot === stream;
      if (!live) return;
      detach(call);
      if (!call.done) onFailure(call, "upstream-failed", `the upstream ended the stream with HTTP/2 error ${code}`);
    },
    onWritable(stream) {
      bodyTaken(stream.data as C);
    },
    onRequest() {
      throw new Error("a client has no requests to receive");
    },
    onPong: ignore,
  };

  function sendHead(call: C, response: ResponseHead, endStream: boolean): void {
    const fields = endToEndFields(response.fields, response.kinds, options.withheld);
    call.front.sendHead(call, response.status, fields, response.contentLength, endStream);
  }

  function send({ connection }: Http2Transport, { call, head }: Waiting<C>): void {
    const { framing } = head;
    const empty = framing <= 0 && call.bodyEnded && call.trailers.length === 0;
    const fields: Field[] = [...head.fields, ...head.added, trailersTaken];
    if (framing >= 0 && !empty) fields.push(createField("content-length", String(framing)));
    const { target, authority } = head;
    const request = { method: head.method, scheme: "http", authority, path: target };
    let stream: Http2Stream;
    try {
      stream = connection.request(
        call.protocol === "" ? request : { ...request, method: "CONNECT", protocol: call.protocol },
        fields,
        empty,
      );
    } catch (error) {
      if (!(error instanceof Http2Error)) throw error;
      onFailure(call, "upstream-failed", `HTTP/2 cannot carry the request: ${error.message}`);
      return;
    }
    stream.data = call;
    connectionOf.set(stream, connection);
    call.upstreamSlot = stream;
    call.upstream = upstream;
    busy++;
    const body = takeBody(call);
    const whole = call.bodyEnded && call.trailers.length === 0;
    if (body.length > 0) connection.sendData(stream, body, whole);
    if (call.bodyEnded && !empty && (body.length === 0 || !whole)) upstream.end(call, call.trailers);
    bodyTaken(call);
  }

  function serveQueue(): void {
    let next = queue[0];
    while (next) {
      const transport = open.find(({ connection }) => connection.canRequest());
      if (!transport) break;
      queue.shift();
      if (!next.call.done) send(transport, next);
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
        for (const { call } of queue.splice(0)) if (!call.done) onFailure(call, "upstream-refused", detail);
      } else if (queue.length > 0) serveQueue();
    });
  }

  function forget(transport: Http2Transport): void {
    const index = open.indexOf(transport);
    if (index >= 0) open.splice(index, 1);
    void transport.close(drainMs);
  }

  return {
    forward(call, head) {
      const transport = queue.length === 0 ? open.find(({ connection }) => connection.canRequest()) : undefined;
      if (transport) send(transport, { call, head });
      else if (queue.length >= maxQueued) onFailure(call, "overloaded", `${queue.length} requests wait for the upstream already`);
      else {
        queue.push({ call, head });
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
