/**
 * Keep-alive HTTP/1.1 connections to one upstream. Hot path: reads land in one reused buffer a connection, one write a
 * request, and the call under way is a field of its connection.
 *
 * Guarantees: a connection carries one call at a time; one that was told to close, was left mid-answer or answered
 * out of turn is never used again. A request is written again on another connection only when the upstream closed an
 * idle one before taking a byte of it, and only for idempotent methods.
 */
import { connect } from "node:net";
import { performance } from "node:perf_hooks";
import { findField, type Field } from "../../common/http/field.ts";
import { endToEndFields } from "../http1/end-to-end.ts";
import { createResponseParser } from "../http1/response-parser.ts";
import { readBuffer } from "../read-buffer.ts";
import type { Reason } from "../reason.ts";
import { endBody, sendBody, sendRequest, type Connection, type Request } from "./http1-request.ts";
import { openTunnel } from "./tunnel.ts";
import { bodyTaken, passedOn, unreached, type Link, type LinkOptions, type UpstreamCall } from "./upstream.ts";

const maxConnections = 512;
const maxQueued = 2048;
const maxIdle = 256;
const connectTimeoutMs = 5000;
const idempotent = new Set(["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"]);

/** A request is on its way for that long at most. */
const marginMs = 1000;

/**
 * What an upstream says of its idle connections (`Keep-Alive: timeout=5`, as Node's and Apache's servers do): one that it is about to
 * close is not for a request that could not be sent again.
 */
function idleTimeOf(fields: readonly Field[]): number {
  const seconds = /(?:^|[,\s])timeout=(\d{1,6})(?:[,\s]|$)/i.exec(findField(fields, "keep-alive")?.value ?? "")?.[1];
  if (seconds === undefined) return Infinity;
  const announced = Number(seconds) * 1000;
  return Math.max(announced - marginMs, announced / 2);
}

