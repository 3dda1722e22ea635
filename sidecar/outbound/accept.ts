/**
 * Step one of an outbound call: the application's connections. What they speak shows in their first bytes; the rest is
 * for the front of that protocol.
 */
import { createServer, type Server, type Socket } from "node:net";
import { untilClosed } from "../../common/runtime/listen.ts";
import { collect, collectedBytes, nothingCollected } from "../body.ts";
import { clientPreface as preface } from "../http2/frames.ts";
import type { FrontConnection } from "../front/front.ts";
import { serveHttp1 } from "../front/http1-front.ts";
import { serveHttp2 } from "../front/http2-front.ts";
import { readInto } from "./read-into.ts";
import type { Transmitter } from "./transmit.ts";

export interface OutboundListener {
  readonly server: Server;
  /** No new connections or calls; those under way are answered, until the deadline. */
  drain(deadlineMs: number): void;
  destroy(): void;
  /** Resolves when every connection has ended, or after the deadline. */
  idle(deadlineMs: number): Promise<void>;
}

export interface OutboundListenerOptions {
  readonly transmitter: Transmitter;
}

/** A front has taken what it needs of a chunk when it returns, so that one buffer serves every connection. */
const readBuffer = Buffer.allocUnsafeSlow(64 * 1024);

interface Connection {
  drain(deadlineMs: number): void;
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
    drain(deadlineMs) {
      server.close();
      for (const connection of open) connection.drain(deadlineMs);
    },
    destroy() {
      for (const connection of open) connection.destroy();
    },
    idle: (deadlineMs) => untilClosed(server, deadlineMs),
  };
}

function serve(socket: Socket, { transmitter }: OutboundListenerOptions): Connection {
  let front: FrontConnection | undefined;
  let first = nothingCollected;

  /** What a proxy is told is HTTP: whatever is no HTTP/2 is HTTP/1.1, or a mistake that its parser answers. */
  function detect(chunk: Buffer): void {
    first = collect(first, chunk, -1, preface.length + readBuffer.length) ?? first;
    const bytes = collectedBytes(first);
    const shared = bytes.subarray(0, preface.length);
    const maybeHttp2 = shared.equals(preface.subarray(0, shared.length));
    if (maybeHttp2 && shared.length < preface.length) return;
    front = maybeHttp2 ? serveHttp2(socket, transmitter) : serveHttp1(socket, transmitter);
    first = nothingCollected;
    front.receive(bytes);
  }

  readInto(socket, readBuffer, (chunk) => {
    if (front) front.receive(chunk);
    else detect(chunk);
  });
  socket.on("drain", () => front?.writable());
  socket.on("end", () => {
    if (front) front.finish();
    else socket.end();
  });
  socket.on("error", () => {
    // `close` follows, and says all that matters: the application has gone.
  });
  socket.on("close", () => front?.closed());
  return {
    drain(deadlineMs) {
      if (front) front.drain(deadlineMs);
      else socket.end();
    },
    destroy: () => socket.destroy(),
  };
}
