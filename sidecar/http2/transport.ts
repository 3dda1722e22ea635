/**
 * An HTTP/2 connection on a socket: the one place of this folder with input, output and timers.
 *
 * What is sent during a turn of the event loop leaves in one write. While the socket is saturated nothing is taken from the
 * connection, so that bodies wait in their streams and `sendData` answers false. A peer that has gone without a word is
 * found by PING; one that drips a frame in, or takes nothing off its socket, or leaves a stream's window shut, by time-outs.
 * Whatever ends the socket ends every open stream with `onReset`.
 *
 * It does not know how long a request or a response may take: that is for the owner of the streams.
 */
import type { Duplex } from "node:stream";
import { writeBlock } from "../blocks.ts";
import { backgroundTimers, createProgressWatch, type Schedule } from "../progress-watch.ts";
import type { Http2Connection, Http2Handler } from "./connection.ts";
import { Http2Error, Http2ErrorCode } from "./error.ts";

export interface Http2TransportOptions {
  /** Silence from the peer after which it is asked for a sign of life, ms; 30,000 by default, 0 for never. */
  readonly keepaliveInterval?: number;
  /** How long it may take to answer, to say its first word, or to close its side after us, ms; 10,000 by default. */
  readonly keepaliveTimeout?: number;
  /** `owner`: the owner of the socket reads it and calls `receive`; by default the transport does. */
  readonly reads?: "owner" | "transport";
  /** How long the peer may take for its preface and SETTINGS, a frame other than DATA, a field block, ms; 10,000 by default, 0 for any time. */
  readonly frameTimeout?: number;
  /** How long a full socket may take nothing more, ms; 30,000 by default, 0 for any time. */
  readonly writeTimeout?: number;
  /** How long the peer may leave a body waiting for its windows, ms (found within twice that); 300,000 by default, 0 for any time. Such a stream gets `onReset` (CANCEL). */
  readonly stallTimeout?: number;
  /** Timers that do not keep the process alive, by default. */
  readonly schedule?: Schedule;
  /** The socket is closed and every stream has ended. Called once. `error`: what the codec, the socket or the keepalive ended it with. */
  readonly onClose?: (error: Error | undefined) => void;
}

export interface Http2Transport {
  readonly connection: Http2Connection;
  /** Bytes of a socket that reads into a buffer of its owner's (`onread`) and so emits no `data`. The chunk may be reused afterwards. */
  receive(chunk: Buffer): void;
  /**
   * GOAWAY, then the end of the socket as soon as no stream is open; after `deadline` ms in any case. Called again, it sets the
   * deadline anew. Resolves when the socket is closed.
   */
  close(deadline: number): Promise<void>;
  /** Ends the socket now; open streams get `onReset`. */
  destroy(error?: Error): void;
}

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
  const { keepaliveInterval = 30_000, keepaliveTimeout = 10_000, frameTimeout = 10_000, onClose } = options;
  const { writeTimeout = 30_000, stallTimeout = 300_000, schedule = backgroundTimers } = options;
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
  let cancelStalls: (() => void) | undefined;
  /** Times the socket has drained. */
  let drains = 0;

  const connection = create({
    ...handler,
    onOutput: flushSoon,
    onFatal(error) {
      failure ??= error;
      end();
      handler.onFatal(error);
    },
  });

  const frames = createProgressWatch({
    limit: frameTimeout,
    schedule,
    mark: () => connection.unfinished(),
    onLate() {
      failure ??= new Http2Error("ENHANCE_YOUR_CALM", `a frame takes longer than ${frameTimeout} ms`);
      connection.goaway(Http2ErrorCode.ENHANCE_YOUR_CALM);
      connection.disconnect();
      end();
    },
  });
  const writes = createProgressWatch({
    limit: writeTimeout,
    schedule,
    mark: () => (saturated ? drains + 1 : 0),
    onLate: () => destroy(new Error(`the peer has read nothing for ${writeTimeout} ms`)),
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
    if (batch !== undefined && !writeBlock(socket, batch)) {
      saturated = true;
      writes.touch();
    }
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

  function watchStalls(): void {
    cancelStalls = schedule(() => {
      connection.resetStalled();
      watchStalls();
    }, stallTimeout);
  }

  socket.on("drain", () => {
    saturated = false;
    drains++;
    flush();
  });
  function receive(chunk: Buffer): void {
    heard = true;
    connection.receive(chunk);
    frames.touch();
    if (draining && connection.isDrained()) flushSoon();
  }
  if (options.reads !== "owner") socket.on("data", receive);
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
    cancelStalls?.();
    frames.cancel();
    writes.cancel();
    connection.disconnect();
    closed.resolve();
    onClose?.(failure);
  });

  flushSoon();
  frames.touch();
  if (stallTimeout > 0) watchStalls();
  if (keepaliveInterval > 0) awaitWord("the peer says nothing");

  return {
    connection,
    receive,
    close(deadline) {
      if (!socket.destroyed) {
        cancelDeadline?.();
        cancelDeadline = schedule(() => destroy(new Error(`streams were still open after ${deadline} ms`)), deadline);
      }
      if (!draining && !socket.destroyed) {
        draining = true;
        connection.goaway();
        flushSoon();
      }
      return closed.promise;
    },
    destroy,
  };
}