export function createHttp1Pool<C extends UpstreamCall<C>>(options: LinkOptions<C>): Link<C> {
  const { address, idleMs = 0, monotonic = () => performance.now() } = options;
  const idle: Connection<C>[] = [];
  const queue: Request<C>[] = [];
  let open = 0;
  let connecting = 0;
  let busy = 0;
  let closed = false;

  function send(connection: Connection<C>, request: Request<C>): void {
    if (idleMs > 0) connection.socket.setTimeout(0);
    busy++;
    sendRequest(connection, request);
  }

  /** Takes the call off its connection. */
  function detach(connection: Connection<C>): C | undefined {
    const { call } = connection;
    if (call) {
      busy--;
      call.upstream = undefined;
      connection.call = undefined;
      connection.request = undefined;
    }
    return call;
  }

  function release(connection: Connection<C>): void {
    connection.reused = true;
    // Of the answer that is over: the front that had no room has all of it now, and will not call.
    connection.paused = false;
    if (connection.closing || closed || !connection.sent || idle.length >= maxIdle) {
      connection.socket.destroy();
      return;
    }
    const next = waiting();
    if (next) send(connection, next);
    else {
      if (connection.goodFor < Infinity) connection.idleSince = monotonic();
      idle.push(connection);
      if (idleMs > 0) connection.socket.setTimeout(idleMs);
    }
  }

  /** The next that somebody still waits for. */
  function waiting(): Request<C> | undefined {
    let next = queue.shift();
    while (next?.call.done) next = queue.shift();
    return next;
  }

  /** The last one used that its upstream will not close just now. */
  function takeIdle(): Connection<C> | undefined {
    let connection = idle.pop();
    while (connection && connection.goodFor < Infinity && monotonic() - connection.idleSince >= connection.goodFor) {
      connection.socket.destroy();
      connection = idle.pop();
    }
    return connection;
  }

  function leaveIdle(connection: Connection<C>): void {
    const index = idle.indexOf(connection);
    if (index >= 0) idle.splice(index, 1);
  }

  function fail(connection: Connection<C>, reason: Reason, detail: string): void {
    const { request, reused, received } = connection;
    const call = detach(connection);
    connection.closing = true;
    connection.socket.destroy();
    if (!call || !request) return;
    if (reused && !received && request.whole && idempotent.has(call.head.method) && !call.done) {
      // The upstream gave up an idle connection as we took it: a fresh one cannot fail in this way.
      openConnection(request);
      return;
    }
    options.onFailure(call, reason, detail);
  }

  /** 101: what follows is the other protocol's. */
  function switched(connection: Connection<C>, fields: readonly Field[], kinds: number): void {
    const { call, accept, parser, socket } = connection;
    if (!call || call.done) return;
    if (accept !== "" && findField(fields, "sec-websocket-accept")?.value !== accept) {
      fail(connection, "upstream-failed", "the upstream's sec-websocket-accept is not that of the key");
      return;
    }
    const early = parser.takeRemainder();
    connection.closing = true;
    call.answered = true;
    options.onResponse(call, { status: 101 });
    const passed = endToEndFields(fields, kinds, options.withheld).filter(({ name }) => name !== "sec-websocket-accept");
    call.front.sendHead(call, 200, passed, -1, false);
    detach(connection);
    connection.tunnel = openTunnel(socket, call, options);
    if (early.length > 0 && !connection.tunnel.receive(early)) socket.pause();
  }

  function openConnection(first: Request<C>): void {
    open++;
    connecting++;
    /** Until it is sent: not before there is a connection, so that nothing of it is lost where there is none. */
    let pending: Request<C> | undefined = first;
    const socket = connect({
      host: address.host,
      port: address.port,
      noDelay: true,
      keepAlive: true,
      allowHalfOpen: true,
      onread: {
        buffer: readBuffer,
        callback(length, buffer) {
          const chunk = length === buffer.length ? (buffer as Buffer) : (buffer as Buffer).subarray(0, length);
          if (connection.tunnel) return connection.tunnel.receive(chunk);
          connection.received = true;
          connection.parser.push(chunk);
          return !connection.paused;
        },
      },
    });
    const parser = createResponseParser({
      onInformational({ status, fields, kinds }) {
        const { call } = connection;
        if (status === 101) switched(connection, fields, kinds);
        // 100 was answered before the body was asked for.
        else if (status !== 100 && call && !call.done) {
          call.front.sendInformational(call, status, endToEndFields(fields, kinds, options.withheld));
        }
      },
      onResponse(response) {
        const { call } = connection;
        if (!call || call.done) return;
        if (!parser.keepAlive) connection.closing = true;
        call.tunnel = false;
        if (response.fields !== connection.seenFields) {
          connection.seenFields = response.fields;
          connection.endToEnd = endToEndFields(response.fields, response.kinds, options.withheld);
          connection.goodFor = idleTimeOf(response.fields);
        }
        call.answered = true;
        connection.remaining = response.contentLength;
        options.onResponse(call, response);
        try {
          call.front.sendHead(call, response.status, connection.endToEnd, response.contentLength, response.contentLength === 0);
        } catch (error) {
          // Nothing of the answer has been written: what the client's protocol cannot carry is the upstream's mistake.
          call.answered = false;
          fail(connection, "upstream-failed", `the upstream's answer cannot be passed on: ${String(error)}`);
        }
      },
      onBody(chunk) {
        const { call } = connection;
        if (!call || call.done) return;
        if (connection.remaining > 0) connection.remaining -= chunk.length;
        if (!call.front.sendData(call, chunk, connection.remaining === 0)) connection.paused = true;
      },
      onEnd(trailers) {
        // Bytes behind the answer belong to nothing that was asked.
        if (!parser.keepAlive) connection.closing = true;
        const call = detach(connection);
        if (call && !call.done) {
          if (connection.remaining !== 0) call.front.end(call, passedOn(trailers, options));
          options.onComplete(call);
        }
        release(connection);
      },
      onError(error) {
        fail(connection, "upstream-failed", `the upstream's answer is not HTTP/1.1: ${error.message}`);
      },
    });
    const connection: Connection<C> = {
      socket,
      parser,
      call: undefined,
      request: undefined,
      chunked: false,
      sent: false,
      outlives: false,
      accept: "",
      tunnel: undefined,
      reused: false,
      received: false,
      goodFor: Infinity,
      idleSince: 0,
      paused: false,
      closing: false,
      remaining: 0,
      seenFields: [],
      endToEnd: [],
      resume() {
        if (!connection.paused) return;
        connection.paused = false;
        socket.resume();
      },
      cancel() {
        detach(connection);
        connection.closing = true;
        socket.destroy();
      },
      send: (call, chunk) => sendBody(connection, call, chunk),
      end: (_call, trailers) => endBody(connection, trailers),
    };
    const timer = setTimeout(() => {
      socket.destroy(new Error(`no connection within ${connectTimeoutMs} ms`));
    }, connectTimeoutMs);
    socket.on("connect", () => {
      clearTimeout(timer);
      connecting--;
      pending = undefined;
      if (first.call.done) release(connection);
      else send(connection, first);
    });
    socket.on("drain", () => {
      if (connection.call) bodyTaken(connection.call);
    });
    socket.on("end", () => {
      if (connection.tunnel) {
        connection.tunnel.ended();
        return;
      }
      // Where the answer has no declared length, this is its end.
      connection.closing = true;
      leaveIdle(connection);
      parser.finish();
      socket.end();
    });
    socket.on("timeout", () => socket.destroy());
    let cause = "";
    socket.on("error", (error) => {
      cause = error.message;
    });
    socket.on("close", () => {
      clearTimeout(timer);
      open--;
      leaveIdle(connection);
      const detail = cause || `the upstream closed the connection to ${address.host}:${address.port}`;
      if (pending) {
        connecting--;
        unreached(pending.call, detail, options);
      } else if (connection.tunnel) connection.tunnel.closed(detail);
      else if (connection.call) fail(connection, "upstream-failed", detail);
      const next = open < maxConnections ? waiting() : undefined;
      if (next) openConnection(next);
    });
  }

  return {
    forward(call, head) {
      const request = { call, head, whole: call.bodyEnded && call.protocol === "" };
      const connection = takeIdle();
      if (connection) send(connection, request);
      else if (open < maxConnections) openConnection(request);
      else if (queue.length < maxQueued) queue.push(request);
      else options.onFailure(call, "overloaded", `${queue.length} requests wait for the upstream already`);
    },
    close() {
      closed = true;
      for (const connection of idle.splice(0)) connection.socket.destroy();
    },
    inFlight: () => busy + connecting + queue.length,
  };
}
