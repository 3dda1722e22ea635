/**
 * The body of a call on its way out, or the application's side of a tunnel. A body that is whole before its head leaves is
 * hashed; any other leaves as it comes, in AWS's `aws-chunked` framing with a signature a chunk; a tunnel's bytes leave as
 * they are.
 *
 * Hot path. What comes in one read of the application's socket leaves as one chunk, so fronts say when a read is over.
 */
import { collect, collectedBytes, nothingCollected } from "../body.ts";
import type { OutboundCall } from "./call.ts";

/** Most bytes kept of a call that has no stream yet; the application is held back from then on. */
const maxPending = 64 * 1024;
/** From this size a part is signed where it lies; smaller ones are gathered first. */
const directBytes = 4096;
/** The receiver keeps a chunk until its signature is known. */
const maxChunk = 64 * 1024;
/** A chunk up to this size is copied together with its framing: one DATA frame instead of three. */
const joinedBytes = 4096;
const crlf = Buffer.from("\r\n");

/** Adds a part of the body. Afterwards, at the end of the read: `flush`. */
export function addToBody(call: OutboundCall, chunk: Buffer): void {
  if (call.done) return;
  if (call.upstream) {
    if (!call.upstream.send(call, chunk)) call.waiting = true;
    return;
  }
  if (call.stream && call.body.length === 0 && chunk.length >= directBytes) {
    write(call, chunk, false);
    return;
  }
  // The limit is kept by holding the application back; what one read had is taken in any case.
  call.body = collect(call.body, chunk, -1, Number.MAX_SAFE_INTEGER) ?? call.body;
  if (call.transmitted && !call.stream && call.body.length >= maxPending) call.waiting = true;
}

/** Hands what was gathered to the stream, if there is one. True when the call waits for room (`call.waiting`). */
export function flush(call: OutboundCall): boolean {
  if (!call.done && call.stream && !call.bodySent && (call.body.length > 0 || call.bodyEnded)) {
    const bytes = collectedBytes(call.body);
    call.body = nothingCollected;
    write(call, bytes, call.bodyEnded);
  }
  return call.waiting;
}

/** What came before the stream was there; whatever waited for it may go on. */
export function begin(call: OutboundCall): void {
  const waited = call.waiting;
  call.waiting = false;
  flush(call);
  if (waited && !call.waiting) call.front.resume(call);
}

/** The stream has room again. */
export function writable(call: OutboundCall): void {
  if (!call.waiting) return;
  call.waiting = false;
  flush(call);
  if (!call.waiting) call.front.resume(call);
}

function write(call: OutboundCall, chunk: Buffer, end: boolean): void {
  const { channel, stream } = call;
  if (!channel || !stream) return;
  call.bodyLeft = true;
  if (end) call.bodySent = true;
  if (!call.chunks) {
    if (!channel.http2.sendData(stream, chunk, end)) call.waiting = true;
    return;
  }
  for (let from = 0; from < chunk.length; from += maxChunk) {
    const last = from + maxChunk >= chunk.length;
    writeChunk(call, last && from === 0 ? chunk : chunk.subarray(from, from + maxChunk), end && last);
  }
  if (end && chunk.length === 0 && !channel.http2.sendData(stream, Buffer.from(call.chunks.end(call.trailers), "latin1"), true)) {
    call.waiting = true;
  }
}

function writeChunk(call: OutboundCall, chunk: Buffer, end: boolean): void {
  const { channel, stream, chunks } = call;
  if (!channel || !stream || !chunks) return;
  const head = chunks.head(chunk);
  const tail = end ? `\r\n${chunks.end(call.trailers)}` : "\r\n";
  let room: boolean;
  if (chunk.length <= joinedBytes) {
    const message = Buffer.allocUnsafe(head.length + chunk.length + tail.length);
    message.write(head, 0, "latin1");
    chunk.copy(message, head.length);
    message.write(tail, head.length + chunk.length, "latin1");
    room = channel.http2.sendData(stream, message, end);
  } else {
    channel.http2.sendData(stream, Buffer.from(head, "latin1"), false);
    channel.http2.sendData(stream, chunk, false);
    room = channel.http2.sendData(stream, end ? Buffer.from(tail, "latin1") : crlf, end);
  }
  if (!room) call.waiting = true;
}

/** Gives the peer back the room of what `sendData` of the application had none for. */
export function credit(call: OutboundCall): void {
  const { channel, stream, unacknowledged } = call;
  call.unacknowledged = 0;
  if (channel && stream && unacknowledged > 0) channel.http2.consumed(stream, unacknowledged);
}
