/**
 * DATA (RFC 9113 section 6.1): counted against the windows and the content-length when its header comes, handed on as its
 * bytes come.
 */
import { creditConnection, creditStream } from "./credit.ts";
import { Http2Error, Http2ErrorCode } from "./error.ts";
import { endingOf, endRemote, isIdle, refuseId, streamError } from "./endings.ts";
import { FrameFlag } from "./frames.ts";
import { exceeds } from "./limits.ts";
import { receiveIgnored } from "./receive-control.ts";
import { Ending, type Http2State } from "./state.ts";
import { findStream } from "./stream-table.ts";
import { StreamState, type Http2Stream } from "./stream.ts";

const nothing = Buffer.alloc(0);

/** A DATA frame of `length` bytes begins at `start`, where the pad length stands if there is one. */
export function beginData(state: Http2State, bytes: Buffer, start: number, length: number, flags: number, id: number): void {
  if (id === 0) throw new Http2Error("PROTOCOL_ERROR", "DATA belongs to no stream");
  let size = length;
  let padding = 0;
  if ((flags & FrameFlag.PADDED) !== 0) {
    if (length === 0) throw new Http2Error("FRAME_SIZE_ERROR", "a padded frame has no pad length");
    padding = bytes[start]!;
    size = length - 1 - padding;
    if (size < 0) throw new Http2Error("PROTOCOL_ERROR", "a frame is padded beyond its length");
  }
  if (size === 0) countEmpty(state, flags);
  state.receiveWindow -= length;
  if (state.receiveWindow < 0) throw new Http2Error("FLOW_CONTROL_ERROR", "DATA exceeds the window of the connection");
  const stream = accept(state, id, length, size, (flags & FrameFlag.END_STREAM) !== 0);
  state.dataStream = stream;
  state.dataLeft = size;
  state.paddingLeft = padding;
  state.dataEnds = (flags & FrameFlag.END_STREAM) !== 0;
  if (stream === undefined) {
    creditConnection(state, length);
    return;
  }
  stream.receiveWindow -= length;
  if (stream.toReceive >= 0) stream.toReceive -= size;
  if ((stream.state & StreamState.STOPPED) !== 0) creditConnection(state, length);
  else stream.held += size;
  if (length > size && (stream.state & StreamState.STOPPED) === 0) {
    creditConnection(state, length - size);
    creditStream(state, stream, length - size);
  }
  if (size === 0) deliver(state, stream, nothing);
}

/** A frame that carries nothing and ends nothing, on whatever stream: nothing else limits how many there are. */
function countEmpty(state: Http2State, flags: number): void {
  if ((flags & FrameFlag.END_STREAM) === 0 && exceeds(state.emptyFrames, state.now, state.limits.period))
    throw new Http2Error("ENHANCE_YOUR_CALM", "too many empty frames");
}

/** The stream that takes a DATA frame; undefined where the frame is to be ignored, its stream having been reset perhaps now. */
function accept(state: Http2State, id: number, length: number, size: number, ends: boolean): Http2Stream | undefined {
  const stream = findStream(state.streams, id);
  if (stream === undefined) {
    acceptNowhere(state, id, length);
    return undefined;
  }
  let code: Http2ErrorCode = Http2ErrorCode.PROTOCOL_ERROR;
  if ((stream.state & StreamState.REMOTE_ENDED) !== 0) code = Http2ErrorCode.STREAM_CLOSED;
  else if (length > stream.receiveWindow) code = Http2ErrorCode.FLOW_CONTROL_ERROR;
  else if (
    (stream.state & StreamState.HEAD_RECEIVED) !== 0 &&
    (stream.toReceive < 0 || (ends ? size === stream.toReceive : size <= stream.toReceive))
  ) {
    return stream;
  }
  streamError(state, stream, code);
  return undefined;
}

/** DATA on a stream that is not open. */
function acceptNowhere(state: Http2State, id: number, length: number): void {
  if (isIdle(state, id)) throw new Http2Error("PROTOCOL_ERROR", "DATA on an idle stream");
  const ending = endingOf(state, id);
  // What was under way when we reset the stream is no error.
  if (ending === Ending.RESET_BY_US || id > state.goawaySent) {
    if (length === 0) receiveIgnored(state);
    return;
  }
  if (ending === Ending.ENDED) throw new Http2Error("STREAM_CLOSED", "DATA on a stream that has ended");
  refuseId(state, id, Http2ErrorCode.STREAM_CLOSED);
}

/** Hands on what `chunk` has of the DATA frame under way from `position` on; returns the position behind it. */
export function continueData(state: Http2State, chunk: Buffer, position: number): number {
  const size = Math.min(state.dataLeft, chunk.length - position);
  if (size > 0) {
    const stream = state.dataStream;
    state.dataLeft -= size;
    if (stream !== undefined && (stream.state & StreamState.RESET) === 0) {
      deliver(state, stream, position === 0 && size === chunk.length ? chunk : chunk.subarray(position, position + size));
    }
    position += size;
  }
  if (state.dataLeft === 0 && state.paddingLeft > 0) {
    const padding = Math.min(state.paddingLeft, chunk.length - position);
    state.paddingLeft -= padding;
    position += padding;
  }
  return position;
}

function deliver(state: Http2State, stream: Http2Stream, chunk: Buffer): void {
  const ends = state.dataEnds && state.dataLeft === 0;
  if (ends) endRemote(state, stream);
  if ((stream.state & StreamState.STOPPED) !== 0) return;
  if (ends || chunk.length > 0) state.handler.onData(stream, chunk, ends);
}
