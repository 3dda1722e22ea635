/** What a connection allows its peer. Every limit is on by default; breaking one ends in ENHANCE_YOUR_CALM unless RFC 9113 names a code. */

export interface Http2Limits {
  /** SETTINGS_HEADER_TABLE_SIZE, bytes; also the most our encoder uses. */
  readonly headerTableSize: number;
  /** SETTINGS_MAX_HEADER_LIST_SIZE, bytes by RFC 9113 6.5.2. Over it: 431 to a request, RST_STREAM to anything else. */
  readonly headerListSize: number;
  /** Most bytes of one field block as coded, over all its frames. */
  readonly headerBlockSize: number;
  /** Most CONTINUATION frames of one field block. */
  readonly continuations: number;
  /** SETTINGS_MAX_CONCURRENT_STREAMS. Further streams are refused; one counts until its end has left the output. */
  readonly concurrentStreams: number;
  /** SETTINGS_MAX_FRAME_SIZE, bytes, 16,384 at least. */
  readonly frameSize: number;
  /** SETTINGS_INITIAL_WINDOW_SIZE: bytes of a stream's body under way and not consumed yet. */
  readonly streamWindow: number;
  /** The same for the whole connection; 65,535 at least. */
  readonly connectionWindow: number;
  /** Most 1xx responses of one request. */
  readonly informational: number;
  /** The RFC 8441 setting, in the server role: extended CONNECT is understood. */
  readonly extendedConnect: boolean;

  /** Time over which the following are counted, ms. */
  readonly period: number;
  /** RST_STREAM frames beyond the streams that ended well. */
  readonly resets: number;
  /** Streams we had to reset or refuse because the peer broke a rule. */
  readonly streamErrors: number;
  /** PINGs, and answers to PINGs that nobody sent. */
  readonly pings: number;
  /** SETTINGS, and GOAWAYs. */
  readonly settings: number;
  /** DATA, HEADERS and CONTINUATION frames that carry nothing. */
  readonly emptyFrames: number;
  /** WINDOW_UPDATE frames beyond four for every DATA frame of ours. */
  readonly windowUpdates: number;
  /** PRIORITY frames, frames of unknown type, and heads and empty DATA on streams that we have reset or refused by GOAWAY. */
  readonly ignoredFrames: number;

  /** Bytes gathered for output from which bodies wait in their streams' queues. */
  readonly outputHighWater: number;
  /** Most bytes of answers to the peer's frames (acknowledgements, resets, window updates) gathered for output. */
  readonly controlOutput: number;
}

export const defaultLimits: Http2Limits = {
  headerTableSize: 65_536,
  headerListSize: 65_536,
  headerBlockSize: 131_072,
  continuations: 32,
  concurrentStreams: 256,
  frameSize: 16_384,
  streamWindow: 262_144,
  connectionWindow: 4_194_304,
  informational: 100,
  extendedConnect: true,
  period: 10_000,
  resets: 1_000,
  streamErrors: 500,
  pings: 500,
  settings: 100,
  emptyFrames: 1_000,
  windowUpdates: 5_000,
  ignoredFrames: 1_000,
  outputHighWater: 65_536,
  controlOutput: 262_144,
};

/** Counts events against a limit a period. It looks at the clock only when the limit is reached. */
export interface Meter {
  readonly limit: number;
  count: number;
  since: number;
}

export function createMeter(limit: number, now: number): Meter {
  return { limit, count: 0, since: now };
}

/** Counts one event; true when there were more than the limit within the period (ms). */
export function exceeds(meter: Meter, now: () => number, period: number): boolean {
  if (++meter.count <= meter.limit) return false;
  const time = now();
  if (time - meter.since < period) return true;
  meter.since = time;
  meter.count = 1;
  return false;
}

/** Takes events back that good ones make up for. */
export function forgive(meter: Meter, events: number): void {
  meter.count = meter.count > events ? meter.count - events : 0;
}
