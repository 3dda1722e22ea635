/** HTTP/1.1 clients of the inbound port: whatever can sign, and does not speak HTTP/2. One exchange at a time. */
import type { TLSSocket } from "node:tls";
import { createRequestParser } from "../http1/request-parser.ts";
import { createResponseWriter } from "../http1/response-writer.ts";
import { collect, collectedBytes, nothingCollected } from "../body.ts";
import type { InboundCalls } from "./call.ts";
import { createExchange, type Exchange, type Front } from "./exchange.ts";
import type { Peer } from "./peer.ts";
import type { Responder } from "./respond.ts";

export interface FrontOptions {
  readonly calls: InboundCalls;
  readonly responder: Responder;
  readonly maxBodyBytes: () => number;
}

/** What the listener needs of a connection, whatever it speaks. */
export interface FrontConnection {
  readonly peer: Peer;
  /** No new requests; closed when the open ones are answered, or after the deadline. */
  drain(deadlineMs: number): void;
  destroy(): void;
}

export function serveHttp1(socket: TLSSocket, peer: Peer, options: FrontOptions): FrontConnection {
  const writer = createResponseWriter(socket);
  let exchange: Exchange | undefined;
  let collected = nothingCollected;
  let requestEnded = false;
  let draining = false;
  let held = false;

  /** The answer is complete: the next request, or the end of the connection. */
  function answered(): void {
    const bodyToCome = exchange !== undefined && !requestEnded && exchange.head.contentLength !== 0;
    exchange = undefined;
    if (held) {
      held = false;
      socket.resume();
    }
    if (writer.mustClose || draining || bodyToCome) {
      socket.end();
      parser.close();
    } else if (requestEnded) parser.resume();
  }

  const front: Front = {
    sendHead({ head }, status, fields, contentLength, end) {
      // An answer that overtakes its request leaves bytes behind that nobody will read.
      if (!requestEnded && head.contentLength !== 0) writer.expect(head.method, parser.version, false);
      writer.sendHead(status, fields, contentLength, end);
      if (end) answered();
    },
    sendData(_exchange, chunk, end) {
      const room = writer.sendData(chunk, end);
      if (end) answered();
      return room;
    },
    sendTrailers(_exchange, fields) {
      writer.end(fields);
      answered();
    },
    abort() {
      socket.destroy();
    },
  };

  const parser = createRequestParser({
    onRequest(head) {
      requestEnded = false;
      collected = nothingCollected;
      writer.expect(head.method, parser.version, parser.keepAlive && !draining);
      exchange = createExchange(front, socket, peer, head);
      if (parser.expectContinue) socket.write("HTTP/1.1 100 Continue\r\n\r\n", "latin1");
      options.calls.begin(exchange);
    },
    onBody(chunk) {
      if (!exchange || exchange.done) return;
      const more = collect(collected, chunk, exchange.head.contentLength, options.maxBodyBytes());
      if (more) collected = more;
      else options.responder.refuse(exchange, { reason: "body-too-large" });
    },
    onEnd() {
      requestEnded = true;
      const body = collectedBytes(collected);
      collected = nothingCollected;
      if (exchange) options.calls.complete(exchange, body);
      else parser.resume();
    },
    onError(error) {
      writer.expect("GET", 1, false);
      options.responder.malformed(peer, error);
      writer.sendHead(error.status, [], 0, true);
      socket.end();
    },
  });

  socket.on("data", (chunk: Buffer) => {
    const outOfTurn = exchange !== undefined && requestEnded;
    parser.push(chunk);
    // What comes behind a request under way waits with the kernel, but for the first of it, which the parser keeps.
    if (outOfTurn && exchange) {
      held = true;
      socket.pause();
    }
  });
  socket.on("drain", () => exchange?.upstream?.resume());
  socket.on("end", () => parser.finish());
  socket.on("close", () => {
    parser.close();
    if (exchange) {
      exchange.done = true;
      exchange.upstream?.cancel();
      exchange = undefined;
    }
  });
  return {
    peer,
    drain(deadlineMs) {
      draining = true;
      if (!exchange) socket.end();
      setTimeout(() => socket.destroy(), deadlineMs).unref();
    },
    destroy: () => socket.destroy(),
  };
}
