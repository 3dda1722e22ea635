/**
 * The body of an inbound call, or the client's side of a tunnel. What is hashed is kept until it is whole; what is signed in
 * chunks is passed on chunk by chunk, each after its signature held; what no signature covers is passed on as it comes.
 *
 * Hot path. Memory is bounded: a client is held back while more than a chunk waits for the application.
 */
import type { Field } from "../../common/http/field.ts";
import { createChunkReader } from "../../common/sigv4/chunk-reader.ts";
import { collect, collectedBytes, nothingCollected } from "../body.ts";
import type { Authentication } from "./authenticate.ts";
import type { Exchange } from "./exchange.ts";

/** Most bytes kept for an application that has not been given the head yet, or of a body that nothing is known of yet. */
const maxPending = 64 * 1024;

/** Keeps a part of a body that has to be whole; false when it is longer than `limit`. */
export function keep(exchange: Exchange, chunk: Buffer, limit: number): boolean {
  const more = collect(exchange.body, chunk, exchange.head.contentLength, limit);
  if (more) exchange.body = more;
  return more !== undefined;
}

/** Keeps a part of a body while nobody knows how it is signed. */
export function keepUnknown(exchange: Exchange, chunk: Buffer): void {
  // The client is held back at the limit; what one read brought is kept in any case.
  exchange.body = collect(exchange.body, chunk, -1, Number.MAX_SAFE_INTEGER) ?? exchange.body;
  if (exchange.body.length >= maxPending) exchange.waiting = true;
}

/** From here on the body is passed on as it comes, what has come of it first. Throws SigV4Error as `pass` does. */
export function startStreaming(exchange: Exchange, { stream }: Authentication): void {
  const come = collectedBytes(exchange.body);
  exchange.body = nothingCollected;
  exchange.streamed = true;
  if (stream) exchange.reader = createChunkReader({ ...stream, onPayload: (payload) => deliver(exchange, payload) });
  if (come.length > 0) pass(exchange, come);
  if (exchange.bodyEnded) finish(exchange, exchange.trailers);
}

/** A part of a streamed body. Throws SigV4Error for a chunk whose signature does not hold: the application gets nothing of it. */
export function pass(exchange: Exchange, chunk: Buffer): void {
  if (exchange.reader) exchange.reader.push(chunk);
  else deliver(exchange, chunk);
}

/** The end of a streamed body. Throws SigV4Error for one that is cut short. */
export function finish(exchange: Exchange, trailers: readonly Field[]): void {
  exchange.trailers = exchange.reader ? exchange.reader.finish() : trailers;
  exchange.upstream?.end(exchange, exchange.trailers);
}

function deliver(exchange: Exchange, chunk: Buffer): void {
  if (exchange.upstream) {
    if (!exchange.upstream.send(exchange, chunk)) exchange.waiting = true;
    return;
  }
  keepUnknown(exchange, chunk);
}
