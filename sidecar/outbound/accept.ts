/**
 * The outbound listener: the application's side of a call, HTTP/1.1 as an explicit proxy or by `Host`, on loopback. One
 * call at a time a connection; a body is taken in whole, because its hash is signed before it leaves.
 */
import { createServer, type Server, type Socket } from "node:net";
import { untilClosed } from "../../common/runtime/listen.ts";
import type { Field } from "../../common/http/field.ts";
import { collect, collectedBytes, noBody, nothingCollected } from "../body.ts";
import { createRequestParser } from "../http1/request-parser.ts";
import { createResponseWriter } from "../http1/response-writer.ts";
import { createOutboundCall, type Application, type OutboundCall } from "./call.ts";
import { readInto } from "./read-into.ts";
import type { Transmitter } from "./transmit.ts";

export interface OutboundListener {
  readonly server: Server;
  /** No new connections or calls; those under way are answered. */
  drain(): void;
  destroy(): void;
  /** Resolves when every connection has ended, or after the deadline. */
  idle(deadlineMs: number): Promise<void>;
}

export interface OutboundListenerOptions {
  readonly transmitter: Transmitter;
  readonly maxBodyBytes: () => number;
}

/** The parser has taken what it needs of a chunk when it returns, so that one buffer serves every connection. */
const readBuffer = Buffer.allocUnsafeSlow(64 * 1024);

interface Connection {
  drain(): void;
  destroy(): void;
}

export function createOutboundListener(options: OutboundListenerOptions): OutboundListener {
  const open = new Set<Connection>();
  const server = createServer({ noDelay: true, keepAlive: true, allowHalfOpen: true }, (socket) => {
    const connection = serve(socket, options);
    open.add(connection);
    socket.once("close", () => open.delete(connection));
  });
  return {
    server,
    drain() {
      server.close();
      for (const connection of open) connection.drain();
    },
    destroy() {
      for (const connection of open) connection.destroy();
    },
    idle: (deadlineMs) => untilClosed(server, deadlineMs),
  };
}

function serve(socket: Socket, { transmitter, maxBodyBytes }: OutboundListenerOptions): Connection {
  const writer = createResponseWriter(socket);
  let call: OutboundCall | undefined;
  let collected = nothingCollected;
  let requestEnded = false;
  let draining = false;
  let held = false;

  /** The answer is complete: the next request, or the end of the connection. */
  function answered(): void {
    call = undefined;
    if (writer.mustClose || draining || !requestEnded) {
      socket.end();
      parser.close();
      return;
    }
    if (held) {
      held = false;
      socket.resume();
    }
    parser.resume();
  }

  const application: Application = {
    sendHead(status, fields, contentLength, end) {
      // An answer that overtakes its request leaves bytes behind that nobody will read.
      if (!requestEnded && call) writer.expect(call.head.method, parser.version, false);
      writer.sendHead(status, fields, contentLength, end);
      if (end) answered();
    },
    sendData(chunk, end) {
      const room = writer.sendData(chunk, end);
      if (end) answered();
      return room;
    },
    end(trailers: readonly Field[]) {
      writer.end(trailers);
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
      call = createOutboundCall(application, head, noBody);
      if (parser.expectContinue) socket.write("HTTP/1.1 100 Continue\r\n\r\n", "latin1");
    },
    onBody(chunk) {
      if (!call || call.done) return;
      const limit = maxBodyBytes();
      const more = collect(collected, chunk, call.head.contentLength, limit);
      if (more) collected = more;
      else transmitter.fail(call, "body-too-large", `over ${limit} bytes`);
    },
    onEnd() {
      requestEnded = true;
      if (!call || call.done) return;
      call.body = collectedBytes(collected);
      collected = nothingCollected;
      transmitter.transmit(call);
    },
    onError(error) {
      writer.expect("GET", 1, false);
      writer.sendHead(error.status, [], 0, true);
      socket.end();
    },
  });

  readInto(socket, readBuffer, (chunk) => {
    const outOfTurn = call !== undefined && requestEnded;
    parser.push(chunk);
    // What comes behind a request under way waits with the kernel, but for the first of it, which the parser keeps.
    if (outOfTurn && call) {
      held = true;
      socket.pause();
    }
  });
  socket.on("drain", () => {
    if (call) transmitter.drained(call);
  });
  socket.on("end", () => {
    parser.finish();
    if (!call) socket.end();
    else draining = true;
  });
  socket.on("error", () => {
    // `close` follows, and says all that matters: the application has gone.
  });
  socket.on("close", () => {
    parser.close();
    if (call) transmitter.cancel(call);
    call = undefined;
  });
  return {
    drain() {
      draining = true;
      if (!call) socket.end();
    },
    destroy: () => socket.destroy(),
  };
}
