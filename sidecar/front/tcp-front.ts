/**
 * Applications that speak neither HTTP/1.1 nor HTTP/2: the connection is a tunnel to where it was going, opened by CONNECT,
 * signed and authorised once. Bytes are sent before the answer, so that no protocol waits for it.
 */
import type { Socket } from "node:net";
import type { Field } from "../../common/http/field.ts";
import type { RequestHead } from "../../common/http/message.ts";
import { writeCopy } from "../blocks.ts";
import { cut } from "../cut.ts";
import type { CallSink, Front, FrontCall, FrontConnection } from "./front.ts";

const noFields: readonly Field[] = [];

/** `authority`: host and port that the connection is for. */
export function serveTcp<C extends FrontCall>(socket: Socket, authority: string, sink: CallSink<C>): FrontConnection<C> {
  const head: RequestHead = { method: "CONNECT", target: authority, authority, scheme: "", fields: noFields, kinds: 0, contentLength: -1 };
  const front: Front<C> = {
    sendInformational: ignore,
    sendHead(_call, status, _fields, _contentLength, end) {
      // There is no way to say why: a refused connection is one that closes.
      if (status >= 300) cut(socket);
      else if (end) socket.end();
    },
    sendData(_call, chunk, end) {
      const room = chunk.length === 0 || writeCopy(socket, "", chunk, "");
      if (end) socket.end();
      return room;
    },
    end: () => void socket.end(),
    abort: () => cut(socket),
    resume: () => void socket.resume(),
  };
  const call = sink.begin(front, undefined, head, "tcp", "");
  sink.head(call);
  sink.readEnd(call);

  return {
    receive(chunk) {
      sink.body(call, chunk);
      if (sink.readEnd(call)) socket.pause();
    },
    finish() {
      sink.bodyEnd(call, noFields);
      sink.readEnd(call);
    },
    writable: () => sink.drained(call),
    closed: () => sink.cancel(call),
    calls: (visit) => visit(call),
    // It lives until one of its ends is over.
    drain: (deadlineMs) => void setTimeout(() => socket.destroy(), deadlineMs).unref(),
  };
}

function ignore(): void {
  // TCP has no such thing.
}
