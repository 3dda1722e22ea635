/** Frames that carry no message: SETTINGS, PING, GOAWAY, WINDOW_UPDATE, RST_STREAM, PRIORITY (RFC 9113 section 6), each counted. */
import { Http2Error, Http2ErrorCode, errorCodeFromWire } from "./error.ts";
import { countControl, isIdle, loseStream, streamError, writeGoaway } from "./endings.ts";
import { FRAME_HEADER, FrameFlag, FrameType, LARGEST_WINDOW, readUint31, readUint32, writeFrameHeader } from "./frames.ts";
import { exceeds } from "./limits.ts";
import { reserve } from "./output.ts";
import { makeReady, pump } from "./send-data.ts";
import { applyPeerSettings } from "./settings.ts";
import type { Http2State } from "./state.ts";
import { allStreams, findStream } from "./stream-table.ts";
import { isClosed } from "./stream.ts";

const PING_BYTES = 8;
/** Payload of the PING behind the announcement of a drain: its acknowledgement says that the peer has read it. */
const drainPing = Buffer.from("drain\0\0\0", "latin1");
const ownPing = Buffer.from("ping\0\0\0\0", "latin1");

function expectLength(length: number, expected: number, name: string): void {
  if (length !== expected) throw new Http2Error("FRAME_SIZE_ERROR", `a ${name} frame has a wrong length`);
}

function expectConnection(id: number, name: string): void {
  if (id !== 0) throw new Http2Error("PROTOCOL_ERROR", `${name} belongs to a stream`);
}

export function receiveSettings(state: Http2State, bytes: Buffer, start: number, length: number, flags: number, id: number): void {
  expectConnection(id, "SETTINGS");
  if ((flags & FrameFlag.ACK) !== 0) {
    expectLength(length, 0, "SETTINGS acknowledgement");
    acknowledgeSettings(state);
    return;
  }
  countSettings(state);
  const { peer, output, encoder } = state;
  if (!state.settingsReceived) peer.maxConcurrentStreams = Infinity;
  state.settingsReceived = true;
  const before = peer.initialWindow;
  applyPeerSettings(peer, bytes, start, start + length, state.server);
  if (peer.lowestTableSize < peer.headerTableSize) encoder.setPeerLimit(peer.lowestTableSize);
  encoder.setPeerLimit(peer.headerTableSize);
  reserve(output, FRAME_HEADER);
  writeFrameHeader(output.buffer, output.length, 0, FrameType.SETTINGS, FrameFlag.ACK, 0);
  output.length += FRAME_HEADER;
  countControl(state, FRAME_HEADER);
  if (peer.initialWindow !== before) moveSendWindows(state, peer.initialWindow - before);
  state.handler.onSettings();
}

function countSettings(state: Http2State): void {
  if (exceeds(state.settings, state.now, state.limits.period)) throw new Http2Error("ENHANCE_YOUR_CALM", "too many SETTINGS or GOAWAYs");
}

/** RFC 9113 section 6.9.2: a new initial window moves those of the open streams, below zero even. */
function moveSendWindows(state: Http2State, by: number): void {
  for (const stream of allStreams(state.streams)) {
    if (stream.sendWindow + by > LARGEST_WINDOW) throw new Http2Error("FLOW_CONTROL_ERROR", "SETTINGS makes a window too large");
    stream.sendWindow += by;
    makeReady(state, stream);
  }
  pump(state);
}

/** Our SETTINGS hold from here on; until then the RFC's initial values had to be let through where they are larger. */
function acknowledgeSettings(state: Http2State): void {
  if (state.settingsAcknowledged) {
    countSettings(state);
    return;
  }
  state.settingsAcknowledged = true;
  const { limits } = state;
  state.decoder.setTableLimit(limits.headerTableSize);
  const by = limits.streamWindow - state.receiveInitial;
  state.receiveInitial = limits.streamWindow;
  if (by !== 0) for (const stream of allStreams(state.streams)) stream.receiveWindow += by;
}

