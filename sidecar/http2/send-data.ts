/**
 * Bodies on their way out: within the windows of stream and connection (RFC 9113 section 5.2), in frames the peer accepts,
 * in turn among the streams that wait.
 *
 * Hot path: a chunk that fits is copied into the output and nothing is allocated for it.
 */
import type { Field } from "../../common/http/field.ts";
import { giveBlock, takeBlock } from "../blocks.ts";
import { Http2Error, Http2ErrorCode } from "./error.ts";
import { endLocal, resetStream } from "./endings.ts";
import { FRAME_HEADER, FrameFlag, FrameType, writeFrameHeader } from "./frames.ts";
import { forgive } from "./limits.ts";
import { reserve } from "./output.ts";
import { writeFieldBlock } from "./send-head.ts";
import type { Http2State } from "./state.ts";
import { allStreams } from "./stream-table.ts";
import { emptyQueue, isClosed, StreamState, type Http2Stream } from "./stream.ts";

/** What one stream may send before the next one's turn. */
const TURN = 16_384;
/** Frames of the peer's window updates that each DATA frame accounts for. */
const UPDATES_PER_FRAME = 4;

function writeFrame(state: Http2State, stream: Http2Stream, chunk: Buffer, offset: number, length: number, flags: number): void {
  const output = state.output;
  reserve(output, FRAME_HEADER + length);
  const position = output.length;
  writeFrameHeader(output.buffer, position, length, FrameType.DATA, flags, stream.id);
  if (length > 0) chunk.copy(output.buffer, position + FRAME_HEADER, offset, offset + length);
  output.length = position + FRAME_HEADER + length;
  stream.sendWindow -= length;
  state.sendWindow -= length;
  forgive(state.windowUpdates, UPDATES_PER_FRAME);
}

/**
 * Sends a part of a body. What the windows or a full output hold back is copied into the stream's queue, and the answer is
 * false: wait for `onWritable`. On a stream that is over it does nothing. A body that does not match its content-length
 * resets the stream (INTERNAL_ERROR). Throws Http2Error where a body is not allowed: before the head or behind the end.
 */
export function sendData(state: Http2State, stream: Http2Stream, chunk: Buffer, endStream: boolean): boolean {
  if (state.dead || (stream.state & StreamState.RESET) !== 0) return true;
  if ((stream.state & (StreamState.HEAD_SENT | StreamState.LOCAL_ENDED | StreamState.END_QUEUED)) !== StreamState.HEAD_SENT) {
    throw new Http2Error("INTERNAL_ERROR", "DATA is sent before the head or behind the end of its stream");
  }
  const length = chunk.length;
  if (stream.toSend >= 0) {
    stream.toSend -= length;
    if (stream.toSend < 0 || (endStream && stream.toSend > 0)) {
      resetStream(state, stream, Http2ErrorCode.INTERNAL_ERROR);
      return true;
    }
  }
  if (length === 0 && !endStream) return stream.queue.length === 0;
  if (stream.queue.length > 0) return enqueue(state, stream, chunk, 0, endStream);
  let offset = 0;
  if (length > 0) {
    const room = state.output.length >= state.limits.outputHighWater ? 0 : Math.min(length, stream.sendWindow, state.sendWindow);
    const largest = state.peer.maxFrameSize;
    while (offset < room) {
      const size = Math.min(room - offset, largest);
      const last = endStream && offset + size === length;
      writeFrame(state, stream, chunk, offset, size, last ? FrameFlag.END_STREAM : 0);
      offset += size;
    }
    if (offset < length) return enqueue(state, stream, chunk, offset, endStream);
  } else writeFrame(state, stream, chunk, 0, 0, FrameFlag.END_STREAM);
  if (endStream) endLocal(state, stream);
  return true;
}

function enqueue(state: Http2State, stream: Http2Stream, chunk: Buffer, offset: number, endStream: boolean): false {
  if (stream.queue === emptyQueue) stream.queue = [];
  const length = chunk.length - offset;
  if (length > 0) {
    const block = takeBlock(length);
    chunk.copy(block, 0, offset);
    stream.queue.push(block.subarray(0, length));
  }
  stream.state |= StreamState.WAITING | (endStream ? StreamState.END_QUEUED : 0);
  makeReady(state, stream);
  return false;
}

/** Lets a stream with something queued take part in `pump`, once its own window is open. */
export function makeReady(state: Http2State, stream: Http2Stream): void {
  if (stream.queue.length === 0 || stream.sendWindow <= 0 || (stream.state & StreamState.READY) !== 0) return;
  stream.state |= StreamState.READY;
  state.ready.push(stream);
}

