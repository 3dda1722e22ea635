/**
 * Clients that speak HTTP/1.1: applications to their sidecar, and whatever of the mesh does not speak HTTP/2. One call at a
 * time a connection; what is pipelined behind it waits. An upgrade or CONNECT that is accepted makes the connection a
 * tunnel. Hot path.
 */
import type { Socket } from "node:net";
import type { Field } from "../../common/http/field.ts";
import { createRequestParser } from "../http1/request-parser.ts";
import { createResponseWriter } from "../http1/response-writer.ts";
import { watchSlowPeer, type SlowPeerOptions } from "../http1/slow-peer.ts";
import { upgradeOffer, webSocketAccept } from "../http1/upgrade.ts";
import { writeCopy } from "../blocks.ts";
import { cut } from "../cut.ts";
import { backgroundTimers } from "../progress-watch.ts";
import type { CallSink, Front, FrontCall, FrontConnection } from "./front.ts";

const noFields: readonly Field[] = [];
/** How long a client may take to close after us; what it still sends meanwhile is read and dropped, so that the answer reaches it (RFC 9112 9.6). */
const lingerMs = 10_000;

/** How long a client may take: over a head, and over a body that stands still. */
export type Patience = Pick<SlowPeerOptions, "headTimeout" | "bodyTimeout" | "schedule">;

/** Found within twice the time. An upload may pause, a head has no reason to. */
const defaultPatience: Patience = { headTimeout: 30_000, bodyTimeout: 300_000, schedule: backgroundTimers };
const requestTimeout = 408;

