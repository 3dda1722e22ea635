/**
 * One request on its way through the receiving sidecar. Hot path: one object a request, the same shape for every front
 * (HTTP/2 and HTTP/1.1), filled in step by step; no closures, no promises unless something has to be waited for.
 */
import { performance } from "node:perf_hooks";
import type { Field } from "../../common/http/field.ts";
import type { RequestHead } from "../../common/http/message.ts";
import type { Authentication } from "./authenticate.ts";
import type { Authorization } from "./authorize.ts";
import type { Caller } from "./caller.ts";
import type { Peer } from "./peer.ts";
import type { ServedService } from "./served.ts";

/** The side of an exchange that answers the client. A method called after the client has gone does nothing. */
export interface Front {
  /** `contentLength` -1 where only the end will tell; `end` when no body follows. */
  sendHead(exchange: Exchange, status: number, fields: readonly Field[], contentLength: number, end: boolean): void;
  /** False: wait for `exchange.upstream.resume()`. The chunk is valid only during the call. */
  sendData(exchange: Exchange, chunk: Buffer, end: boolean): boolean;
  /** Ends an answer whose last data was not marked as such. */
  sendTrailers(exchange: Exchange, fields: readonly Field[]): void;
  /** The answer cannot be completed: the client must see that it is cut. */
  abort(exchange: Exchange): void;
}

/** The application's side, for the front to signal back pressure and departure. */
export interface Upstream {
  resume(): void;
  cancel(): void;
}

export interface Exchange {
  readonly front: Front;
  /** The front's own: the HTTP/2 stream, or the HTTP/1.1 connection. */
  readonly slot: unknown;
  readonly peer: Peer;
  readonly head: RequestHead;
  /** `performance.now()` when the head had arrived. */
  readonly startedAt: number;
  /** The client has gone, or the answer is complete: nothing may be sent any more. */
  done: boolean;
  /** Something of an answer has been sent. */
  answered: boolean;
  /** Cannot be authenticated before the body is whole. */
  needsBody: boolean;
  /** Whole, or undefined until it is. */
  body: Buffer | undefined;
  service: ServedService | undefined;
  /** Normalised. */
  host: string;
  path: string;
  query: string;
  authentication: Authentication | undefined;
  caller: Caller | undefined;
  authorization: Authorization | undefined;
  upstream: Upstream | undefined;
  /** `performance.now()` when the application was given the request, and when its answer began. */
  forwardedAt: number;
  respondedAt: number;
  status: number;
}

export function createExchange(front: Front, slot: unknown, peer: Peer, head: RequestHead): Exchange {
  return {
    front,
    slot,
    peer,
    head,
    startedAt: performance.now(),
    done: false,
    answered: false,
    needsBody: false,
    body: undefined,
    service: undefined,
    host: "",
    path: "",
    query: "",
    authentication: undefined,
    caller: undefined,
    authorization: undefined,
    upstream: undefined,
    forwardedAt: 0,
    respondedAt: 0,
    status: 0,
  };
}
