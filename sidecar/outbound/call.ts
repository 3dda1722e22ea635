/**
 * One call on its way out. Hot path: one object a call, filled in step by step: resolve → sign → transmit, and back.
 *
 * A call is a request, or a tunnel: an upgrade of HTTP/1.1, an extended CONNECT (RFC 8441), or a CONNECT for plain TCP.
 */
import { performance } from "node:perf_hooks";
import type { Field } from "../../common/http/field.ts";
import type { RequestHead } from "../../common/http/message.ts";
import type { ChunkSigner } from "../../common/sigv4/chunk-signer.ts";
import { nothingCollected } from "../body.ts";
import type { Front, Spoken } from "../front/front.ts";
import type { UpstreamCall } from "../upstream/upstream.ts";
import type { Http2Stream } from "../http2/stream.ts";
import type { Channel } from "./channel.ts";
import type { Destination, Endpoint } from "./destinations.ts";
import type { Departure } from "./external.ts";
import { explicitOrigin, type Origin } from "./origin.ts";
import type { ManagedCall } from "./traffic/manager.ts";
import { noneTried } from "./traffic/pick.ts";

export interface OutboundCall extends UpstreamCall<OutboundCall>, ManagedCall<Endpoint> {
  /** How the application's connection came here. */
  origin: Origin;
  readonly spoken: Spoken;
  readonly startedAt: number;
  /** Some of it has left as it came, and is not here any more. */
  bodyLeft: boolean;
  /** Our END_STREAM has been handed over. */
  bodySent: boolean;
  /** The transmitter has it. */
  transmitted: boolean;
  /** Normalised. */
  path: string;
  query: string;
  destination: Destination | undefined;
  /** The one instance that the application means. */
  pinned: Endpoint | undefined;
  /** Tells the receiver which port of which service is meant, where the authority does not. */
  destinationField: Field | undefined;
  /** Of a call that leaves the mesh, once it is allowed to. */
  departure: Departure | undefined;
  /** Where it is, or was last. */
  endpoint: Endpoint | undefined;
  channel: Channel | undefined;
  stream: Http2Stream | undefined;
  /** Signs the parts of a body that is sent as it comes. */
  chunks: ChunkSigner | undefined;
  /** Role session in whose name it was signed, and its sequence. */
  sessionArn: string;
  sequence: string;
  /** `performance.now()` when the head of the answer came. */
  respondedAt: number;
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
    bodyLeft: false,
    bodySent: false,
    transmitted: false,
    done: false,
    answered: false,
    answerEnded: false,
    path: "",
    query: "",
    origin: explicitOrigin,
    destination: undefined,
    pinned: undefined,
    destinationField: undefined,
    departure: undefined,
    upstream: undefined,
    upstreamSlot: undefined,
    endpoint: undefined,
    channel: undefined,
    stream: undefined,
    chunks: undefined,
    waiting: false,
    touched: false,
    sessionArn: "",
    sequence: "",
    respondedAt: 0,
    status: 0,
    unacknowledged: 0,
    admitted: false,
    held: false,
    candidate: undefined,
    tried: noneTried,
    retries: 0,
    refusals: 0,
    activeAt: 0,
    timedBefore: undefined,
    timedAfter: undefined,
    deadline: 0,
  };
}
