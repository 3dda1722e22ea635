/** HTTP/2 clients of the inbound port, the sidecars of callers above all. Hot path: a stream carries its exchange. */
import type { TLSSocket } from "node:tls";
import { collect, collectedBytes, noBody, nothingCollected, type Collected } from "../body.ts";
import { createHttp2Connection } from "../http2/connection.ts";
import { Http2ErrorCode } from "../http2/error.ts";
import type { Http2Stream } from "../http2/stream.ts";
import type { Http2Handler } from "../http2/state.ts";
import { attachHttp2 } from "../http2/transport.ts";
import { createExchange, type Exchange, type Front } from "./exchange.ts";
import type { FrontConnection, FrontOptions } from "./http1-front.ts";
import type { Peer } from "./peer.ts";

/** A stream's `data`. */
interface Incoming {
  readonly exchange: Exchange;
  collected: Collected;
  ended: boolean;
}

export function serveHttp2(socket: TLSSocket, peer: Peer, options: FrontOptions): FrontConnection {
  const { calls, responder } = options;

  const front: Front = {
    sendHead(exchange, status, fields, _contentLength, end) {
      connection.respond(exchange.slot as Http2Stream, status, fields, end);
      if (end) stopUpload(exchange.slot as Http2Stream);
    },
    sendData(exchange, chunk, end) {
      const room = connection.sendData(exchange.slot as Http2Stream, chunk, end);
      if (end) stopUpload(exchange.slot as Http2Stream);
      return room;
    },
    sendTrailers(exchange, fields) {
      if (fields.length > 0) connection.sendTrailers(exchange.slot as Http2Stream, fields);
      else connection.sendData(exchange.slot as Http2Stream, noBody, true);
      stopUpload(exchange.slot as Http2Stream);
    },
    abort(exchange) {
      connection.reset(exchange.slot as Http2Stream, Http2ErrorCode.INTERNAL_ERROR);
    },
  };

  /** A whole answer that overtook its request: what is left of the request is not wanted (RFC 9113 8.1). */
  function stopUpload(stream: Http2Stream): void {
    if (!(stream.data as Incoming).ended) connection.reset(stream, Http2ErrorCode.NO_ERROR);
  }

  function complete(incoming: Incoming): void {
    incoming.ended = true;
    calls.complete(incoming.exchange, collectedBytes(incoming.collected));
    incoming.collected = nothingCollected;
  }

  const handler: Http2Handler = {
    onRequest(stream, head, endStream) {
      const exchange = createExchange(front, stream, peer, head);
      const incoming: Incoming = { exchange, collected: nothingCollected, ended: endStream };
      stream.data = incoming;
      calls.begin(exchange);
      if (endStream) calls.complete(exchange, noBody);
    },
    onData(stream, chunk, endStream) {
      const incoming = stream.data as Incoming;
      connection.consumed(stream, chunk.length);
      if (incoming.exchange.done) {
        incoming.ended = endStream;
        return;
      }
      const more = collect(incoming.collected, chunk, incoming.exchange.head.contentLength, options.maxBodyBytes());
      if (!more) {
        incoming.ended = endStream;
        responder.refuse(incoming.exchange, { reason: "body-too-large" });
        return;
      }
      incoming.collected = more;
      if (endStream) complete(incoming);
    },
    onTrailers(stream) {
      complete(stream.data as Incoming);
    },
    onReset(stream) {
      const { exchange } = stream.data as Incoming;
      if (exchange.done) return;
      exchange.done = true;
      exchange.upstream?.cancel();
    },
    onWritable(stream) {
      (stream.data as Incoming).exchange.upstream?.resume();
    },
    onResponse: unexpected,
    onInformational: unexpected,
    onGoaway: ignore,
    onSettings: ignore,
    onPong: ignore,
    onOutput: ignore,
    onFatal(error) {
      responder.malformed(peer, error);
    },
  };

  const transport = attachHttp2(socket, handler, (wired) => createHttp2Connection({ role: "server", handler: wired, now: Date.now }));
  const { connection } = transport;
  return {
    peer,
    drain: (deadlineMs) => void transport.close(deadlineMs),
    destroy: () => transport.destroy(),
  };
}

function unexpected(): never {
  throw new Error("a server has no responses to receive");
}

function ignore(): void {
  // The transport sees to it.
}
