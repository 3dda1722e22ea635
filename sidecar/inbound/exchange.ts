/**
 * One request on its way through the receiving sidecar. Hot path: one object a request, the same shape whatever the client
 * speaks, filled in step by step; no closures, no promises unless something has to be waited for.
 */
import { performance } from "node:perf_hooks";
import type { Field } from "../../common/http/field.ts";
import type { RequestHead } from "../../common/http/message.ts";
import type { ChunkReader } from "../../common/sigv4/chunk-reader.ts";
import { nothingCollected, type Collected } from "../body.ts";
import type { Front, FrontCall } from "../front/front.ts";
import type { Authentication } from "./authenticate.ts";
import type { Authorization } from "./authorize.ts";
import type { Caller } from "./caller.ts";
import type { Peer } from "./peer.ts";
import type { ServedService } from "./served.ts";

/** The application's side of an exchange. */
export interface Upstream {
  /** The client has taken what it had no room for. */
  resume(exchange: Exchange): void;
  cancel(exchange: Exchange): void;
  /** A part of the body, or of what a tunnel carries; the chunk is valid only during the call. False: `bodyTaken` follows. */
  send(exchange: Exchange, chunk: Buffer): boolean;
  /** The client's side is over. */
  end(exchange: Exchange, trailers: readonly Field[]): void;
}

export interface Exchange extends FrontCall {
  readonly front: Front<Exchange>;
  readonly peer: Peer;
  /** `performance.now()` when the head had arrived. */
  readonly startedAt: number;
  /** The client has gone, or the answer is complete: nothing may be sent any more. */
  done: boolean;
  /** Something of an answer has been sent. */
  answered: boolean;
  /** The application has ended its side: of a tunnel, the client's may go on. */
  answerEnded: boolean;
  /** Cannot be authenticated before the body is whole. */
  needsBody: boolean;
  /** The body is passed on as it comes, once it is verified. */
  streamed: boolean;
  /** Verifies the parts of a streamed body; undefined where no signature covers it. */
  reader: ChunkReader | undefined;
  /** What has come of the body: as it came, or of a streamed one what was verified and nobody has taken yet. */
  body: Collected;
  trailers: readonly Field[];
  service: ServedService | undefined;
  /** Normalised. */
  host: string;
  path: string;
  query: string;
  authentication: Authentication | undefined;
  caller: Caller | undefined;
  authorization: Authorization | undefined;
  upstream: Upstream | undefined;
  /** The upstream's own: the stream of an application that speaks HTTP/2. */
  upstreamSlot: unknown;
  /** `performance.now()` when the application was given the request, and when its answer began. */
  forwardedAt: number;
  respondedAt: number;
  status: number;
}

const noTrailers: readonly Field[] = [];

export function createExchange(front: Front<Exchange>, slot: unknown, peer: Peer, head: RequestHead, protocol: string): Exchange {
  return {
    front,
    slot,
    peer,
    head,
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
    host: "",
    path: "",
    query: "",
    authentication: undefined,
    caller: undefined,
    authorization: undefined,
    upstream: undefined,
    upstreamSlot: undefined,
    forwardedAt: 0,
    respondedAt: 0,
    status: 0,
  };
}

/** The upstream has room again. */
export function bodyTaken(exchange: Exchange): void {
  if (!exchange.waiting) return;
  exchange.waiting = false;
  if (!exchange.done) exchange.front.resume(exchange);
}
