/**
 * Applications that speak neither HTTP/1.1 nor HTTP/2: the connection is a tunnel to where it was going, opened by CONNECT,
 * signed and authorised once. Bytes are sent before the answer, so that no protocol waits for it.
 *
 * A tunnel may be a guess: of a client that says nothing for a while, the server is expected to speak first. Until a byte has passed,
 * the guess may be given up, and a refusal is kept back for as long, in case the client only was slow.
 */
import type { Socket } from "node:net";
import type { Field } from "../../common/http/field.ts";
import type { RequestHead } from "../../common/http/message.ts";
import { writeCopy } from "../blocks.ts";
import { cut } from "../cut.ts";
import type { CallSink, Front, FrontCall, FrontConnection } from "./front.ts";

const noFields: readonly Field[] = [];
/** How long a refused client may go on saying nothing. */
const guessedMs = 2000;

export interface Tunnel<C extends FrontCall> extends FrontConnection<C> {
  /** Of a guess: nothing has passed in either direction. */
  untouched(): boolean;
  /** Takes the guess back: the socket is somebody else's from now on. */
  giveUp(): void;
}

/** `authority`: host and port that the connection is for. `guessed`: nothing but silence says that it is no HTTP. */
export function serveTcp<C extends FrontCall>(socket: Socket, authority: string, sink: CallSink<C>, guessed = false): Tunnel<C> {
  /** No byte has passed. */
  let untouched = guessed;
  let refusal: NodeJS.Timeout | undefined;
  const head: RequestHead = { method: "CONNECT", target: authority, authority, scheme: "", fields: noFields, kinds: 0, contentLength: -1 };
  const front: Front<C> = {
    sendInformational: ignore,
    sendHead(_call, status, _fields, _contentLength, end) {
      if (status >= 300) refuse();
      else if (end) socket.end();
    },
    sendData(_call, chunk, end) {
      untouched = false;
      const room = chunk.length === 0 || writeCopy(socket, "", chunk, "");
      if (end) socket.end();
      return room;
    },
    end: () => void socket.end(),
    abort: refuse,
    resume: () => void socket.resume(),
  };

  /** There is no way to say why: a refused connection is one that closes. */
  function refuse(): void {
    if (untouched) refusal ??= setTimeout(() => cut(socket), guessedMs).unref();
    else cut(socket);
  }

  const call = sink.begin(front, undefined, head, "tcp", "");
  sink.head(call);
  sink.readEnd(call);

  return {
    untouched: () => untouched,
    giveUp() {
      clearTimeout(refusal);
      sink.cancel(call);
    },
    receive(chunk) {
      untouched = false;
      if (refusal) cut(socket);
      sink.body(call, chunk);
      if (sink.readEnd(call)) socket.pause();
    },
    finish() {
      untouched = false;
      if (refusal) cut(socket);
      sink.bodyEnd(call, noFields);
      sink.readEnd(call);
    },
    writable: () => sink.drained(call),
    closed() {
      clearTimeout(refusal);
      sink.cancel(call);
    },
    calls: (visit) => visit(call),
    // It lives until one of its ends is over.
    drain: (deadlineMs) => void setTimeout(() => socket.destroy(), deadlineMs).unref(),
  };
}

function ignore(): void {
  // TCP has no such thing.
}
