/**
 * Heads on their way out.
 *
 * Hot path: a field block is encoded straight into the output, behind the place of its frame header.
 */
import { FieldKind, type Field } from "../../common/http/field.ts";
import { Http2Error } from "./error.ts";
import { endLocal } from "./endings.ts";
import { isAuthority, isMethod, isPath, isProtocol, isScheme } from "./field-rules.ts";
import { FRAME_HEADER, FrameFlag, FrameType, LARGEST_STREAM_ID, writeFrameHeader } from "./frames.ts";
import { reserve, type Output } from "./output.ts";
import type { Http2State } from "./state.ts";
import { addStream } from "./stream-table.ts";
import { createStream, StreamState, type Http2Stream } from "./stream.ts";

/** A request as the client role sends it; RFC 9113 section 8.3.1, for CONNECT 8.5, with `protocol` RFC 8441 section 4. */
export interface Http2RequestHead {
  readonly method: string;
  /** `http` or `https`; not sent with a plain CONNECT. */
  readonly scheme: string;
  readonly authority: string;
  /** `/path?query`, or `*` with OPTIONS; not sent with a plain CONNECT. */
  readonly path: string;
  readonly protocol?: string;
}

/** Room for an index or the lengths around a literal pseudo-field, each. */
const PSEUDO_OVERHEAD = 24;

/**
 * Encodes and writes one field block on a stream: pseudo-fields of `request`, or of `status` (0: none, as in trailers), then
 * the fields just given to `encoder.prepare`, which answered `fieldBytes`. `flags` may hold END_STREAM.
 */
export function writeFieldBlock(
  state: Http2State,
  streamId: number,
  fieldBytes: number,
  flags: number,
  status: number,
  request: Http2RequestHead | undefined,
): void {
  const { encoder, output } = state;
  let room = FRAME_HEADER + encoder.prefixBytes + fieldBytes + PSEUDO_OVERHEAD;
  if (request !== undefined) {
    room += request.method.length + request.authority.length + request.path.length + (request.protocol?.length ?? 0) + 5 * PSEUDO_OVERHEAD;
  }
  const largest = state.peer.maxFrameSize;
  if (room > largest) room += Math.ceil(room / largest) * FRAME_HEADER;
  reserve(output, room);
  const frame = output.length;
  const bytes = output.buffer;
  const start = frame + FRAME_HEADER;
  let position = encoder.begin(bytes, start);
  if (request !== undefined) {
    position = encoder.writePseudo(bytes, position, ":method", request.method);
    if (request.method !== "CONNECT" || request.protocol !== undefined) {
      position = encoder.writePseudo(bytes, position, ":scheme", request.scheme);
      position = encoder.writePseudo(bytes, position, ":path", request.path);
    }
    position = encoder.writePseudo(bytes, position, ":authority", request.authority);
    if (request.protocol !== undefined) position = encoder.writePseudo(bytes, position, ":protocol", request.protocol);
  } else if (status !== 0) position = encoder.writeStatus(bytes, position, status);
  position = encoder.writeFields(bytes, position);
  const length = position - start;
  if (length <= largest) {
    writeFrameHeader(bytes, frame, length, FrameType.HEADERS, flags | FrameFlag.END_HEADERS, streamId);
    output.length = position;
  } else splitBlock(output, largest, streamId, flags, length);
}

/** Makes HEADERS and CONTINUATION frames of a block of `length` bytes that stands behind the place of one frame header; there is room. */
function splitBlock(output: Output, frameSize: number, streamId: number, flags: number, length: number): void {
  const frame = output.length;
  const block = Buffer.from(output.buffer.subarray(frame + FRAME_HEADER, frame + FRAME_HEADER + length));
  for (let offset = 0; offset < length; offset += frameSize) {
    const size = Math.min(frameSize, length - offset);
    const last = offset + size === length ? FrameFlag.END_HEADERS : 0;
    const type = offset === 0 ? FrameType.HEADERS : FrameType.CONTINUATION;
    writeFrameHeader(output.buffer, output.length, size, type, (offset === 0 ? flags : 0) | last, streamId);
    block.copy(output.buffer, output.length + FRAME_HEADER, offset, offset + size);
    output.length += FRAME_HEADER + size;
  }
}

/** Whether a request can be made now: not draining, under the peer's limit of streams, ids left. */
export function canRequest(state: Http2State): boolean {
  return (
    !state.server &&
    !state.dead &&
    !state.draining &&
    state.nextStreamId < LARGEST_STREAM_ID &&
    state.streams.size < state.peer.maxConcurrentStreams
  );
}

