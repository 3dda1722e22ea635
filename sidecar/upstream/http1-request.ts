/**
 * What is written to an HTTP/1.1 upstream: the head of a call, anew, and its body as it comes. Hot path: one write for a head
 * and what there is of the body.
 */
import type { Socket } from "node:net";
import { createField, type Field } from "../../common/http/field.ts";
import { writeCopy } from "../blocks.ts";
import { collect } from "../body.ts";
import type { ResponseParser } from "../http1/response-parser.ts";
import { acceptOf, webSocketKey } from "../http1/upgrade.ts";
import { CHUNKED_BODY, NO_FRAMING, writeChunkHead, writeLastChunk, writeRequestHead } from "../http1/write-head.ts";
import type { Tunnel } from "./tunnel.ts";
import { bodyTaken, takeBody, type ForwardedHead, type Upstream, type UpstreamCall } from "./upstream.ts";
import { outliveWriteErrors } from "./write-errors.ts";

const crlf = "\r\n";
const noBytes = Buffer.alloc(0);

export interface Request<C> {
  readonly call: C;
  readonly head: ForwardedHead;
  /** Sent again on a fresh connection, should an idle one turn out to be gone: possible while all of it is at hand. */
  readonly whole: boolean;
}

export interface Connection<C> extends Upstream<C> {
  readonly socket: Socket;
  readonly parser: ResponseParser;
  call: C | undefined;
  request: Request<C> | undefined;
  /** The body is being sent in chunks. */
  chunked: boolean;
  /** All of the request has been written. */
  sent: boolean;
  /** Its writes may fail, and the answer is read all the same. */
  outlives: boolean;
  /** Of an upgrade: what proves that the upstream agreed. */
  accept: string;
  /** What the connection has become. */
  tunnel: Tunnel<C> | undefined;
  /** Whether it has completed an call before: only then may the upstream have closed it while it was idle. */
  reused: boolean;
  received: boolean;
  /** How long it may be idle and be used again, ms, and since when it is. */
  goodFor: number;
  idleSince: number;
  paused: boolean;
  closing: boolean;
  /** Bytes of the answer's body still to come; -1 where only its end will tell. */
  remaining: number;
  /** Answers tend to repeat their fields: the last array seen, and what of it travels on. */
  seenFields: readonly Field[];
  endToEnd: readonly Field[];
}

/** Gives the connection to the call, which has it for itself until its answer is over. */
export function sendRequest<C extends UpstreamCall<C>>(connection: Connection<C>, request: Request<C>): void {
  const { call, head } = request;
  connection.call = call;
  connection.request = request;
  connection.received = false;
  const upgrading = call.protocol !== "";
  connection.sent = call.bodyEnded;
  // Many servers let go of a connection that offered something, whatever they answer.
  if (upgrading) connection.closing = true;
  connection.chunked = head.framing === CHUNKED_BODY;
  call.upstream = connection;
  if (!request.whole && !connection.outlives) {
    connection.outlives = true;
    outliveWriteErrors(connection.socket);
  }
  connection.parser.expect(upgrading ? "GET" : head.method, upgrading);
  // What is whole stays at hand, to be sent again; of what is not, the first part goes with the head.
  const body = request.whole ? call.body : undefined;
  const first = body ? body.buffer.subarray(0, body.length) : upgrading ? noBytes : takeBody(call);
  write(connection, upgrading ? upgradeHead(connection, head, call.protocol) : textOf(head), first);
  if (connection.chunked && call.bodyEnded) connection.socket.write(writeLastChunk(call.trailers), "latin1");
  bodyTaken(call);
}

/** A part of the body. False: there is no room for more. */
export function sendBody<C extends UpstreamCall<C>>(connection: Connection<C>, call: C, chunk: Buffer): boolean {
  if (call.protocol !== "") {
    // Before the upstream has agreed to switch, it would read them as its next request.
    call.body = collect(call.body, chunk, -1, Number.MAX_SAFE_INTEGER) ?? call.body;
    return false;
  }
  write(connection, "", chunk);
  return !connection.socket.writableNeedDrain;
}

export function endBody<C>(connection: Connection<C>, trailers: readonly Field[]): void {
  connection.sent = true;
  if (connection.chunked) connection.socket.write(writeLastChunk(trailers), "latin1");
}

function write<C>({ socket, chunked }: Connection<C>, head: string, body: Buffer): void {
  if (body.length === 0) {
    if (head !== "") socket.write(head, "latin1");
    return;
  }
  writeCopy(socket, chunked ? head + writeChunkHead(body.length) : head, body, chunked ? crlf : "");
}

function textOf({ method, target, authority, fields, framing, added }: ForwardedHead): string {
  return writeRequestHead(method, target, authority, fields, framing, added);
}

/** An upgrade as HTTP/1.1 offers it; WebSocket's key is ours, because it concerns this leg only (RFC 8441 5). */
function upgradeHead<C>(connection: Connection<C>, head: ForwardedHead, protocol: string): string {
  const added = [...head.added];
  connection.accept = "";
  if (protocol === "websocket") {
    const key = webSocketKey();
    connection.accept = acceptOf(key);
    added.push(createField("sec-websocket-key", key));
  }
  return writeRequestHead("GET", head.target, head.authority, head.fields, NO_FRAMING, added, 0, protocol);
}