export function receivePing(state: Http2State, bytes: Buffer, start: number, length: number, flags: number, id: number): void {
  expectConnection(id, "PING");
  expectLength(length, PING_BYTES, "PING");
  if ((flags & FrameFlag.ACK) !== 0) {
    receivePong(state, bytes, start);
    return;
  }
  countPing(state);
  writePing(state, FrameFlag.ACK, bytes, start);
  countControl(state, FRAME_HEADER + PING_BYTES);
}

function countPing(state: Http2State): void {
  if (exceeds(state.pings, state.now, state.limits.period)) throw new Http2Error("ENHANCE_YOUR_CALM", "too many PINGs");
}

function receivePong(state: Http2State, bytes: Buffer, start: number): void {
  if (state.drainPending && drainPing.compare(bytes, start, start + PING_BYTES) === 0) finishDrain(state);
  else if (state.pingsUnanswered > 0) {
    state.pingsUnanswered--;
    state.handler.onPong();
  } else countPing(state);
}

function writePing(state: Http2State, flags: number, payload: Buffer, start: number): void {
  const output = state.output;
  reserve(output, FRAME_HEADER + PING_BYTES);
  writeFrameHeader(output.buffer, output.length, PING_BYTES, FrameType.PING, flags, 0);
  payload.copy(output.buffer, output.length + FRAME_HEADER, start, start + PING_BYTES);
  output.length += FRAME_HEADER + PING_BYTES;
}

const BINDING_BYTES = 32;

/** Counted with the frames that mean nothing: to a sidecar that has nothing to renew it is one. */
export function receiveRenewal(state: Http2State, bytes: Buffer, start: number, length: number, id: number): void {
  receiveIgnored(state);
  if (id === 0 && length === BINDING_BYTES) state.handler.onRenewal?.(bytes.subarray(start, start + length));
}

/** `binding` of 32 bytes. */
export function renew(state: Http2State, binding: Buffer): void {
  if (state.dead) return;
  const { output } = state;
  reserve(output, FRAME_HEADER + BINDING_BYTES);
  writeFrameHeader(output.buffer, output.length, BINDING_BYTES, FrameType.RENEWAL, 0, 0);
  binding.copy(output.buffer, output.length + FRAME_HEADER, 0, BINDING_BYTES);
  output.length += FRAME_HEADER + BINDING_BYTES;
}

/** Asks the peer for a sign of life. */
export function ping(state: Http2State): void {
  if (state.dead) return;
  state.pingsUnanswered++;
  writePing(state, 0, ownPing, 0);
}

/**
 * Begins a drain. A server first says that it will drain, and which request is the last only once the peer has read that
 * (RFC 9113 section 6.8), so that no request under way is lost. With an error code the last one is named at once.
 */
export function goaway(state: Http2State, code: Http2ErrorCode): void {
  if (state.dead || (state.draining && !state.drainPending)) return;
  const announced = state.drainPending;
  state.draining = true;
  if (!state.server) writeGoaway(state, 0, code, "");
  else if (code !== Http2ErrorCode.NO_ERROR) {
    state.drainPending = false;
    state.goawaySent = state.lastPeerStreamId;
    writeGoaway(state, state.goawaySent, code, "");
  } else if (!announced) {
    state.drainPending = true;
    writeGoaway(state, LARGEST_WINDOW, code, "");
    writePing(state, 0, drainPing, 0);
  }
}

function finishDrain(state: Http2State): void {
  state.drainPending = false;
  state.goawaySent = state.lastPeerStreamId;
  writeGoaway(state, state.goawaySent, Http2ErrorCode.NO_ERROR, "");
}

