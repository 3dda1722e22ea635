/**
 * From received bytes to frames (RFC 9113 section 4): the preface, frame headers, and what of a frame is cut off by the end
 * of a chunk. Bodies are handed on as they come; other frames are kept until they are whole.
 *
 * Hot path: a frame that is whole in its chunk is read where it lies.
 */
import { Http2Error } from "./error.ts";
import { fail } from "./endings.ts";
import { clientPreface, FRAME_HEADER, FrameFlag, FrameType, readUint31 } from "./frames.ts";
import {
  receiveGoaway,
  receiveIgnored,
  receivePing,
  receivePriority,
  receiveRenewal,
  receiveReset,
  receiveSettings,
  receiveWindowUpdate,
} from "./receive-control.ts";
import { beginData, continueData } from "./receive-data.ts";
import { receiveContinuation, receiveHeaders } from "./receive-head.ts";
import { pump } from "./send-data.ts";
import type { Http2State } from "./state.ts";

/** Takes bytes in. Never throws: what breaks a rule ends in `onReset` or `onFatal`, and so does an error thrown by the handler. */
export function receive(state: Http2State, chunk: Buffer): void {
  if (state.dead) return;
  try {
    receiveFrames(state, chunk);
  } catch (error) {
    failWith(state, error);
  }
}

/** Moves queued bodies into the output, with the same guarantee. */
export function pumpSafely(state: Http2State): void {
  try {
    pump(state);
  } catch (error) {
    failWith(state, error);
  }
}

/** See `Http2Connection.unfinished`. */
export function unfinished(state: Http2State): number {
  const underWay = state.pendingLength > 0 || state.blockStreamId !== 0 || state.prefaceLeft > 0 || !state.settingsReceived;
  return underWay && !state.dead ? state.finished + 1 : 0;
}

function failWith(state: Http2State, error: unknown): void {
  fail(state, error instanceof Http2Error ? error : new Http2Error("INTERNAL_ERROR", "the handler failed", { cause: error }));
}

function receiveFrames(state: Http2State, chunk: Buffer): void {
  let position = state.prefaceLeft > 0 ? receivePreface(state, chunk) : 0;
  const end = chunk.length;
  for (;;) {
    if (state.dataLeft > 0 || state.paddingLeft > 0) {
      position = continueData(state, chunk, position);
      if (state.dataLeft > 0 || state.paddingLeft > 0) return;
    }
    if (state.pendingLength > 0) {
      position = receivePending(state, chunk, position);
      if (state.pendingLength > 0) return;
      continue;
    }
    const left = end - position;
    if (left <= 0 || state.dead) return;
    const needed = left < FRAME_HEADER ? FRAME_HEADER : neededBytes(state, chunk, position);
    if (left < needed) {
      keep(state, chunk, position, needed);
      return;
    }
    receiveFrame(state, chunk, position);
    position += needed;
  }
}

function receivePreface(state: Http2State, chunk: Buffer): number {
  const length = Math.min(state.prefaceLeft, chunk.length);
  const offset = clientPreface.length - state.prefaceLeft;
  for (let i = 0; i < length; i++) {
    if (chunk[i] !== clientPreface[offset + i]) throw new Http2Error("PROTOCOL_ERROR", "the client preface is wrong");
  }
  state.prefaceLeft -= length;
  return length;
}

/** Bytes from a frame's header on that must be there to act on it: the whole frame, of DATA only what precedes the body. */
function neededBytes(state: Http2State, bytes: Buffer, position: number): number {
  const length = (bytes[position]! << 16) | (bytes[position + 1]! << 8) | bytes[position + 2]!;
  if (length > state.limits.frameSize) throw new Http2Error("FRAME_SIZE_ERROR", "a frame is larger than allowed");
  if (bytes[position + 3] !== FrameType.DATA) return FRAME_HEADER + length;
  return (bytes[position + 4]! & FrameFlag.PADDED) !== 0 && length > 0 ? FRAME_HEADER + 1 : FRAME_HEADER;
}

/** Keeps the beginning of a frame of which `needed` bytes are known to be needed. */
function keep(state: Http2State, chunk: Buffer, position: number, needed: number): void {
  if (state.pending.length < needed) {
    const larger = Buffer.allocUnsafeSlow(Math.max(64, needed));
    state.pending.copy(larger, 0, 0, state.pendingLength);
    state.pending = larger;
  }
  state.pendingLength += chunk.copy(
    state.pending,
    state.pendingLength,
    position,
    Math.min(chunk.length, position + needed - state.pendingLength),
  );
}

/** Goes on with a frame whose beginning was kept; returns the position behind what it took. */
function receivePending(state: Http2State, chunk: Buffer, position: number): number {
  for (;;) {
    const needed = state.pendingLength < FRAME_HEADER ? FRAME_HEADER : neededBytes(state, state.pending, 0);
    const missing = needed - state.pendingLength;
    if (missing === 0) break;
    if (position >= chunk.length) return position;
    const before = state.pendingLength;
    keep(state, chunk, position, needed);
    position += state.pendingLength - before;
  }
  state.pendingLength = 0;
  receiveFrame(state, state.pending, 0);
  return position;
}

function receiveFrame(state: Http2State, bytes: Buffer, position: number): void {
  const length = (bytes[position]! << 16) | (bytes[position + 1]! << 8) | bytes[position + 2]!;
  const type = bytes[position + 3]!;
  const flags = bytes[position + 4]!;
  const id = readUint31(bytes, position + 5);
  const start = position + FRAME_HEADER;
  if (!state.settingsReceived && (type !== FrameType.SETTINGS || (flags & FrameFlag.ACK) !== 0)) {
    throw new Http2Error("PROTOCOL_ERROR", "the first frame is not SETTINGS");
  }
  if (state.blockStreamId !== 0 && (type !== FrameType.CONTINUATION || id !== state.blockStreamId)) {
    throw new Http2Error("PROTOCOL_ERROR", "a field block is interrupted");
  }
  // Those of a field block are parts of one thing.
  if (state.blockStreamId === 0) state.finished++;
  switch (type) {
    case FrameType.DATA:
      beginData(state, bytes, start, length, flags, id);
      return;
    case FrameType.HEADERS:
      receiveHeaders(state, bytes, start, length, flags, id);
      return;
    case FrameType.PRIORITY:
      receivePriority(state, bytes, start, length, id);
      return;
    case FrameType.RST_STREAM:
      receiveReset(state, bytes, start, length, id);
      return;
    case FrameType.SETTINGS:
      receiveSettings(state, bytes, start, length, flags, id);
      return;
    case FrameType.PUSH_PROMISE:
      throw new Http2Error("PROTOCOL_ERROR", "a push is promised that nobody allowed");
    case FrameType.PING:
      receivePing(state, bytes, start, length, flags, id);
      return;
    case FrameType.GOAWAY:
      receiveGoaway(state, bytes, start, length, id);
      return;
    case FrameType.WINDOW_UPDATE:
      receiveWindowUpdate(state, bytes, start, length, id);
      return;
    case FrameType.CONTINUATION:
      receiveContinuation(state, bytes, start, length, flags, id);
      return;
    case FrameType.RENEWAL:
      receiveRenewal(state, bytes, start, length, id);
      return;
    default:
      receiveIgnored(state);
  }
}
