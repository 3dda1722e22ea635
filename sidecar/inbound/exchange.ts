/**
 * One request on its way through the receiving sidecar. Hot path: one object a request, the same shape whatever the client
 * speaks, filled in step by step; no closures, no promises unless something has to be waited for.
 */
import { performance } from "node:perf_hooks";
import type { Field } from "../../common/http/field.ts";
import type { RequestHead } from "../../common/http/message.ts";
import type { ChunkReader } from "../../common/sigv4/chunk-reader.ts";
import { nothingCollected } from "../body.ts";
import type { Front, Spoken } from "../front/front.ts";
import type { UpstreamCall } from "../upstream/upstream.ts";
import type { Authentication } from "./authenticate.ts";
import type { Authorization } from "./authorize.ts";
import type { ConcurrencySlot } from "./concurrency.ts";
import type { Caller } from "./caller.ts";
import type { Peer } from "./peer.ts";
import type { ServedPort, ServedService } from "./served.ts";

export interface Exchange extends UpstreamCall<Exchange> {
  readonly peer: Peer;
  /** By the client. */
  readonly spoken: Spoken;
  /** `performance.now()` when the head had arrived. */
  readonly startedAt: number;
  /** Cannot be authenticated before the body is whole. */
  needsBody: boolean;
  /** The body is passed on as it comes, once it is verified. */
  streamed: boolean;
  /** Verifies the parts of a streamed body; undefined where no signature covers it. */
  reader: ChunkReader | undefined;
  service: ServedService | undefined;
  port: ServedPort | undefined;
  /** Normalised. */
  host: string;
  path: string;
  query: string;
  authentication: Authentication | undefined;
  /** Where it counts as one of its service's calls. */
  admission: ConcurrencySlot | undefined;
  caller: Caller | undefined;
  authorization: Authorization | undefined;
  /** `performance.now()` when the application was given the request, and when its answer began. */
  forwardedAt: number;
  respondedAt: number;
}

const noTrailers: readonly Field[] = [];

export function createExchange(
  front: Front<Exchange>,
  slot: unknown,
  peer: Peer,
  head: RequestHead,
  spoken: Spoken,
  protocol: string,
): Exchange {
  return {
    front,
    slot,
    peer,
    head,
    spoken,
    tunnel: protocol !== "" || head.method === "CONNECT",
    protocol,
    startedAt: performance.now(),
    done: false,
    answered: false,
    answerEnded: false,
    needsBody: false,
    streamed: false,
    reader: undefined,
    body: nothingCollected,
    bodyEnded: false,
    waiting: false,
    touched: false,
    trailers: noTrailers,
    service: undefined,
    port: undefined,
    host: "",
    path: "",
    query: "",
    authentication: undefined,
    admission: undefined,
    caller: undefined,
    authorization: undefined,
    upstream: undefined,
    upstreamSlot: undefined,
    forwardedAt: 0,
    respondedAt: 0,
    status: 0,
  };
}
