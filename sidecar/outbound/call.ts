/**
 * One call on its way out. Hot path: one object a call, filled in step by step: resolve → sign → transmit, and back.
 *
 * A call is a request, or a tunnel: an upgrade of HTTP/1.1, an extended CONNECT (RFC 8441), or a CONNECT for plain TCP.
 */
import { performance } from "node:perf_hooks";
import type { Field } from "../../common/http/field.ts";
import type { RequestHead } from "../../common/http/message.ts";
import type { ChunkSigner } from "../../common/sigv4/chunk-signer.ts";
import { nothingCollected, type Collected } from "../body.ts";
import type { Front, FrontCall, Spoken } from "../front/front.ts";
import type { Http2Stream } from "../http2/stream.ts";
import type { Channel } from "./channel.ts";
import type { Destination, Endpoint } from "./destinations.ts";

export interface OutboundCall extends FrontCall {
  /** The application's side. */
  readonly front: Front<OutboundCall>;
  readonly spoken: Spoken;
  readonly startedAt: number;
  /** What has come of the body and has not been sent; all of it when `bodyEnded` and nothing has been sent. */
  body: Collected;
  /** Behind a body that is sent as it comes; known once it has ended. */
  trailers: readonly Field[];
  /** Our END_STREAM has been handed over. */
  bodySent: boolean;
  /** The transmitter has it. */
  transmitted: boolean;
  done: boolean;
  answered: boolean;
  /** The peer has ended its side: of a tunnel, the application's may go on. */
  answerEnded: boolean;
  /** Normalised. */
  path: string;
  query: string;
  destination: Destination | undefined;
  endpoint: Endpoint | undefined;
  channel: Channel | undefined;
  stream: Http2Stream | undefined;
  /** Signs the parts of a body that is sent as it comes. */
  chunks: ChunkSigner | undefined;
  /** Endpoints tried. */
  attempts: number;
  /** Role session in whose name it was signed, and its sequence. */
  sessionArn: string;
  sequence: string;
  /** `performance.now()` when the head of the answer came. */
  respondedAt: number;
  status: number;
  /** Bytes of the answer that the application has not taken yet: their credit is returned when it has. */
  unacknowledged: number;
}

const noTrailers: readonly Field[] = [];

export function createOutboundCall(
  front: Front<OutboundCall>,
  slot: unknown,
  head: RequestHead,
  spoken: Spoken,
  protocol: string,
): OutboundCall {
  return {
    front,
    slot,
    head,
    spoken,
    protocol,
    tunnel: protocol !== "" || head.method === "CONNECT",
    startedAt: performance.now(),
    body: nothingCollected,
    bodyEnded: false,
    trailers: noTrailers,
    bodySent: false,
    transmitted: false,
    done: false,
    answered: false,
    answerEnded: false,
    path: "",
    query: "",
    destination: undefined,
    endpoint: undefined,
    channel: undefined,
    stream: undefined,
    chunks: undefined,
    waiting: false,
    touched: false,
    attempts: 0,
    sessionArn: "",
    sequence: "",
    respondedAt: 0,
    status: 0,
    unacknowledged: 0,
  };
}

/** Takes the call off its endpoint. */
export function release(call: OutboundCall): void {
  if (call.endpoint && call.stream) call.endpoint.inFlight--;
  call.stream = undefined;
}
