/**
 * The contract between a connection that brings requests, whatever it speaks, and the side of the sidecar that carries them:
 * outbound from the application, inbound from the mesh. Hot path.
 */
import type { Field } from "../../common/http/field.ts";
import type { RequestHead } from "../../common/http/message.ts";
import type { Reason } from "../reason.ts";

/** What a front needs of the record that its side keeps of a call; the side makes it, once a call. */
export interface FrontCall {
  readonly head: RequestHead;
  /** The front's own: the stream, over HTTP/2. */
  readonly slot: unknown;
  /**
   * Bytes both ways once it is answered with 2xx: an upgrade, or a CONNECT. Taken back where an upgrade is not taken up, which
   * any server may do (RFC 9110 7.8): the answer is then one to the request as it would be without the offer.
   */
  tunnel: boolean;
  /** Protocol of an upgrade, as `websocket`; otherwise empty. */
  readonly protocol: string;
  /** All of the request has come. */
  bodyEnded: boolean;
  /** The body is held back: `resume` follows. */
  waiting: boolean;
  /** The read under way brought something of it. */
  touched: boolean;
}

/** Sends answers. A method called after the client has gone does nothing. */
export interface Front<C extends FrontCall> {
  /** 1xx other than 100 and 101, before the head. */
  sendInformational(call: C, status: number, fields: readonly Field[]): void;
  /** `contentLength` -1 where only the end will tell; `end` when no body follows. 2xx to a tunnel opens it. */
  sendHead(call: C, status: number, fields: readonly Field[], contentLength: number, end: boolean): void;
  /** False: `CallSink.drained` follows when there is room again. The chunk is valid only during the call. */
  sendData(call: C, chunk: Buffer, end: boolean): boolean;
  /** Ends an answer whose last data was not marked as such. */
  end(call: C, trailers: readonly Field[]): void;
  /** The answer cannot be completed: the client must see that it is cut, and may be told why where its protocol has a place for it. */
  abort(call: C, reason: Reason): void;
  /** The body is not held back any more. */
  resume(call: C): void;
}

/** What fronts speak; decides how the other end of the mesh speaks to its application. */
export type Spoken = "http1" | "h2" | "tcp";

/** Takes calls in: `begin`, `head`, `body` and `bodyEnd`, and `readEnd` after each read that brought some of it. */
export interface CallSink<C extends FrontCall> {
  /** Makes the record and does nothing yet. */
  begin(front: Front<C>, slot: unknown, head: RequestHead, spoken: Spoken, protocol: string): C;
  /** May be answered from here on. */
  head(call: C): void;
  /** The chunk is valid only during the call. */
  body(call: C, chunk: Buffer): void;
  bodyEnd(call: C, trailers: readonly Field[]): void;
  /** What one read brought is there. True when the rest is to be held back (`call.waiting`). */
  readEnd(call: C): boolean;
  /** The client has taken what `sendData` had no room for. */
  drained(call: C): void;
  /** The client has gone. */
  cancel(call: C): void;
  /** What came is no request; it has been answered, and the connection ends. */
  malformed(error: Error): void;
}

/** One connection, as the owner of its socket sees it. */
export interface FrontConnection<C extends FrontCall = FrontCall> {
  /** The chunk is valid only during the call. */
  receive(chunk: Buffer): void;
  /** The client sends no more. */
  finish(): void;
  /** The socket has written what it had kept. */
  writable(): void;
  /** The socket is closed. */
  closed(): void;
  /** Those under way. */
  calls(visit: (call: C) => void): void;
  /** No new calls; the connection ends with those under way, after the deadline in any case. */
  drain(deadlineMs: number): void;
}
