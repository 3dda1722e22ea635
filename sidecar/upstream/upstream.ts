/**
 * The contract between a call and the program that answers it: the application behind this sidecar, or a host outside the mesh.
 * Hot path.
 */
import { kindsIn, type Field } from "../../common/http/field.ts";
import type { ResponseHead } from "../../common/http/message.ts";
import type { Address } from "../../common/runtime/environment.ts";
import { collectedBytes, nothingCollected, type Collected } from "../body.ts";
import type { Front, FrontCall } from "../front/front.ts";
import { endToEndFields } from "../http1/end-to-end.ts";
import type { Reason } from "../reason.ts";

/** The far side of a call that is under way. */
export interface Upstream<C> {
  /** The client has taken what it had no room for. */
  resume(call: C): void;
  cancel(call: C): void;
  /** A part of the body, or of what a tunnel carries; the chunk is valid only during the call. False: `bodyTaken` follows. */
  send(call: C, chunk: Buffer): boolean;
  /** The client's side is over. */
  end(call: C, trailers: readonly Field[]): void;
}

/** What an upstream needs of the record that its side keeps of a call. */
export interface UpstreamCall<C extends FrontCall> extends FrontCall {
  readonly front: Front<C>;
  /** The client has gone, or the answer is complete: nothing may be sent any more. */
  done: boolean;
  /** Something of an answer has been sent. */
  answered: boolean;
  /** The upstream has ended its side: of a tunnel, the client's may go on. */
  answerEnded: boolean;
  /** Of the answer. */
  status: number;
  /** What may be sent of the body and nobody has taken yet. */
  body: Collected;
  trailers: readonly Field[];
  upstream: Upstream<C> | undefined;
  /** The upstream's own: the stream, over HTTP/2. */
  upstreamSlot: unknown;
}

/** What an upstream is given, written by each way to it in its own manner. */
export interface ForwardedHead {
  readonly method: string;
  readonly target: string;
  readonly authority: string;
  readonly fields: readonly Field[];
  /** Put on by this sidecar. */
  readonly added: readonly Field[];
  /** Bytes of the body, or `CHUNKED_BODY`, or `NO_FRAMING` where there is none. */
  readonly framing: number;
}

/** One way to one upstream: a protocol and an address. */
export interface Link<C> {
  forward(call: C, head: ForwardedHead): void;
  /** Calls that are not answered yet. */
  inFlight(): number;
  close(): void;
}

export interface LinkOptions<C> {
  readonly address: Address;
  /** How long an idle connection is kept, ms; 0 or nothing for as long as the upstream keeps it. */
  readonly idleMs?: number;
  /** Ms of a clock that never goes back; by default the process's own. */
  readonly monotonic?: () => number;
  /** Fields of these kinds are taken off the answers. */
  readonly withheld: number;
  readonly onResponse: (call: C, response: Pick<ResponseHead, "status">) => void;
  /** The answer has been sent whole. */
  readonly onComplete: (call: C) => void;
  /** The upstream did not answer, or not properly. Nothing has been sent to the client when `call.answered` is false. */
  readonly onFailure: (call: C, reason: Reason, detail: string) => void;
  /**
   * There was no connecting to the upstream, and the call is as it was when it was forwarded: whether it goes elsewhere. Otherwise
   * it fails.
   */
  readonly elsewhere?: (call: C) => boolean;
}

/** A call for which there was no connection. */
export function unreached<C extends UpstreamCall<C>>(call: C, detail: string, { elsewhere, onFailure }: LinkOptions<C>): void {
  if (!call.done && !elsewhere?.(call)) onFailure(call, "upstream-refused", detail);
}

/** Trailers of an answer, without what the links withhold of its head. */
export function passedOn(trailers: readonly Field[], { withheld }: { readonly withheld: number }): readonly Field[] {
  return trailers.length === 0 ? trailers : endToEndFields(trailers, kindsIn(trailers), withheld);
}

/** What waited for the upstream, and waits no more. */
export function takeBody(call: { body: Collected }): Buffer {
  const bytes = collectedBytes(call.body);
  call.body = nothingCollected;
  return bytes;
}

/** The upstream has room again. */
export function bodyTaken<C extends UpstreamCall<C>>(call: C): void {
  if (!call.waiting) return;
  call.waiting = false;
  if (!call.done) call.front.resume(call);
}