export function receiveGoaway(state: Http2State, bytes: Buffer, start: number, length: number, id: number): void {
  expectConnection(id, "GOAWAY");
  if (length < 8) throw new Http2Error("FRAME_SIZE_ERROR", "a GOAWAY frame is too short");
  const last = readUint31(bytes, start);
  if (last > state.goawayReceived) throw new Http2Error("PROTOCOL_ERROR", "GOAWAY names a later stream than before");
  countSettings(state);
  state.goawayReceived = last;
  state.draining = true;
  if (!state.server) {
    for (const stream of allStreams(state.streams))
      if (stream.id > last && !isClosed(stream)) loseStream(state, stream, Http2ErrorCode.REFUSED_STREAM, true);
  }
  state.handler.onGoaway(last, errorCodeFromWire(readUint32(bytes, start + 4)), bytes.subarray(start + 8, start + length));
}

export function receiveWindowUpdate(state: Http2State, bytes: Buffer, start: number, length: number, id: number): void {
  expectLength(length, 4, "WINDOW_UPDATE");
  if (exceeds(state.windowUpdates, state.now, state.limits.period)) throw new Http2Error("ENHANCE_YOUR_CALM", "too many WINDOW_UPDATEs");
  const increment = readUint31(bytes, start);
  if (id === 0) {
    if (increment === 0) throw new Http2Error("PROTOCOL_ERROR", "WINDOW_UPDATE adds nothing");
    state.sendWindow += increment;
    if (state.sendWindow > LARGEST_WINDOW) throw new Http2Error("FLOW_CONTROL_ERROR", "the connection's window grows too large");
    pump(state);
    return;
  }
  const stream = findStream(state.streams, id);
  if (stream === undefined) {
    if (isIdle(state, id)) throw new Http2Error("PROTOCOL_ERROR", "WINDOW_UPDATE on an idle stream");
    return;
  }
  if (increment === 0) {
    streamError(state, stream, Http2ErrorCode.PROTOCOL_ERROR);
    return;
  }
  stream.sendWindow += increment;
  if (stream.sendWindow > LARGEST_WINDOW) {
    streamError(state, stream, Http2ErrorCode.FLOW_CONTROL_ERROR);
    return;
  }
  makeReady(state, stream);
  pump(state);
}

export function receiveReset(state: Http2State, bytes: Buffer, start: number, length: number, id: number): void {
  if (id === 0) throw new Http2Error("PROTOCOL_ERROR", "RST_STREAM belongs to no stream");
  expectLength(length, 4, "RST_STREAM");
  if (isIdle(state, id)) throw new Http2Error("PROTOCOL_ERROR", "RST_STREAM on an idle stream");
  if (exceeds(state.resets, state.now, state.limits.period)) throw new Http2Error("ENHANCE_YOUR_CALM", "too many streams are reset");
  const stream = findStream(state.streams, id);
  if (stream !== undefined) loseStream(state, stream, errorCodeFromWire(readUint32(bytes, start)), true);
}

/** RFC 9113 section 5.3 leaves priorities to be ignored; a frame that is no PRIORITY is an error all the same. */
export function receivePriority(state: Http2State, bytes: Buffer, start: number, length: number, id: number): void {
  if (id === 0) throw new Http2Error("PROTOCOL_ERROR", "PRIORITY belongs to no stream");
  const stream = findStream(state.streams, id);
  if (length !== 5) {
    if (stream === undefined) throw new Http2Error("FRAME_SIZE_ERROR", "a PRIORITY frame has a wrong length");
    streamError(state, stream, Http2ErrorCode.FRAME_SIZE_ERROR);
    return;
  }
  if (readUint31(bytes, start) === id) throw new Http2Error("PROTOCOL_ERROR", "a stream depends on itself");
  receiveIgnored(state);
}

/** A frame without meaning for us, PRIORITY or of a type we do not know (RFC 9113 section 5.5). */
export function receiveIgnored(state: Http2State): void {
  if (exceeds(state.ignoredFrames, state.now, state.limits.period))
    throw new Http2Error("ENHANCE_YOUR_CALM", "too many frames without meaning");
}
