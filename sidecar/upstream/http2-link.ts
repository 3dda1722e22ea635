/**
 * HTTP/2 connections with prior knowledge to an upstream that speaks it, as gRPC servers do. Hot path: a stream a
 * call, nothing else made for it.
 *
 * A second connection is opened when the first has no room for another stream; a request waits for room no longer than for
 * the connection.
 */
import { connect } from "node:net";
import { createField, type Field } from "../../common/http/field.ts";
import { noBody } from "../body.ts";
import { endToEndFields } from "../http1/end-to-end.ts";
import { createHttp2Connection, type Http2Connection, type Http2Handler, type Http2Stream } from "../http2/connection.ts";
import { Http2Error, Http2ErrorCode } from "../http2/error.ts";
import type { Reason } from "../reason.ts";
import { readBuffer } from "../read-buffer.ts";
import { attachHttp2, type Http2Transport } from "../http2/transport.ts";
import {
  bodyTaken,
  passedOn,
  takeBody,
  unreached,
  type ForwardedHead,
  type Link,
  type LinkOptions,
  type Upstream,
  type UpstreamCall,
} from "./upstream.ts";

const connectTimeoutMs = 5000;
const maxConnections = 8;
const maxQueued = 2048;
const maxRefusals = 3;
const drainMs = 60_000;

/** Trailers are passed on, and gRPC servers insist on being told so. */
const trailersTaken = createField("te", "trailers");

/** A call on its way: waiting for room first, then with a stream. */
interface Attempt<C> {
  readonly call: C;
  readonly head: ForwardedHead;
  /** All of the body, where it was at hand: it may be sent again. */
  whole: Buffer | undefined;
  refusals: number;
  connection: Http2Connection | undefined;
  stream: Http2Stream | undefined;
  /** Bytes of the answer that the client has not taken yet. */
  uncredited: number;
}

