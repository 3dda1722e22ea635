/**
 * One call on its way out. Hot path: one object a call, filled in step by step: resolve → sign → transmit, and back.
 */
import { performance } from "node:perf_hooks";
import type { Field } from "../../common/http/field.ts";
import type { RequestHead } from "../../common/http/message.ts";
import type { Http2Stream } from "../http2/stream.ts";
import type { Channel } from "./channel.ts";
import type { Destination, Endpoint } from "./destinations.ts";

/** The application's side of a call. A method called after the application has gone does nothing. */
export interface Application {
  /** `contentLength` -1 where only the end will tell; `end` when no body follows. */
  sendHead(status: number, fields: readonly Field[], contentLength: number, end: boolean): void;
  /** False: wait for `onDrained`. The chunk is valid only during the call. */
  sendData(chunk: Buffer, end: boolean): boolean;
  end(trailers: readonly Field[]): void;
  /** The answer cannot be completed: the application must see that it is cut. */
  abort(): void;
}

export interface OutboundCall {
  readonly application: Application;
  readonly head: RequestHead;
  readonly startedAt: number;
  body: Buffer;
  done: boolean;
  answered: boolean;
  /** Normalised. */
  path: string;
  query: string;
  destination: Destination | undefined;
  endpoint: Endpoint | undefined;
  channel: Channel | undefined;
  stream: Http2Stream | undefined;
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

export function createOutboundCall(application: Application, head: RequestHead, noBody: Buffer): OutboundCall {
  return {
    application,
    head,
    startedAt: performance.now(),
    body: noBody,
    done: false,
    answered: false,
    path: "",
    query: "",
    destination: undefined,
    endpoint: undefined,
    channel: undefined,
    stream: undefined,
    attempts: 0,
    sessionArn: "",
    sequence: "",
    respondedAt: 0,
    status: 0,
    unacknowledged: 0,
  };
}
