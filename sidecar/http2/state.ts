/**
 * What one connection knows: the record that receiving (receive*.ts) and sending (send*.ts) share.
 *
 * Hot path: a plain object of one shape, worked on by functions of these modules; the public face is connection.ts.
 */
import type { Field } from "../../common/http/field.ts";
import type { RequestHead, ResponseHead } from "../../common/http/message.ts";
import type { Http2Error, Http2ErrorCode } from "./error.ts";
import { DEFAULT_WINDOW, LARGEST_STREAM_ID } from "./frames.ts";
import { createHpackDecoder, type HpackDecoder } from "./hpack/decoder.ts";
import { createHpackEncoder, type HpackEncoder } from "./hpack/encoder.ts";
import { createMeter, type Http2Limits, type Meter } from "./limits.ts";
import { createOutput, type Output } from "./output.ts";
import { initialPeerSettings, type PeerSettings } from "./settings.ts";
import { createStreamTable, type StreamTable } from "./stream-table.ts";
import type { Http2Stream } from "./stream.ts";

/** What the codec tells its owner. Called from inside `receive` and `takeOutput`; may call anything but those two. */
export interface Http2Handler {
  /** Server: a request whose head is whole and well-formed. The protocol of an extended CONNECT is in `stream.protocol`. */
  onRequest(stream: Http2Stream, head: RequestHead, endStream: boolean): void;
  /** Client: the final response. */
  onResponse(stream: Http2Stream, head: ResponseHead, endStream: boolean): void;
  /** Client: a 1xx response; none after `onResponse`. */
  onInformational(stream: Http2Stream, head: ResponseHead): void;
  /** A part of the body. `chunk` is a view of the received buffer, valid during the call only; empty at most with `endStream`. */
  onData(stream: Http2Stream, chunk: Buffer, endStream: boolean): void;
  /** Ends the stream's receiving side in place of `endStream`. */
  onTrailers(stream: Http2Stream, fields: readonly Field[]): void;
  /** Exactly once for every stream that ends otherwise than by END_STREAM of both sides; nothing follows for that stream. */
  onReset(stream: Http2Stream, code: Http2ErrorCode, byPeer: boolean): void;
  /** After `sendData` returned false: what it queued is in the output, and there is room for more unless our end was queued behind it. Always follows, but for `onReset`. */
  onWritable(stream: Http2Stream): void;
  /** The peer drains. Streams above `lastStreamId` get `onReset` with REFUSED_STREAM: the peer did nothing for them. */
  onGoaway(lastStreamId: number, code: Http2ErrorCode, debug: Buffer): void;
  /** The peer's SETTINGS took effect. */
  onSettings(): void;
  onPong(): void;
  /** The peer asks that its older connection of this channel binding (32 bytes, good during the call) go on under this one's certificates. */
  onRenewal?(binding: Buffer): void;
  /** The output went from empty to non-empty: schedule a flush. Not the place to take it: the frame is yet to be written. */
  onOutput(): void;
  /** The connection is over: open streams got `onReset`, GOAWAY is the last of the output. Write it and close. */
  onFatal(error: Http2Error): void;
}

/** How a stream id that is not open any more came to its end. */
export const Ending = { UNKNOWN: 0, ENDED: 1, RESET_BY_PEER: 2, RESET_BY_US: 3 } as const;
export type Ending = (typeof Ending)[keyof typeof Ending];

export interface Http2State {
  readonly server: boolean;
  readonly handler: Http2Handler;
  readonly limits: Http2Limits;
  readonly now: () => number;
  readonly output: Output;
  readonly encoder: HpackEncoder;
  readonly decoder: HpackDecoder;
  readonly peer: PeerSettings;

  /** Streams that are not closed. */
  readonly streams: StreamTable;
  /** Client: id of the next request. */
  nextStreamId: number;
  /** Server: highest id a request came with. */
  lastPeerStreamId: number;
  /** The last ids that ended well or by the peer, by place; see endings.ts. */
  readonly endedIds: Uint32Array;
  readonly endedKinds: Uint8Array;
  /** Ids we reset, oldest first. */
  readonly resetIds: Set<number>;

  /** The connection's own windows and credit, as those of a stream. */
  sendWindow: number;
  receiveWindow: number;
  credit: number;
  /** Initial window of a stream, as far as the peer has acknowledged it. */
  receiveInitial: number;
  /** Streams with something queued and a window of their own, in turn. */
  readonly ready: Http2Stream[];

