/**
 * Clients that speak HTTP/2: other sidecars above all, and applications with prior knowledge, as gRPC's are. Every stream is a
 * call of its own. Hot path.
 */
import type { Duplex } from "node:stream";
import { FieldKind, findField, type Field } from "../../common/http/field.ts";
import { noBody } from "../body.ts";
import { createHttp2Connection } from "../http2/connection.ts";
import { Http2ErrorCode } from "../http2/error.ts";
import { hasAnswer, isOpenTunnel, type Http2Stream } from "../http2/stream.ts";
import { attachHttp2 } from "../http2/transport.ts";
import { grpcFailure, isGrpc } from "../refusal.ts";
import { declinedStatus, declinedUpgrade } from "./declined-upgrade.ts";
import type { CallSink, Front, FrontCall, FrontConnection } from "./front.ts";

const noFields: readonly Field[] = [];

/** `renewed`: the client asks that an older connection of its own, by its channel binding, go on as long as this one may. */
export function serveHttp2<C extends FrontCall>(
  socket: Duplex,
  sink: CallSink<C>,
  renewed: (binding: Buffer) => void = ignore,
): FrontConnection<C> {
  /** Calls that the read under way brought something of. */
  let touched: C[] = [];
  /** Bytes of bodies that are held back, by call. */
  const uncredited = new Map<C, number>();

  /** Calls that were answered before they were whole: that they end by a reset of ours says nothing about their client. */
  const overtaken = new WeakSet<C>();

  function touch(call: C): void {
    if (call.touched) return;
    call.touched = true;
    touched.push(call);
  }

  const front: Front<C> = {
    sendInformational(call, status, fields) {
      connection.respond(call.slot as Http2Stream, status, fields, false);
    },
    sendHead(call, status, fields, _contentLength, end) {
      const stream = call.slot as Http2Stream;
      if (call.protocol !== "" && !call.tunnel && status < 300) {
        connection.respond(stream, declinedStatus, [...fields, declinedUpgrade(status)], end);
      } else connection.respond(stream, status, fields, end);
      if (end) answered(call);
    },
    sendData(call, chunk, end) {
      const room = connection.sendData(call.slot as Http2Stream, chunk, end);
      if (end) answered(call);
      return room;
    },
    end(call, trailers) {
      if (trailers.length > 0) connection.sendTrailers(call.slot as Http2Stream, trailers);
      else connection.sendData(call.slot as Http2Stream, noBody, true);
      answered(call);
    },
    abort(call, reason) {
      const stream = call.slot as Http2Stream;
      if (!isGrpc(call.head)) {
        connection.reset(stream, Http2ErrorCode.INTERNAL_ERROR);
        return;
      }
      connection.sendTrailers(stream, grpcFailure(reason));
      answered(call);
    },
    resume: takenUp,
  };

  /** What was held back may be sent again. */
  function takenUp(call: C): void {
    const bytes = uncredited.get(call);
    if (bytes === undefined) return;
    uncredited.delete(call);
    connection.consumed(call.slot as Http2Stream, bytes);
  }

  /** All of an answer has been sent. Where it overtook its request, what is left of that is not wanted (RFC 9113 8.1). */
  function answered(call: C): void {
    const stream = call.slot as Http2Stream;
    if (call.bodyEnded) takenUp(call);
    else if (!isOpenTunnel(stream)) {
      overtaken.add(call);
      connection.reset(stream, Http2ErrorCode.NO_ERROR);
    }
  }

  const transport = attachHttp2(
    socket,
    {
      onRequest(stream, head, endStream) {
        const call = sink.begin(front, stream, head, "h2", stream.protocol);
        stream.data = call;
        call.bodyEnded = endStream;
        sink.head(call);
        if (head.kinds & FieldKind.EXPECT && !endStream) goOn(stream, head.fields);
        if (endStream) sink.bodyEnd(call, noFields);
        touch(call);
      },
      onData(stream, chunk, endStream) {
        const call = stream.data as C;
        sink.body(call, chunk);
        if (endStream) sink.bodyEnd(call, noFields);
        if (call.waiting) uncredited.set(call, (uncredited.get(call) ?? 0) + chunk.length);
        else connection.consumed(stream, chunk.length);
        touch(call);
      },
      onTrailers(stream, fields) {
        const call = stream.data as C;
        sink.bodyEnd(call, fields);
        touch(call);
      },
      onReset(stream) {
        const call = stream.data as C;
        uncredited.delete(call);
        if (!overtaken.has(call)) sink.cancel(call);
      },
      onWritable(stream) {
        sink.drained(stream.data as C);
      },
      onResponse: unexpected,
      onInformational: unexpected,
      onGoaway: ignore,
      onSettings: ignore,
      onPong: ignore,
      onRenewal: renewed,
      onFatal: (error) => sink.malformed(error),
    },
    (handler) => createHttp2Connection({ role: "server", handler, now: Date.now }),
    { reads: "owner" },
  );
  const { connection } = transport;

  /** The body is asked for at once, as HTTP/1.1's is; after an answer it is not. */
  function goOn(stream: Http2Stream, fields: readonly Field[]): void {
    if (findField(fields, "expect")?.value.toLowerCase() === "100-continue" && !hasAnswer(stream))
      connection.respond(stream, 100, noFields, false);
  }

  return {
    receive(chunk) {
      transport.receive(chunk);
      const calls = touched;
      if (calls.length === 0) return;
      touched = [];
      for (const call of calls) {
        call.touched = false;
        sink.readEnd(call);
      }
    },
    finish: ignore,
    writable: ignore,
    closed: ignore,
    calls: (visit) => connection.forEachStream((stream) => visit(stream.data as C)),
    drain: (deadlineMs) => void transport.close(deadlineMs),
  };
}

function unexpected(): never {
  throw new Error("a server has no responses to receive");
}

function ignore(): void {
  // The transport sees to it.
}