export function serveHttp1<C extends FrontCall>(socket: Socket, sink: CallSink<C>, patience = defaultPatience): FrontConnection<C> {
  const writer = createResponseWriter(socket);
  let call: C | undefined;
  let requestEnded = false;
  /** The head of the answer has been sent. */
  let answering = false;
  let draining = false;
  /** Bytes of a later request wait with the kernel. */
  let held = false;
  /** The body of the call waits with the kernel. */
  let waiting = false;
  /** The client sends no more. */
  let finished = false;
  let linger: NodeJS.Timeout | undefined;
  /** A request behind the answered one may be read. */
  let behind = false;
  let advancing = false;
  /** The tunnel that the connection has become. */
  let tunnel: C | undefined;

  /** The answer is complete: the next request, or the end of the connection. */
  function answered(): void {
    const unread = bodyToCome();
    call = undefined;
    // What was under way is over, and nobody will say that it may go on.
    waiting = false;
    if (writer.mustClose || draining || unread) {
      end();
      return;
    }
    release();
    if (requestEnded) advance();
  }

  function end(): void {
    parser.close();
    release();
    socket.end();
    linger ??= setTimeout(() => socket.destroy(), lingerMs).unref();
  }

  /** An answer that overtakes its request leaves bytes behind that nobody will read. */
  function bodyToCome(): boolean {
    return call !== undefined && !requestEnded && call.head.contentLength !== 0;
  }

  /** Lets the kernel hand over what it has kept. */
  function release(): void {
    held = false;
    if (!waiting && socket.isPaused()) socket.resume();
  }

  /** Reads the next request of what the parser has kept. Not by recursion: a thousand of them may be refused at once. */
  function advance(): void {
    behind = true;
    if (advancing) return;
    advancing = true;
    while (behind) {
      behind = false;
      parser.resume();
      readEnd();
    }
    advancing = false;
  }

  function readEnd(): void {
    if (call && !tunnel && sink.readEnd(call)) wait();
  }

  function wait(): void {
    waiting = true;
    socket.pause();
  }

  function openTunnel(accepted: C, fields: readonly Field[], over: boolean): void {
    tunnel = accepted;
    if (accepted.protocol === "") socket.write("HTTP/1.1 200 Connection Established\r\n\r\n", "latin1");
    else writer.switchProtocols(accepted.protocol, [...fields, ...webSocketAccept(accepted.head)]);
    const early = parser.takeRemainder();
    release();
    if (early.length > 0) tunnelled(accepted, early);
    if (finished) endTunnel(accepted);
    if (over) socket.end();
  }

  function tunnelled(through: C, chunk: Buffer): void {
    sink.body(through, chunk);
    if (sink.readEnd(through)) wait();
  }

  function endTunnel(through: C): void {
    sink.bodyEnd(through, noFields);
    sink.readEnd(through);
  }

  const front: Front<C> = {
    sendInformational(_call, status, fields) {
      if (parser.version === 1) writer.sendInformational(status, fields);
    },
    sendHead(of, status, fields, contentLength, end) {
      if (of.tunnel && status < 300) {
        openTunnel(of, fields, end);
        return;
      }
      if (bodyToCome()) writer.expect(of.head.method, parser.version, false);
      answering = true;
      writer.sendHead(status, fields, contentLength, end);
      if (end) answered();
    },
    sendData(of, chunk, end) {
      if (of === tunnel) {
        const room = chunk.length === 0 || writeCopy(socket, "", chunk, "");
        if (end) socket.end();
        return room;
      }
      const room = writer.sendData(chunk, end);
      if (end) answered();
      return room;
    },
    end(of, trailers) {
      if (of === tunnel) {
        socket.end();
        return;
      }
      writer.end(trailers);
      answered();
    },
    abort: () => cut(socket),
    resume() {
      waiting = false;
      if (held) return;
      socket.resume();
      slow.touch();
    },
  };

  const parser = createRequestParser({
    onRequest(head) {
      requestEnded = answering = false;
      writer.expect(head.method, parser.version, parser.keepAlive && !draining);
      call = sink.begin(front, undefined, head, "http1", upgradeOffer(head, parser.upgrade));
      sink.head(call);
      if (parser.expectContinue && !answering) socket.write("HTTP/1.1 100 Continue\r\n\r\n", "latin1");
    },
    onBody(chunk) {
      if (call) sink.body(call, chunk);
    },
    onEnd(trailers) {
      requestEnded = true;
      if (!call) parser.resume();
      else if (!call.tunnel) sink.bodyEnd(call, trailers);
    },
    onError: (error) => reject(error, error.status),
  });

  /** What came cannot be taken for a request, or does not come to its end. */
  function reject(error: Error, status: number): void {
    sink.malformed(error);
    const broken = call;
    call = undefined;
    if (broken) {
      sink.cancel(broken);
      if (answering) {
        cut(socket);
        return;
      }
    }
    writer.expect("GET", 1, false);
    writer.sendHead(status, noFields, 0, true);
    end();
  }

  const slow = watchSlowPeer(parser, {
    ...patience,
    isPaused: () => socket.isPaused(),
    onLate(what) {
      parser.close();
      reject(new Error(`the client took too long over a ${what}`), requestTimeout);
    },
  });
  slow.touch();

  return {
    receive(chunk) {
      if (tunnel) {
        tunnelled(tunnel, chunk);
        return;
      }
      const outOfTurn = call !== undefined && requestEnded;
      parser.push(chunk);
      slow.touch();
      if (outOfTurn && call) {
        // What comes behind a request under way waits with the kernel, but for the first of it, which the parser keeps.
        held = true;
        socket.pause();
      } else readEnd();
    },
    finish() {
      finished = true;
      if (tunnel) {
        endTunnel(tunnel);
        return;
      }
      parser.finish();
      if (!call) socket.end();
      // Nobody who waits for an answer stops sending in the middle of the exchange but to leave: what was asked for is not
      // wanted any more. Other servers (nginx, Go's, Node's) have it so. What is to become a tunnel may end its side first.
      else if (requestEnded && !call.tunnel) socket.destroy();
    },
    writable() {
      const current = tunnel ?? call;
      if (current) sink.drained(current);
    },
    closed() {
      clearTimeout(linger);
      slow.cancel();
      parser.close();
      const current = tunnel ?? call;
      call = tunnel = undefined;
      if (current) sink.cancel(current);
    },
    calls(visit) {
      const current = tunnel ?? call;
      if (current) visit(current);
    },
    drain(deadlineMs) {
      draining = true;
      if (!call && !tunnel) socket.end();
      setTimeout(() => socket.destroy(), deadlineMs).unref();
    },
  };
}
