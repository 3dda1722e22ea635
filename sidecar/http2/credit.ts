/** Flow control of what is received (RFC 9113 section 5.2): windows are given back in halves, once the owner has taken the bytes. */
import { FRAME_HEADER, FrameType, writeFrameHeader, writeUint32 } from "./frames.ts";
import { reserve } from "./output.ts";
import type { Http2State } from "./state.ts";
import { StreamState, type Http2Stream } from "./stream.ts";

function writeWindowUpdate(state: Http2State, streamId: number, increment: number): void {
  const output = state.output;
  reserve(output, FRAME_HEADER + 4);
  writeFrameHeader(output.buffer, output.length, 4, FrameType.WINDOW_UPDATE, 0, streamId);
  writeUint32(output.buffer, output.length + FRAME_HEADER, increment);
  output.length += FRAME_HEADER + 4;
}

/** Widens the connection's window from the RFC's initial one, as the first frame behind our SETTINGS. */
export function openConnectionWindow(state: Http2State, initial: number): void {
  if (state.receiveWindow > initial) writeWindowUpdate(state, 0, state.receiveWindow - initial);
}

/** `bytes` of the connection's window are free again. */
export function creditConnection(state: Http2State, bytes: number): void {
  state.credit += bytes;
  if (state.credit * 2 < state.limits.connectionWindow || state.dead) return;
  writeWindowUpdate(state, 0, state.credit);
  state.receiveWindow += state.credit;
  state.credit = 0;
}

/** `bytes` of a stream's window are free again; the connection's are counted apart. */
export function creditStream(state: Http2State, stream: Http2Stream, bytes: number): void {
  if ((stream.state & (StreamState.REMOTE_ENDED | StreamState.RESET)) !== 0) return;
  stream.credit += bytes;
  if (stream.credit * 2 < state.limits.streamWindow || state.dead) return;
  writeWindowUpdate(state, stream.id, stream.credit);
  stream.receiveWindow += stream.credit;
  stream.credit = 0;
}

/** The owner took `bytes` of what `onData` gave it. */
export function consumed(state: Http2State, stream: Http2Stream, bytes: number): void {
  const taken = Math.min(bytes, stream.held);
  if (taken <= 0) return;
  stream.held -= taken;
  creditConnection(state, taken);
  creditStream(state, stream, taken);
}

/** Gives the connection back what a stream that is over still held. */
export function releaseHeld(state: Http2State, stream: Http2Stream): void {
  if (stream.held > 0) creditConnection(state, stream.held);
  stream.held = 0;
}

/** What the peer sends on this stream is not wanted any more: it is let go of as it comes. */
export function stopReceiving(state: Http2State, stream: Http2Stream): void {
  stream.state |= StreamState.STOPPED;
  releaseHeld(state, stream);
}
