/**
 * An HTTP/2 connection on a socket: the one place of this folder with input, output and timers.
 *
 * What is sent during a turn of the event loop leaves in one write. While the socket is saturated nothing is taken from the
 * connection, so that bodies wait in their streams and `sendData` answers false. A peer that has gone without a word is
 * found by PING. Whatever ends the socket ends every open stream with `onReset`.
 */
import type { Duplex } from "node:stream";
import type { Http2Connection, Http2Handler } from "./connection.ts";

/** Runs `task` after `ms`; the answer cancels it. */
export type Schedule = (task: () => void, ms: number) => () => void;

export interface Http2TransportOptions {
  /** Silence from the peer after which it is asked for a sign of life, ms; 30,000 by default, 0 for never. */
  readonly keepaliveInterval?: number;
  /** How long it may take to answer, to say its first word, or to close its side after us, ms; 10,000 by default. */
  readonly keepaliveTimeout?: number;
  /** Timers that do not keep the process alive, by default. */
  readonly schedule?: Schedule;
  /** The socket is closed and every stream has ended. Called once. `error`: what the codec, the socket or the keepalive ended it with. */
  readonly onClose?: (error: Error | undefined) => void;
}

export interface Http2Transport {
  readonly connection: Http2Connection;
  /** Bytes of a socket that reads into a buffer of its owner's (`onread`) and so emits no `data`. The chunk may be reused afterwards. */
  receive(chunk: Buffer): void;
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
 * Wires `socket`, connected and past its handshake, to the connection that `create` makes around the given handler, which is
 * `handler` with `onOutput` and `onFatal` seen to.
 */
export function attachHttp2(
  socket: Duplex,
  handler: Omit<Http2Handler, "onOutput">,
  create: (handler: Http2Handler) => Http2Connection,
  options: Http2TransportOptions = {},
): Http2Transport {
  const { keepaliveInterval = 30_000, keepaliveTimeout = 10_000, schedule = timers, onClose } = options;
  const closed = Promise.withResolvers<void>();
  let scheduled = false;
  let saturated = false;
  /** The socket ends when no stream is open any more. */
  let draining = false;
  /** The socket ends behind the output that is there now. */
  let ending = false;
  let failure: Error | undefined;
  let heard = false;
  let cancelWatch: (() => void) | undefined;
  let cancelDeadline: (() => void) | undefined;

  const connection = create({
    ...handler,
    onOutput: flushSoon,
    onFatal(error) {
      failure ??= error;
      end();
      handler.onFatal(error);
    },
  });

  function flushSoon(): void {
    if (scheduled || saturated) return;
    scheduled = true;
    setImmediate(flush);
  }

  function flush(): void {
    scheduled = false;
    if (saturated || socket.destroyed || socket.writableEnded) return;
    const batch = connection.takeOutput();
    if (batch !== undefined && !socket.write(batch)) saturated = true;
    if (draining && !ending && connection.isDrained()) end();
    if (ending && !saturated) socket.end();
  }

  /** Ends the socket behind the output, and destroys it where the peer neither reads that nor closes its own side. */
  function end(): void {
    if (ending) return;
    ending = true;
    cancelWatch?.();
    cancelWatch = schedule(() => socket.destroy(), keepaliveTimeout);
    flushSoon();
  }

  function destroy(error?: Error): void {
    failure ??= error;
    connection.disconnect();
    socket.destroy();
  }

  function watch(): void {
    heard = false;
    cancelWatch = schedule(() => {
      if (heard) {
        watch();
        return;
      }
      connection.ping();
      awaitWord("the peer does not answer");
    }, keepaliveInterval);
  }

  function awaitWord(complaint: string): void {
    cancelWatch = schedule(() => {
      if (heard) watch();
      else destroy(new Error(`${complaint} within ${keepaliveTimeout} ms`));
    }, keepaliveTimeout);
  }

  socket.on("drain", () => {
    saturated = false;
    flush();
  });
  function receive(chunk: Buffer): void {
    heard = true;
    connection.receive(chunk);
    if (draining && connection.isDrained()) flushSoon();
  }
  socket.on("data", receive);
  socket.on("end", () => {
    // HTTP/2 has no half-closed connections: nobody would read the rest.
    connection.disconnect();
    end();
  });
  socket.on("error", (error) => {
    failure ??= error;
  });
  socket.on("close", () => {
    cancelWatch?.();
    cancelDeadline?.();
    connection.disconnect();
    closed.resolve();
    onClose?.(failure);
  });

  flushSoon();
  if (keepaliveInterval > 0) awaitWord("the peer says nothing");

  return {
    connection,
    receive,
    close(deadline) {
      if (!draining && !socket.destroyed) {
        draining = true;
        cancelDeadline = schedule(() => destroy(new Error(`streams were still open after ${deadline} ms`)), deadline);
        connection.goaway();
        flushSoon();
      }
      return closed.promise;
    },
    destroy,
  };
}
