/**
 * HEADERS and CONTINUATION (RFC 9113 sections 6.2, 6.10 and 8): a field block is gathered, decoded whatever becomes of its
 * stream (the tables of both sides must stay in step), and handed on as a request, a response or trailers if it is one.
 */
import { Http2Error, Http2ErrorCode } from "./error.ts";
import { endingOf, endRemote, isIdle, refuseId, rememberReset, streamError, writeReset } from "./endings.ts";
import { FrameFlag, readUint31 } from "./frames.ts";
import { Pseudo, type FieldBlock } from "./hpack/field-block.ts";
import { exceeds } from "./limits.ts";
import { receiveIgnored } from "./receive-control.ts";
import { requestFlaw, requestHead, responseFlaw, responseHead, trailersFlaw } from "./messages.ts";
import { writeFieldBlock } from "./send-head.ts";
import { Ending, type Http2State } from "./state.ts";
import { addStream, findStream } from "./stream-table.ts";
import { createStream, StreamState, type Http2Stream } from "./stream.ts";

const HEADER_FIELDS_TOO_LARGE = 431;
const nothing = Buffer.alloc(0);

export function receiveHeaders(state: Http2State, bytes: Buffer, start: number, length: number, flags: number, id: number): void {
  if (id === 0) throw new Http2Error("PROTOCOL_ERROR", "HEADERS belongs to no stream");
  let position = start;
  let end = start + length;
  if ((flags & FrameFlag.PADDED) !== 0) {
    if (length === 0) throw new Http2Error("FRAME_SIZE_ERROR", "a padded frame has no pad length");
    end -= bytes[position++]!;
  }
  let dependsOnItself = false;
  if ((flags & FrameFlag.PRIORITY) !== 0) {
    if (start + length - position < 5) throw new Http2Error("FRAME_SIZE_ERROR", "HEADERS has no room for its priority");
    dependsOnItself = readUint31(bytes, position) === id;
    position += 5;
  }
  if (position > end) throw new Http2Error("PROTOCOL_ERROR", "a frame is padded beyond its length");
  const endStream = (flags & FrameFlag.END_STREAM) !== 0;
  if (dependsOnItself) throw new Http2Error("PROTOCOL_ERROR", "a stream depends on itself");
  if ((flags & FrameFlag.END_HEADERS) !== 0) {
    receiveBlock(state, bytes, position, end, endStream, id);
    return;
  }
  state.blockStreamId = id;
  state.blockEnds = endStream;
  state.blockLength = 0;
  state.blockFrames = 0;
  gather(state, bytes, position, end);
}

export function receiveContinuation(state: Http2State, bytes: Buffer, start: number, length: number, flags: number, id: number): void {
  if (state.blockStreamId === 0) throw new Http2Error("PROTOCOL_ERROR", "CONTINUATION continues nothing");
  if (++state.blockFrames > state.limits.continuations) throw new Http2Error("ENHANCE_YOUR_CALM", "a field block has too many frames");
  gather(state, bytes, start, start + length);
  if ((flags & FrameFlag.END_HEADERS) === 0) return;
  state.blockStreamId = 0;
  const gathered = state.block;
  state.block = nothing;
  receiveBlock(state, gathered, 0, state.blockLength, state.blockEnds, id);
}

function gather(state: Http2State, bytes: Buffer, start: number, end: number): void {
  const size = end - start;
  if (size === 0 && exceeds(state.emptyFrames, state.now, state.limits.period))
    throw new Http2Error("ENHANCE_YOUR_CALM", "too many empty frames");
  const length = state.blockLength + size;
  if (length > state.limits.headerBlockSize) throw new Http2Error("ENHANCE_YOUR_CALM", "a field block is too large");
  if (state.block.length < length) {
    const larger = Buffer.allocUnsafeSlow(Math.min(state.limits.headerBlockSize, length * 2));
    state.block.copy(larger, 0, 0, state.blockLength);
    state.block = larger;
  }
  bytes.copy(state.block, state.blockLength, start, end);
  state.blockLength = length;
}

function receiveBlock(state: Http2State, bytes: Buffer, start: number, end: number, endStream: boolean, id: number): void {
  const block = state.decoder.decode(bytes, start, end);
  const stream = findStream(state.streams, id);
  if (stream !== undefined) {
    if ((stream.state & StreamState.REMOTE_ENDED) !== 0) streamError(state, stream, Http2ErrorCode.STREAM_CLOSED);
    else if ((stream.state & StreamState.HEAD_RECEIVED) !== 0) receiveTrailers(state, stream, block, endStream);
    else receiveResponse(state, stream, block, endStream);
  } else if (state.server && (id & 1) === 1 && id > state.lastPeerStreamId) receiveRequest(state, id, block, endStream);
  else receiveNowhere(state, id);
}

