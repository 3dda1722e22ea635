/**
 * An HTTP/2 connection on a socket: the one place of this folder with input, output and timers.
 *
 * What is sent during a turn of the event loop leaves in one write. While the socket is saturated nothing is taken from the
 * connection, so that bodies wait in their streams and `sendData` answers false. A peer that has gone without a word is
 * found by PING. Whatever ends the socket ends every open stream with `onReset`.
 */
import type { Duplex } from "node:stream";
import type { Http2Connection, Http2Handler } from "./connection.ts";
import type { Http2Error } from "./error.ts";

/** Runs `task` after `ms`; the answer cancels it. */
export type Schedule = (task: () => void, ms: number) => () => void;

export interface Http2TransportOptions {
  /** Silence from the peer after which it is asked for a sign of life, ms; 30,000 by default, 0 for never. */
  readonly keepaliveInterval?: number;
  /** How long it may take to answer, ms; 10,000 by default. Also how long it has for its first bytes. */
  readonly keepaliveTimeout?: number;
  /** Timers that do not keep the process alive, by default. */
  readonly schedule?: Schedule;
  /** The socket is closed and every stream has ended. Called once. `error`: what the codec, the socket or the keepalive ended it with. */
  readonly onClose?: (error: Error | undefined) => void;
}

export interface Http2Transport {
  readonly connection: Http2Connection;
  /** GOAWAY, then the end of the socket as soon as no stream is open; after `deadline` ms in any case. Resolves when the socket is closed. */
  close(deadline: number): Promise<void>;
  /** Ends the socket now; open streams get `onReset`. */
  destroy(error?: Error): void;
}

const timers: Schedule = (task, ms) => {
  const timer = setTimeout(task, ms);
  timer.unref();
  return () => clearTimeout(timer);
};

/**
 * Wires `socket`, connected and past its handshake, to a connection that `create` makes around the given handler.
 * The transport sees `onOutput`, `onFatal`, `onPong` and whatever ends a stream; all of it reaches `handler` too.
 */
export function attachHttp2(
  socket: Duplex,
  handler: Http2Handler,
  create: (handler: Http2Handler) => Http2Connection,
  options: Http2TransportOptions = {},
): Http2Transport {
  const { keepaliveInterval = 30_000, keepaliveTimeout = 10_000, schedule = timers, onClose } = options;
  const closed = Promise.withResolvers<void>();
  let flushing = false;
  let saturated = false;
  /** Nothing more is to be written after the output that is there now. */
  let ending = false;
  let finished = false;
  let closing = false;
  let failure: Error | undefined;
  let heard = false;
  let cancelKeepalive: (() => void) | undefined;
  let cancelDeadline: (() => void) | undefined;

  const connection = create({
    ...handler,
    onOutput,
    onFatal(error: Http2Error) {
      failure = error;
      endSoon();
      handler.onFatal(error);
    },
  });

  function onOutput(): void {
    if (flushing || saturated || finished) return;
    flushing = true;
    setImmediate(flush);
  }

  function flush(): void {
    flushing = false;
    if (saturated || finished || socket.destroyed) return;
    const batch = connection.takeOutput();
    if (batch !== undefined && !socket.write(batch)) saturated = true;
    if (closing && connection.isDrained()) ending = true;
    if (ending && !saturated) end();
  }

  /** Ends our side, and the socket where the peer does not end its own in time. */
  function end(): void {
    if (socket.writableEnded) return;
    socket.end();
    cancelKeepalive?.();
    cancelKeepalive = schedule(() => socket.destroy(), keepaliveTimeout);
  }

  function endSoon(): void {
    ending = true;
    onOutput();
  }

  socket.on("drain", () => {
    saturated = false;
    flush();
  });
  socket.on("data", (chunk: Buffer) => {
    heard = true;
    connection.receive(chunk);
    if (closing && connection.isDrained()) onOutput();
  });
  socket.on("end", () => {
    // HTTP/2 has no half-closed connection: nobody would read the rest.
    connection.disconnect();
    endSoon();
  });
  socket.on("error", (error) => {
    failure ??= error;
  });
  socket.on("close", () => {
    finished = true;
    cancelKeepalive?.();
    cancelDeadline?.();
    connection.disconnect();
    closed.resolve();
    onClose?.(failure);
  });

  function watch(): void {
    heard = false;
    cancelKeepalive = schedule(() => {
      if (heard) {
        watch();
        return;
      }
      connection.ping();
      cancelKeepalive = schedule(() => {
        if (heard) watch();
        else destroy(new Error("the peer does not answer"));
      }, keepaliveTimeout);
    }, keepaliveInterval);
  }

  function destroy(error?: Error): void {
    failure ??= error;
    connection.disconnect();
    socket.destroy();
  }

  function close(deadline: number): Promise<void> {
    if (!closing && !finished) {
      closing = true;
      cancelDeadline = schedule(() => destroy(new Error("streams were still open at the deadline")), deadline);
      connection.goaway();
      onOutput();
    }
    return closed.promise;
  }

  onOutput();
  if (keepaliveInterval > 0) watch();
  return { connection, close, destroy };
}