  /** Server: bytes of the client preface still expected. */
  prefaceLeft: number;
  settingsReceived: boolean;
  settingsAcknowledged: boolean;
  /** Frames received, a field block counted once. */
  finished: number;
  /** Bytes of an unfinished frame (not DATA), `pendingLength` of them. */
  pending: Buffer;
  pendingLength: number;
  /** The DATA frame under way: its stream (undefined: to be ignored), body and padding bytes yet to come, END_STREAM. */
  dataStream: Http2Stream | undefined;
  dataLeft: number;
  paddingLeft: number;
  dataEnds: boolean;
  /** The field block under way: its stream id (0: none), bytes, END_STREAM of its HEADERS frame, frames so far. */
  blockStreamId: number;
  block: Buffer;
  blockLength: number;
  blockEnds: boolean;
  blockFrames: number;

  /** Ids over this one are not served any more (ours, as told by the peer's or our GOAWAY). */
  goawaySent: number;
  goawayReceived: number;
  /** A drain has been announced and waits for the acknowledgement of its PING before it says which stream was the last. */
  drainPending: boolean;
  draining: boolean;
  pingsUnanswered: number;
  /** After a fatal error, or when the transport has gone. */
  dead: boolean;

  readonly resets: Meter;
  readonly streamErrors: Meter;
  readonly pings: Meter;
  readonly settings: Meter;
  readonly emptyFrames: Meter;
  readonly windowUpdates: Meter;
  readonly ignoredFrames: Meter;
}

export interface Http2Options {
  readonly role: "client" | "server";
  readonly handler: Http2Handler;
  readonly limits?: Partial<Http2Limits>;
  /** Names never to be indexed by anyone on the way (RFC 7541 section 7.1.3): secrets on the way to others than sidecars. */
  readonly neverIndexed?: ReadonlySet<string>;
  /** Milliseconds of any monotonic clock. */
  readonly now: () => number;
}

/** Places for the ids of streams that have ended; a power of two. */
const ENDED_PLACES = 1024;
const PREFACE_BYTES = 24;
const nothing = Buffer.alloc(0);

export function createState(options: Http2Options, limits: Http2Limits): Http2State {
  const server = options.role === "server";
  const { handler, now } = options;
  const time = now();
  return {
    server,
    handler,
    limits,
    now,
    output: createOutput(() => handler.onOutput()),
    encoder: createHpackEncoder({
      tableLimit: limits.headerTableSize,
      ...(options.neverIndexed === undefined ? {} : { neverIndexed: options.neverIndexed }),
    }),
    // Until it knows our settings the peer's table has the RFC's 4,096 bytes.
    decoder: createHpackDecoder({ requests: server, tableLimit: Math.max(4096, limits.headerTableSize), listLimit: limits.headerListSize }),
    peer: initialPeerSettings(),
    streams: createStreamTable(),
    nextStreamId: 1,
    lastPeerStreamId: 0,
    endedIds: new Uint32Array(ENDED_PLACES),
    endedKinds: new Uint8Array(ENDED_PLACES),
    resetIds: new Set(),
    sendWindow: DEFAULT_WINDOW,
    receiveWindow: limits.connectionWindow,
    credit: 0,
    receiveInitial: Math.max(DEFAULT_WINDOW, limits.streamWindow),
    ready: [],
    prefaceLeft: server ? PREFACE_BYTES : 0,
    settingsReceived: false,
    settingsAcknowledged: false,
    finished: 0,
    pending: nothing,
    pendingLength: 0,
    dataStream: undefined,
    dataLeft: 0,
    paddingLeft: 0,
    dataEnds: false,
    blockStreamId: 0,
    block: nothing,
    blockLength: 0,
    blockEnds: false,
    blockFrames: 0,
    goawaySent: LARGEST_STREAM_ID,
    goawayReceived: LARGEST_STREAM_ID,
    drainPending: false,
    draining: false,
    pingsUnanswered: 0,
    dead: false,
    resets: createMeter(limits.resets, time),
    streamErrors: createMeter(limits.streamErrors, time),
    pings: createMeter(limits.pings, time),
    settings: createMeter(limits.settings, time),
    emptyFrames: createMeter(limits.emptyFrames, time),
    windowUpdates: createMeter(limits.windowUpdates, time),
    ignoredFrames: createMeter(limits.ignoredFrames, time),
  };
}
