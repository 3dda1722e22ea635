/**
 * One HTTP/2 connection (RFC 9113, RFC 7541, RFC 8441) without its socket: bytes in, events out, frames gathered until they
 * are taken. Client and server are the same connection in two roles.
 *
 * It guarantees that a message which breaks a rule of RFC 9113 section 8 never reaches the handler, that memory does not
 * grow with what the peer sends, and that whatever breaks the protocol ends in the code the RFC names. It has no timers:
 * transport.ts finds peers that are gone.
 *
 * Hot path: functions over one record (state.ts); nothing is allocated for a request but its stream, its head and its fields.
 */
import type { Field } from "../../common/http/field.ts";
import { consumed, openConnectionWindow, releaseHeld, stopReceiving } from "./credit.ts";
import { Http2ErrorCode } from "./error.ts";
import { loseAll, resetStream } from "./endings.ts";
import { clientPreface, DEFAULT_WINDOW } from "./frames.ts";
import { defaultLimits } from "./limits.ts";
import { take } from "./output.ts";
import { goaway, ping, renew } from "./receive-control.ts";
import { pumpSafely, receive, unfinished } from "./receive.ts";
import { resetStalled, sendData, sendTrailers } from "./send-data.ts";
import { canRequest, request, respond, type Http2RequestHead } from "./send-head.ts";
import { settingsFrame } from "./settings.ts";
import { createState, type Http2Options, type Http2State } from "./state.ts";
import { allStreams } from "./stream-table.ts";
import { isClosed, isEndQueued, type Http2Stream } from "./stream.ts";

export type { Http2Limits } from "./limits.ts";
export type { Http2RequestHead } from "./send-head.ts";
export type { Http2Handler, Http2Options } from "./state.ts";
export type { Http2Stream } from "./stream.ts";

export interface Http2Connection {
  /** Takes bytes in; the chunk may be reused afterwards. Never throws, not even what the handler throws (that is fatal). */
  receive(chunk: Buffer): void;
  /** Client: begins a request. Throws Http2Error: REFUSED_STREAM when `canRequest()` is false, PROTOCOL_ERROR for a malformed head. */
  request(head: Http2RequestHead, fields: readonly Field[], endStream: boolean): Http2Stream;
  /** Client: under the peer's limit of streams, not draining, ids left. */
  canRequest(): boolean;
  /**
   * Server: a response's head, or a 1xx before it. Connection-specific fields are left out, and content-length where none is
   * allowed (1xx, 204, 2xx to CONNECT). Throws Http2Error PROTOCOL_ERROR for a malformed head.
   */
  respond(stream: Http2Stream, status: number, fields: readonly Field[], endStream: boolean): void;
  /** A part of a body; the chunk may be reused afterwards. False: something had to be queued, wait for `onWritable`, which follows even where `endStream` was given. */
  sendData(stream: Http2Stream, chunk: Buffer, endStream: boolean): boolean;
  /** Ends our side with trailers, behind what is queued. Not in a tunnel (RFC 9113 section 8.5): throws Http2Error PROTOCOL_ERROR. */
  sendTrailers(stream: Http2Stream, fields: readonly Field[]): void;
  /**
   * Ends a stream at once; its `onReset` is called before this returns. A stream that is over is only relieved of the bytes it
   * still holds. A server that has answered before the request ended resets with NO_ERROR (RFC 9113 section 8.1): while the end of
   * the answer is queued, that waits behind it, and nothing more of the request is handed on.
   */
  reset(stream: Http2Stream, code: Http2ErrorCode): void;
  /** The owner has taken `bytes` of what `onData` gave: the peer may send as many again. Due for every byte unless the stream is reset. */
  consumed(stream: Http2Stream, bytes: number): void;
  /** Everything gathered since the last call; undefined when there is nothing. May call `onWritable`. */
  takeOutput(): Buffer | undefined;
  /** Begins a drain: no new streams, the open ones go on. NO_ERROR by default. */
  goaway(code?: Http2ErrorCode): void;
  /** Sends a PING; `onPong` follows. */
  ping(): void;
  /** Asks the peer to let the older connection of that channel binding, 32 bytes, go on under this one's certificates. */
  renew(binding: Buffer): void;
  /** The transport has gone: every open stream gets `onReset` (INTERNAL_ERROR, by the peer), and nothing is sent any more. What the handler throws at that is thrown when all are through. */
  disconnect(): void;
  /** The peer's SETTINGS have come; until then the RFC's initial values hold for it, and `onSettings` is yet to be called. */
  hasPeerSettings(): boolean;
  /** Client: the peer takes extended CONNECT (RFC 8441), as far as it has said: false until `hasPeerSettings()`. */
  peerAllowsExtendedConnect(): boolean;
  /** Calls `visit` with every stream that is not closed, in no particular order. It may end any of them; one that another visit ended is left out. */
  forEachStream(visit: (stream: Http2Stream) => void): void;
  /**
   * What the peer has begun and not finished: its preface, its first SETTINGS, a frame other than DATA, a field block. 0 for
   * nothing; the number of earlier on for the same thing still. Who drips one in is found by it (transport.ts).
   */
  unfinished(): number;
  /** Resets (CANCEL) the streams of which nothing could be sent since the last call though something is queued: readers that stand still. Returns how many. */
  resetStalled(): number;
  /** Streams that are not closed. */
  streamCount(): number;
  /** Either side has sent GOAWAY. */
  isDraining(): boolean;
  /** A drain is over: the peer knows of it, and no stream is open. The transport may close. */
  isDrained(): boolean;
  /** After `onFatal` or `disconnect`. */
  isClosed(): boolean;
}

