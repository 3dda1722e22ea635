/** How streams and the connection come to an end (RFC 9113 sections 5.1, 5.4, 6.4 and 6.8), and what is remembered of them. */
import { releaseHeld } from "./credit.ts";
import { Http2Error, Http2ErrorCode } from "./error.ts";
import { FRAME_HEADER, FrameType, writeFrameHeader, writeUint32 } from "./frames.ts";
import { exceeds, forgive } from "./limits.ts";
import { reserve } from "./output.ts";
import { Ending, type Http2State } from "./state.ts";
import { allStreams, removeStream } from "./stream-table.ts";
import { emptyQueue, isClosed, StreamState, type Http2Stream } from "./stream.ts";

/** Ids we reset that are remembered: frames already under way for them are no error of the peer's. */
const MOST_RESET_IDS = 4096;

function rememberEnded(state: Http2State, id: number, ending: Ending): void {
  const place = (id >>> 1) & (state.endedIds.length - 1);
  state.endedIds[place] = id;
  state.endedKinds[place] = ending;
}

/** Records that an id was reset by us, or answered and left (a refused or malformed request). */
export function rememberReset(state: Http2State, id: number): void {
  if (state.resetIds.size >= MOST_RESET_IDS) {
    for (const oldest of state.resetIds) {
      state.resetIds.delete(oldest);
      break;
    }
  }
  state.resetIds.add(id);
}

/** How a stream that is not open any more ended; UNKNOWN for one too long ago, or skipped by its side. */
export function endingOf(state: Http2State, id: number): Ending {
  if (state.resetIds.has(id)) return Ending.RESET_BY_US;
  const place = (id >>> 1) & (state.endedIds.length - 1);
  return state.endedIds[place] === id ? (state.endedKinds[place] as Ending) : Ending.UNKNOWN;
}

/** Whether no frame may have come for that id yet (RFC 9113 section 5.1, idle). */
export function isIdle(state: Http2State, id: number): boolean {
  if ((id & 1) === 0) return true;
  return state.server ? id > state.lastPeerStreamId : id >= state.nextStreamId;
}

/** Our END_STREAM is in the output. */
export function endLocal(state: Http2State, stream: Http2Stream): void {
  stream.state |= StreamState.LOCAL_ENDED;
  if ((stream.state & StreamState.REMOTE_ENDED) !== 0) closeStream(state, stream);
}

/** The peer's END_STREAM has come. */
export function endRemote(state: Http2State, stream: Http2Stream): void {
  stream.state |= StreamState.REMOTE_ENDED;
  if ((stream.state & StreamState.LOCAL_ENDED) !== 0) closeStream(state, stream);
}

function closeStream(state: Http2State, stream: Http2Stream): void {
  removeStream(state.streams, stream);
  rememberEnded(state, stream.id, Ending.ENDED);
  state.output.ended++;
  forgive(state.resets, 1);
}

/** A RST_STREAM frame into the output. */
export function writeReset(state: Http2State, id: number, code: Http2ErrorCode): void {
  const output = state.output;
  reserve(output, FRAME_HEADER + 4);
  writeFrameHeader(output.buffer, output.length, 4, FrameType.RST_STREAM, 0, id);
  writeUint32(output.buffer, output.length + FRAME_HEADER, code);
  output.length += FRAME_HEADER + 4;
}

/** Takes a stream out without a word to the peer; the owner learns of it. */
export function loseStream(state: Http2State, stream: Http2Stream, code: Http2ErrorCode, byPeer: boolean): void {
  stream.state |= StreamState.RESET;
  stream.queue = emptyQueue;
  stream.trailers = undefined;
  if ((stream.state & StreamState.READY) !== 0) state.ready.splice(state.ready.indexOf(stream), 1);
  removeStream(state.streams, stream);
  if (byPeer) rememberEnded(state, stream.id, Ending.RESET_BY_PEER);
  if (!byPeer || (stream.state & StreamState.HEAD_SENT) !== 0) state.output.ended++;
  releaseHeld(state, stream);
  state.handler.onReset(stream, code, byPeer);
}

/** Resets an open stream. */
export function resetStream(state: Http2State, stream: Http2Stream, code: Http2ErrorCode): void {
  if (!state.dead) writeReset(state, stream.id, code);
  rememberReset(state, stream.id);
  loseStream(state, stream, code, false);
}

/** Counts an answer to the peer's frame; throws where answers pile up that the peer does not read. */
export function countControl(state: Http2State, bytes: number): void {
  state.output.control += bytes;
  if (state.output.control > state.limits.controlOutput)
    throw new Http2Error("ENHANCE_YOUR_CALM", "the peer does not read the answers it asks for");
}

function countStreamError(state: Http2State): void {
  countControl(state, FRAME_HEADER + 4);
  if (exceeds(state.streamErrors, state.now, state.limits.period))
    throw new Http2Error("ENHANCE_YOUR_CALM", "too many streams had to be reset");
}

/** The peer broke a rule on an open stream (RFC 9113 section 5.4.2). Throws when it does so too often. */
export function streamError(state: Http2State, stream: Http2Stream, code: Http2ErrorCode): void {
  resetStream(state, stream, code);
  countStreamError(state);
}

/** The same for an id that has no stream: refused, malformed, or closed. */
export function refuseId(state: Http2State, id: number, code: Http2ErrorCode): void {
  writeReset(state, id, code);
  rememberReset(state, id);
  countStreamError(state);
}

/** A GOAWAY frame into the output; `debug` is latin1. */
export function writeGoaway(state: Http2State, lastStreamId: number, code: Http2ErrorCode, debug: string): void {
  const output = state.output;
  const length = 8 + debug.length;
  reserve(output, FRAME_HEADER + length);
  const position = output.length;
  writeFrameHeader(output.buffer, position, length, FrameType.GOAWAY, 0, 0);
  writeUint32(output.buffer, position + FRAME_HEADER, lastStreamId);
  writeUint32(output.buffer, position + FRAME_HEADER + 4, code);
  output.buffer.write(debug, position + FRAME_HEADER + 8, "latin1");
  output.length = position + FRAME_HEADER + length;
}

/** Every open stream is lost, even if the owner throws at the news; what it threw first is returned. */
export function loseAll(state: Http2State, code: Http2ErrorCode, byPeer: boolean): unknown {
  state.dead = true;
  let thrown: unknown;
  for (const stream of allStreams(state.streams)) {
    // The owner may answer one stream's end by ending others.
    if (isClosed(stream)) continue;
    try {
      loseStream(state, stream, code, byPeer);
    } catch (error) {
      thrown ??= error;
    }
  }
  return thrown;
}

/** Ends the connection by our decision (RFC 9113 section 5.4.1). */
export function fail(state: Http2State, error: Http2Error): void {
  if (state.dead) return;
  const code = Http2ErrorCode[error.code];
  writeGoaway(state, Math.min(state.goawaySent, state.server ? state.lastPeerStreamId : 0), code, error.message);
  const thrown = loseAll(state, code, false);
  state.handler.onFatal(thrown === undefined ? error : new Http2Error(error.code, error.message, { cause: thrown }));
}