/** Client: sends a request's head. Throws Http2Error: REFUSED_STREAM when `canRequest` is false, PROTOCOL_ERROR for a head that breaks a rule. */
export function request(state: Http2State, head: Http2RequestHead, fields: readonly Field[], endStream: boolean): Http2Stream {
  if (!canRequest(state)) throw new Http2Error("REFUSED_STREAM", "no request can be made on this connection now");
  checkRequest(state, head);
  const fieldBytes = state.encoder.prepare(fields);
  checkDeclared(state, endStream);
  const id = state.nextStreamId;
  writeFieldBlock(state, id, fieldBytes, endStream ? FrameFlag.END_STREAM : 0, 0, head);
  state.nextStreamId = id + 2;
  let flags: number = StreamState.HEAD_SENT;
  if (head.method === "HEAD") flags |= StreamState.HEAD_REQUEST;
  else if (head.method === "CONNECT") flags |= StreamState.CONNECT;
  const stream = createStream(id, flags, state.peer.initialWindow, state.receiveInitial);
  addStream(state.streams, stream);
  stream.toSend = state.encoder.contentLength;
  if (endStream) endLocal(state, stream);
  return stream;
}

/** Nothing may follow a head that ends its stream, so it may not declare a body either. */
function checkDeclared(state: Http2State, endStream: boolean): void {
  if (endStream && state.encoder.contentLength > 0)
    throw new Http2Error("PROTOCOL_ERROR", "content-length declares a body that is not sent");
}

function checkRequest(state: Http2State, head: Http2RequestHead): void {
  const { method, path } = head;
  if (!isMethod(method) || !isAuthority(head.authority))
    throw new Http2Error("PROTOCOL_ERROR", "the method or authority of a request is malformed");
  if (head.protocol !== undefined) {
    if (method !== "CONNECT" || !isProtocol(head.protocol)) throw new Http2Error("PROTOCOL_ERROR", ":protocol belongs to CONNECT");
    if (!state.peer.extendedConnect) throw new Http2Error("PROTOCOL_ERROR", "the peer does not know extended CONNECT");
  } else if (method === "CONNECT") return;
  if (!isScheme(head.scheme) || !isPath(path) || (path === "*" && method !== "OPTIONS")) {
    throw new Http2Error("PROTOCOL_ERROR", "the scheme or path of a request is malformed");
  }
}

/**
 * Server: sends a response's head, final or (100 to 199) informational, which `endStream` does not go with. On a stream that is
 * over it does nothing. Throws Http2Error: PROTOCOL_ERROR for a head that breaks a rule, INTERNAL_ERROR for one behind another.
 */
export function respond(state: Http2State, stream: Http2Stream, status: number, fields: readonly Field[], endStream: boolean): void {
  if (state.dead || (stream.state & StreamState.RESET) !== 0) return;
  if ((stream.state & StreamState.HEAD_SENT) !== 0 || !state.server)
    throw new Http2Error("INTERNAL_ERROR", "a second final response head is sent");
  const informational = status < 200;
  if (!(status >= 100 && status <= 999) || status === 101 || (informational && endStream)) {
    throw new Http2Error("PROTOCOL_ERROR", `status ${status} is not allowed here`);
  }
  const tunnel = (stream.state & StreamState.CONNECT) !== 0 && status >= 200 && status < 300;
  // Neither has a body, whatever length the head states (RFC 9110 section 8.6).
  const bodiless = (stream.state & StreamState.HEAD_REQUEST) !== 0 || ((status === 204 || status === 304) && !tunnel);
  // No content-length there (RFC 9110 section 8.6); peers refuse the message otherwise.
  const fieldBytes = state.encoder.prepare(fields, informational || status === 204 || tunnel ? FieldKind.CONTENT_LENGTH : 0);
  if (!bodiless) checkDeclared(state, endStream);
  writeFieldBlock(state, stream.id, fieldBytes, endStream ? FrameFlag.END_STREAM : 0, status, undefined);
  if (informational) return;
  stream.state |= tunnel ? StreamState.HEAD_SENT | StreamState.TUNNEL : StreamState.HEAD_SENT;
  stream.toSend = bodiless ? 0 : state.encoder.contentLength;
  if (endStream) endLocal(state, stream);
}