/** A new connection; its preface and SETTINGS are in the output already, without a call of `onOutput`. */
export function createHttp2Connection(options: Http2Options): Http2Connection {
  const limits = { ...defaultLimits, ...options.limits };
  const state = createState(options, limits);
  writePreface(state);
  return {
    receive: (chunk) => receive(state, chunk),
    request: (head, fields, endStream) => request(state, head, fields, endStream),
    canRequest: () => canRequest(state),
    respond: (stream, status, fields, endStream) => respond(state, stream, status, fields, endStream),
    sendData: (stream, chunk, endStream) => sendData(state, stream, chunk, endStream),
    sendTrailers: (stream, fields) => sendTrailers(state, stream, fields),
    reset: (stream, code) => {
      if (isClosed(stream)) releaseHeld(state, stream);
      else if (code === Http2ErrorCode.NO_ERROR && isEndQueued(stream)) stopReceiving(state, stream);
      else resetStream(state, stream, code);
    },
    consumed: (stream, bytes) => consumed(state, stream, bytes),
    takeOutput: () => {
      const batch = take(state.output);
      if (batch !== undefined && state.ready.length > 0 && !state.dead) pumpSafely(state);
      return batch;
    },
    goaway: (code = Http2ErrorCode.NO_ERROR) => goaway(state, code),
    ping: () => ping(state),
    renew: (binding) => renew(state, binding),
    disconnect: () => {
      const thrown = state.dead ? undefined : loseAll(state, Http2ErrorCode.INTERNAL_ERROR, true);
      if (thrown !== undefined) throw thrown;
    },
    hasPeerSettings: () => state.settingsReceived,
    peerAllowsExtendedConnect: () => state.peer.extendedConnect,
    forEachStream: (visit) => {
      for (const stream of allStreams(state.streams)) if (!isClosed(stream)) visit(stream);
    },
    unfinished: () => unfinished(state),
    resetStalled: () => resetStalled(state),
    streamCount: () => state.streams.size,
    isDraining: () => state.draining,
    isDrained: () => state.draining && !state.drainPending && state.streams.size === 0,
    isClosed: () => state.dead,
  };
}

function writePreface(state: Http2State): void {
  const settings = settingsFrame(state.limits, state.server);
  const preface = state.server ? settings : Buffer.concat([clientPreface, settings]);
  // Put there by hand: the owner has no connection yet that `onOutput` could tell it to flush.
  state.output.buffer = Buffer.concat([preface, Buffer.alloc(64)]);
  state.output.length = preface.length;
  openConnectionWindow(state, DEFAULT_WINDOW);
}