export function createHttp2Link<C extends UpstreamCall<C>>(options: LinkOptions<C>): Link<C> {
  const { address, onComplete, onFailure, onResponse } = options;
  const open: Http2Transport[] = [];
  const queue: Attempt<C>[] = [];
  let opening = 0;
  let busy = 0;
  /** The upstream has said before what it takes. */
  let known = false;

  const upstream: Upstream<C> = {
    resume: (call) => credit(call.upstreamSlot as Attempt<C>),
    cancel(call) {
      const { connection, stream } = call.upstreamSlot as Attempt<C>;
      detach(call);
      if (connection && stream) connection.reset(stream, Http2ErrorCode.CANCEL);
      serveQueue();
    },
    send(call, chunk) {
      const { connection, stream } = call.upstreamSlot as Attempt<C>;
      return connection && stream ? connection.sendData(stream, chunk, false) : true;
    },
    end(call, trailers) {
      const { connection, stream } = call.upstreamSlot as Attempt<C>;
      if (!connection || !stream) return;
      if (trailers.length > 0) connection.sendTrailers(stream, trailers);
      else connection.sendData(stream, noBody, true);
      if (call.tunnel && call.answerEnded) complete(call);
    },
  };

  function credit(attempt: Attempt<C>): void {
    const { connection, stream, uncredited } = attempt;
    attempt.uncredited = 0;
    if (connection && stream && uncredited > 0) connection.consumed(stream, uncredited);
  }

  function detach(call: C): void {
    if (!call.upstream) return;
    call.upstream = undefined;
    busy--;
  }

  /** The answer is whole; of a tunnel, both sides are over. */
  function complete(call: C): void {
    const attempt = call.upstreamSlot as Attempt<C>;
    const { connection, stream } = attempt;
    detach(call);
    // The client's connection goes on to its next call: what it has yet to take is credited now, or never.
    credit(attempt);
    // The rest of a request that has its whole answer is of no use to anybody.
    if (!call.bodyEnded && connection && stream) connection.reset(stream, Http2ErrorCode.CANCEL);
    if (!call.done) onComplete(call);
    serveQueue();
  }

  function ended(call: C): void {
    call.answerEnded = true;
    if (!call.tunnel || call.bodyEnded || call.status >= 300) complete(call);
  }

  const handler: Omit<Http2Handler, "onOutput" | "onSettings" | "onGoaway" | "onFatal"> = {
    onInformational(stream, { status, fields, kinds }) {
      const { call } = stream.data as Attempt<C>;
      if (!call.done && status !== 100) {
        call.front.sendInformational(call, status, endToEndFields(fields, kinds, options.withheld));
      }
    },
    onResponse(stream, response, endStream) {
      const { call } = stream.data as Attempt<C>;
      if (call.done) return;
      call.answered = true;
      onResponse(call, response);
      const fields = endToEndFields(response.fields, response.kinds, options.withheld);
      call.front.sendHead(call, response.status, fields, response.contentLength, endStream);
      if (endStream) ended(call);
    },
    onData(stream, chunk, endStream) {
      const attempt = stream.data as Attempt<C>;
      const { call } = attempt;
      if (call.done || call.front.sendData(call, chunk, endStream)) attempt.connection?.consumed(stream, chunk.length);
      else attempt.uncredited += chunk.length;
      if (endStream && !call.done) ended(call);
    },
    onTrailers(stream, fields) {
      const { call } = stream.data as Attempt<C>;
      if (call.done) return;
      call.front.end(call, passedOn(fields, options));
      ended(call);
    },
    onReset(stream, code) {
      const attempt = stream.data as Attempt<C>;
      const { call } = attempt;
      if (call.upstream === undefined || call.upstreamSlot !== attempt) return;
      detach(call);
      if (call.done) return;
      // Nothing was done for it (RFC 9113 8.7).
      const refused = code === Http2ErrorCode.REFUSED_STREAM && !call.answered;
      if (refused && attempt.whole !== undefined && attempt.refusals < maxRefusals) again(attempt, attempt.whole);
      else onFailure(call, refused ? "upstream-refused" : "upstream-failed", `the upstream ended the stream with HTTP/2 error ${code}`);
      serveQueue();
    },
    onWritable(stream) {
      bodyTaken((stream.data as Attempt<C>).call);
    },
    onRequest() {
      throw new Error("a client has no requests to receive");
    },
    onPong: ignore,
  };

  function again(attempt: Attempt<C>, body: Buffer): void {
    attempt.refusals++;
    attempt.call.body = { buffer: body, length: body.length };
    queue.push(attempt);
  }

  function send({ connection }: Http2Transport, attempt: Attempt<C>): void {
    const { call, head } = attempt;
    const { framing } = head;
    const empty = framing <= 0 && call.bodyEnded && call.trailers.length === 0 && !call.tunnel;
    const fields: Field[] = [...head.fields, ...head.added, trailersTaken];
    if (framing >= 0 && !empty && !call.tunnel) fields.push(createField("content-length", String(framing)));
    const { target, authority } = head;
    const request = { method: head.method, scheme: "http", authority, path: target };
    let stream: Http2Stream;
    try {
      stream = connection.request(
        call.protocol === "" ? request : { ...request, method: "CONNECT", protocol: call.protocol },
        fields,
        empty,
      );
    } catch (error) {
      if (!(error instanceof Http2Error)) throw error;
      onFailure(call, "upstream-failed", `HTTP/2 cannot carry the request: ${error.message}`);
      return;
    }
    stream.data = attempt;
    attempt.stream = stream;
    attempt.connection = connection;
    call.upstreamSlot = attempt;
    call.upstream = upstream;
    busy++;
    const body = takeBody(call);
    const last = call.bodyEnded && call.trailers.length === 0;
    if (call.bodyEnded && !call.tunnel) attempt.whole = body;
    if (body.length > 0) connection.sendData(stream, body, last);
    if (call.bodyEnded && !empty && (body.length === 0 || !last)) upstream.end(call, call.trailers);
    bodyTaken(call);
  }

  /**
   * Whether the connection can take the call now. Only the very first calls go out before the upstream has said how many it
   * takes at once; upgrades wait for it to say that it takes any.
   */
  function takes({ connection }: Http2Transport, { protocol }: C): boolean {
    if (!connection.canRequest() || (known && !connection.hasPeerSettings())) return false;
    return protocol === "" || connection.peerAllowsExtendedConnect();
  }

  /** Fails the upgrades that wait: this upstream takes none, or never said. */
  function failUpgrades(reason: Reason, detail: string): void {
    for (const attempt of queue.filter(({ call }) => call.protocol !== "")) {
      queue.splice(queue.indexOf(attempt), 1);
      if (!attempt.call.done) onFailure(attempt.call, reason, detail);
    }
  }

  function serveQueue(): void {
    let next = queue[0];
    while (next) {
      const { call } = next;
      const transport = open.find((each) => takes(each, call));
      if (!transport) break;
      queue.shift();
      if (!call.done) send(transport, next);
      next = queue[0];
    }
    // One that has not said yet how much it takes may take all of it.
    const told = open.every(({ connection }) => connection.hasPeerSettings());
    if (queue.length > 0 && opening === 0 && told && open.length < maxConnections) openConnection();
  }

  function openConnection(): void {
    opening++;
    let transport: Http2Transport | undefined;
    let cause = "";
    const socket = connect({
      host: address.host,
      port: address.port,
      noDelay: true,
      keepAlive: true,
      timeout: connectTimeoutMs,
      onread: {
        buffer: readBuffer,
        callback(length, buffer) {
          transport?.receive((buffer as Buffer).subarray(0, length));
          return true;
        },
      },
    });
    socket.once("connect", () => {
      socket.setTimeout(0);
      const made = attachHttp2(
        socket,
        { ...handler, onGoaway: () => forget(made), onFatal: () => forget(made), onSettings: () => settled(made) },
        (wired) => createHttp2Connection({ role: "client", handler: wired, now: Date.now }),
        { reads: "owner", onClose: () => forget(made) },
      );
      transport = made;
      opening--;
      open.push(made);
      serveQueue();
    });
    socket.on("timeout", () => socket.destroy(new Error(`no connection within ${connectTimeoutMs} ms`)));
    socket.on("error", (error) => {
      cause = error.message;
    });
    socket.on("close", () => {
      if (!transport) {
        opening--;
        const detail = cause || `no connection to ${address.host}:${address.port}`;
        for (const { call } of queue.splice(0)) unreached(call, detail, options);
        return;
      }
      forget(transport);
      if (!transport.connection.hasPeerSettings())
        failUpgrades("upstream-failed", "the upstream closed the connection before it said what it takes");
      serveQueue();
    });
  }

  function settled({ connection }: Http2Transport): void {
    known = true;
    if (queue.length === 0) return;
    if (!connection.peerAllowsExtendedConnect()) failUpgrades("upgrade-unsupported", "the upstream takes no extended CONNECT");
    serveQueue();
  }

  function forget(transport: Http2Transport): void {
    const index = open.indexOf(transport);
    if (index >= 0) open.splice(index, 1);
    void transport.close(drainMs);
  }

  return {
    forward(call, head) {
      const attempt: Attempt<C> = { call, head, whole: undefined, refusals: 0, connection: undefined, stream: undefined, uncredited: 0 };
      const transport = queue.length === 0 ? open.find((each) => takes(each, call)) : undefined;
      if (transport) send(transport, attempt);
      else if (queue.length >= maxQueued) onFailure(call, "overloaded", `${queue.length} requests wait for the upstream already`);
      else {
        queue.push(attempt);
        const told = open.find(({ connection }) => connection.hasPeerSettings());
        if (told) settled(told);
        else serveQueue();
      }
    },
    inFlight: () => busy + queue.length,
    close() {
      for (const transport of open.splice(0)) void transport.close(0);
    },
  };
}

function ignore(): void {
  // The transport sees to it.
}