/** Moves queued bodies into the output as far as the windows and the output go. */
export function pump(state: Http2State): void {
  while (state.ready.length > 0 && state.sendWindow > 0 && state.output.length < state.limits.outputHighWater) {
    const stream = state.ready.shift()!;
    stream.state &= ~StreamState.READY;
    if (stream.sendWindow <= 0) continue;
    sendTurn(state, stream);
    if (stream.queue.length > 0) makeReady(state, stream);
    else finishQueue(state, stream);
  }
}

function sendTurn(state: Http2State, stream: Http2Stream): void {
  stream.state &= ~StreamState.STALLED;
  let turn = Math.min(TURN, state.peer.maxFrameSize, stream.sendWindow, state.sendWindow);
  while (turn > 0 && stream.queue.length > 0) {
    const chunk = stream.queue[0]!;
    const size = Math.min(turn, chunk.length - stream.queueOffset);
    const offset = stream.queueOffset;
    stream.queueOffset += size;
    turn -= size;
    const whole = stream.queueOffset === chunk.length;
    if (whole) {
      stream.queue.shift();
      stream.queueOffset = 0;
    }
    const last = stream.queue.length === 0 && (stream.state & StreamState.END_QUEUED) !== 0 && stream.trailers === undefined;
    writeFrame(state, stream, chunk, offset, size, last ? FrameFlag.END_STREAM : 0);
    if (whole) giveBlock(chunk);
  }
}

/** Resets streams whose queue has not moved since the last call; returns how many. */
export function resetStalled(state: Http2State): number {
  let count = 0;
  for (const stream of allStreams(state.streams)) {
    if (stream.queue.length === 0 || isClosed(stream)) continue;
    if ((stream.state & StreamState.STALLED) === 0) stream.state |= StreamState.STALLED;
    else {
      resetStream(state, stream, Http2ErrorCode.CANCEL);
      count++;
    }
  }
  return count;
}

function finishQueue(state: Http2State, stream: Http2Stream): void {
  if ((stream.state & StreamState.END_QUEUED) !== 0) {
    const trailers = stream.trailers;
    if (trailers !== undefined) {
      stream.trailers = undefined;
      writeTrailers(state, stream, state.encoder.prepare(trailers));
    }
    endLocal(state, stream);
    if ((stream.state & StreamState.STOPPED) !== 0 && !isClosed(stream)) resetStream(state, stream, Http2ErrorCode.NO_ERROR);
  }
  // Behind the end too: who owes credit for what was queued learns here that it may be given.
  const waits = (stream.state & (StreamState.WAITING | StreamState.RESET)) === StreamState.WAITING;
  stream.state &= ~StreamState.WAITING;
  if (waits) state.handler.onWritable(stream);
}

function writeTrailers(state: Http2State, stream: Http2Stream, fieldBytes: number): void {
  writeFieldBlock(state, stream.id, fieldBytes, FrameFlag.END_STREAM, 0, undefined);
}

/**
 * Ends our side with trailers, behind whatever is queued. Throws Http2Error for a field that breaks a rule, and where no
 * trailers are allowed.
 */
export function sendTrailers(state: Http2State, stream: Http2Stream, fields: readonly Field[]): void {
  if (state.dead || (stream.state & StreamState.RESET) !== 0) return;
  if ((stream.state & (StreamState.HEAD_SENT | StreamState.LOCAL_ENDED | StreamState.END_QUEUED)) !== StreamState.HEAD_SENT) {
    throw new Http2Error("INTERNAL_ERROR", "trailers are sent before the head or behind the end of their stream");
  }
  if ((stream.state & (state.server ? StreamState.TUNNEL : StreamState.CONNECT)) !== 0) {
    throw new Http2Error("PROTOCOL_ERROR", "a tunnel has no trailers");
  }
  if (stream.toSend > 0) {
    resetStream(state, stream, Http2ErrorCode.INTERNAL_ERROR);
    return;
  }
  // Checked now, where the owner can be told, even if they wait.
  const fieldBytes = state.encoder.prepare(fields);
  if (state.encoder.contentLength !== -1) throw new Http2Error("PROTOCOL_ERROR", "content-length does not belong in trailers");
  if (stream.queue.length > 0) {
    stream.trailers = fields;
    stream.state |= StreamState.END_QUEUED;
    return;
  }
  writeTrailers(state, stream, fieldBytes);
  endLocal(state, stream);
}