function receiveNowhere(state: Http2State, id: number): void {
  if (isIdle(state, id)) throw new Http2Error("PROTOCOL_ERROR", "HEADERS opens a stream that the peer may not open");
  const ending = endingOf(state, id);
  if (ending === Ending.RESET_BY_US || id > state.goawaySent) {
    receiveIgnored(state);
    return;
  }
  if (ending === Ending.ENDED) throw new Http2Error("STREAM_CLOSED", "HEADERS on a stream that has ended");
  if (ending === Ending.UNKNOWN) throw new Http2Error("PROTOCOL_ERROR", "HEADERS on a stream whose time is over");
  refuseId(state, id, Http2ErrorCode.STREAM_CLOSED);
}

function receiveRequest(state: Http2State, id: number, block: FieldBlock, endStream: boolean): void {
  state.lastPeerStreamId = id;
  // Over the id our GOAWAY named: the peer knows that it is ignored.
  if (id > state.goawaySent) {
    receiveIgnored(state);
    return;
  }
  // A stream whose end is still in the output is open as far as the peer can know: one that asks and does not read ends here.
  if (state.streams.size + state.output.ended >= state.limits.concurrentStreams) {
    refuseId(state, id, Http2ErrorCode.REFUSED_STREAM);
    return;
  }
  if (block.tooLarge) {
    refuseHead(state, id, endStream);
    return;
  }
  if (requestFlaw(block, endStream, state.limits.extendedConnect) !== "") {
    refuseId(state, id, Http2ErrorCode.PROTOCOL_ERROR);
    return;
  }
  const head = requestHead(block, endStream);
  let flags: number = endStream ? StreamState.HEAD_RECEIVED | StreamState.REMOTE_ENDED : StreamState.HEAD_RECEIVED;
  if (head.method === "HEAD") flags |= StreamState.HEAD_REQUEST;
  else if (head.method === "CONNECT") flags |= StreamState.CONNECT;
  const stream = createStream(id, flags, state.peer.initialWindow, state.receiveInitial);
  if ((block.pseudo & Pseudo.PROTOCOL) !== 0) stream.protocol = block.protocol;
  stream.toReceive = head.contentLength;
  addStream(state.streams, stream);
  state.handler.onRequest(stream, head, endStream);
}

/** Answers 431 in the owner's place (RFC 6585 section 5). */
function refuseHead(state: Http2State, id: number, endStream: boolean): void {
  writeFieldBlock(state, id, state.encoder.prepare([]), FrameFlag.END_STREAM, HEADER_FIELDS_TOO_LARGE, undefined);
  if (!endStream) writeReset(state, id, Http2ErrorCode.NO_ERROR);
  rememberReset(state, id);
  state.output.ended++;
}

function receiveResponse(state: Http2State, stream: Http2Stream, block: FieldBlock, endStream: boolean): void {
  if (block.tooLarge || responseFlaw(block, endStream, stream.state) !== "") {
    streamError(state, stream, block.tooLarge ? Http2ErrorCode.ENHANCE_YOUR_CALM : Http2ErrorCode.PROTOCOL_ERROR);
    return;
  }
  const head = responseHead(block, endStream, stream.state);
  if (head.status < 200) {
    if (++stream.informational > state.limits.informational) streamError(state, stream, Http2ErrorCode.ENHANCE_YOUR_CALM);
    else state.handler.onInformational(stream, head);
    return;
  }
  const tunnel = (stream.state & StreamState.CONNECT) !== 0 && head.status < 300;
  stream.state |= tunnel ? StreamState.HEAD_RECEIVED | StreamState.TUNNEL : StreamState.HEAD_RECEIVED;
  stream.toReceive = tunnel ? -1 : head.contentLength;
  if (endStream) endRemote(state, stream);
  state.handler.onResponse(stream, head, endStream);
}

function receiveTrailers(state: Http2State, stream: Http2Stream, block: FieldBlock, endStream: boolean): void {
  // A tunnel has none (RFC 9113 section 8.5); a client has no use for any, whether it is accepted or not.
  const tunnel = (stream.state & (state.server ? StreamState.CONNECT : StreamState.TUNNEL)) !== 0;
  if (block.tooLarge || tunnel || !endStream || stream.toReceive > 0 || trailersFlaw(block) !== "") {
    streamError(state, stream, block.tooLarge ? Http2ErrorCode.ENHANCE_YOUR_CALM : Http2ErrorCode.PROTOCOL_ERROR);
    return;
  }
  endRemote(state, stream);
  if ((stream.state & StreamState.STOPPED) === 0) state.handler.onTrailers(stream, block.fields);
}
