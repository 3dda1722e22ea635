/** One request and its response on a connection. Hot path: every stream has the same shape, and nothing is made for it but this. */
import type { Field } from "../../common/http/field.ts";

/** Bits of `Http2Stream.state`. */
export const StreamState = {
  /** Our END_STREAM is in the output. */
  LOCAL_ENDED: 1,
  /** The peer's END_STREAM has come. */
  REMOTE_ENDED: 2,
  /** Reset by either side, or lost with its connection. */
  RESET: 4,
  /** Our final head is in the output. */
  HEAD_SENT: 8,
  /** The peer's final head has come. */
  HEAD_RECEIVED: 16,
  /** Our END_STREAM waits behind the queue. */
  END_QUEUED: 32,
  /** Stands in the connection's list of streams that could send. */
  READY: 64,
  /** The owner waits for `onWritable`. */
  WAITING: 128,
  /** The request is HEAD: its response has no body whatever it declares. */
  HEAD_REQUEST: 256,
  /** The request is CONNECT, with `:protocol` or without: a tunnel once accepted. */
  CONNECT: 512,
  /** CONNECT was answered 2xx: nothing but DATA from here on (RFC 9113 section 8.5). */
  TUNNEL: 1024,
  /** The owner wants nothing more of what the peer sends: RST_STREAM with NO_ERROR follows our END_STREAM. */
  STOPPED: 2048,
  /** Something is queued of which nothing has left since `resetStalled` last looked. */
  STALLED: 4096,
} as const;

export interface Http2Stream {
  readonly id: number;
  /** The owner's; the codec never looks. */
  data: unknown;
  /** `:protocol` of an extended CONNECT (RFC 8441), otherwise empty. */
  protocol: string;

  // What follows is the codec's.
  state: number;
  /** Bytes the peer still takes; negative after its SETTINGS lowered the window. */
  sendWindow: number;
  /** Bytes the peer may still send. */
  receiveWindow: number;
  /** Bytes received and not yet consumed. */
  held: number;
  /** Bytes consumed and not yet given back to the peer. */
  credit: number;
  /** Bytes of body that the declared content-length still asks for; -1 when none was declared. */
  toReceive: number;
  toSend: number;
  /** 1xx responses so far. */
  informational: number;
  /** Body that waits for the windows; `queueOffset` bytes of its first buffer are gone. */
  queue: Buffer[];
  queueOffset: number;
  trailers: readonly Field[] | undefined;
}

/** Shared by all streams until they queue something. */
export const emptyQueue: Buffer[] = [];

export function createStream(id: number, state: number, sendWindow: number, receiveWindow: number): Http2Stream {
  return {
    id,
    data: undefined,
    protocol: "",
    state,
    sendWindow,
    receiveWindow,
    held: 0,
    credit: 0,
    toReceive: -1,
    toSend: -1,
    informational: 0,
    queue: emptyQueue,
    queueOffset: 0,
    trailers: undefined,
  };
}

/** Our end of it waits behind what is queued. */
export function isEndQueued(stream: Http2Stream): boolean {
  return (stream.state & (StreamState.END_QUEUED | StreamState.LOCAL_ENDED)) === StreamState.END_QUEUED;
}

/** The final head of our answer is on its way, or nothing can be sent any more. */
export function hasAnswer(stream: Http2Stream): boolean {
  return (stream.state & (StreamState.HEAD_SENT | StreamState.RESET)) !== 0;
}

/** A CONNECT that was answered with 2xx. */
export function isOpenTunnel(stream: Http2Stream): boolean {
  return (stream.state & StreamState.TUNNEL) !== 0;
}

/** Both sides ended it, or one reset it. */
export function isClosed(stream: Http2Stream): boolean {
  const ended = StreamState.LOCAL_ENDED | StreamState.REMOTE_ENDED;
  return (stream.state & StreamState.RESET) !== 0 || (stream.state & ended) === ended;
}
