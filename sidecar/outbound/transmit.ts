/**
 * The way of one outbound call, step by step: resolve → route → sign → send. Each step goes on or ends in a failure, and
 * `fail` is the only place that turns one into a status. The answer comes back through answers.ts.
 *
 * Hot path: synchronous from the application's bytes to the frames, unless a session or a connection has to be waited for.
 * A call is given to another endpoint only when no byte of it had left.
 */
import { normalizeAuthority, normalizeTarget, RequestTargetError } from "../../common/http/request-target.ts";
import { collectedBytes, noBody } from "../body.ts";
import type { CallSink } from "../front/front.ts";
import { Http2ErrorCode } from "../http2/error.ts";
import type { Http2RequestHead } from "../http2/send-head.ts";
import type { Reason } from "../reason.ts";
import { refusalMessage } from "../refusal.ts";
import type { RoleSessions } from "../sync/role-sessions.ts";
import { createAnswers } from "./answers.ts";
import { createOutboundCall, release, type OutboundCall } from "./call.ts";
import { ChannelError, type Channel, type ChannelAnswers } from "./channel.ts";
import { pickEndpoint, type Destination, type Destinations, type Endpoint } from "./destinations.ts";
import type { EndpointChannels } from "./endpoint-channels.ts";
import type { OutboundRecords } from "./records.ts";
import type { CallSigner } from "./sign.ts";
import { announcedTrailers } from "./trailers.ts";
import { addToBody, begin, credit, flush } from "./upload.ts";

export interface TransmitterOptions {
  readonly destinations: () => Destinations;
  readonly sessions: RoleSessions;
  readonly channels: EndpointChannels;
  readonly sign: CallSigner;
  readonly records: OutboundRecords;
  /** Longest body that is hashed whole. */
  readonly maxHashedBytes: () => number;
  /** Whether this workload's own certificate is good. */
  readonly identityValid: () => boolean;
  readonly now: () => number;
  readonly random: () => number;
}

/** Takes the application's calls. */
export interface Transmitter extends CallSink<OutboundCall> {
  fail(call: OutboundCall, reason: Reason, detail: string): void;
  /** What channels hand the frames of answers to. */
  readonly answers: ChannelAnswers;
}

const maxAttempts = 3;

/** A CONNECT for TCP names no path, an extended one does (RFC 9113 8.5, RFC 8441 4). */
function tunnelHead({ head, protocol }: OutboundCall, path: string): Http2RequestHead {
  const connect = { method: "CONNECT", scheme: "https", authority: head.authority, path };
  return protocol === "" ? connect : { ...connect, protocol };
}

export function createTransmitter(options: TransmitterOptions): Transmitter {
  const { sessions, channels, records } = options;

  function fail(call: OutboundCall, reason: Reason, detail: string): void {
    if (call.done) return;
    call.done = true;
    abandon(call);
    const message = refusalMessage(call.head, reason, {}, []);
    call.status = message.status;
    records.failed(call, reason, detail);
    if (call.answered) {
      call.front.abort(call);
      return;
    }
    call.answered = true;
    const { status, fields, body } = message;
    call.front.sendHead(call, status, fields, body.length, body.length === 0);
    if (body.length > 0) call.front.sendData(call, body, true);
  }

  /** Takes the call off its endpoint and, where that is not over, ends its stream. */
  function abandon(call: OutboundCall): void {
    const { channel, stream } = call;
    if (!channel || !stream) return;
    release(call);
    channel.http2.reset(stream, Http2ErrorCode.CANCEL);
  }

  function transmit(call: OutboundCall): void {
    call.transmitted = true;
    if (!options.identityValid()) {
      fail(call, "identity-expired", "this workload's certificate has expired and could not be renewed");
      return;
    }
    const destination = resolve(call);
    if (!destination) return;
    call.destination = destination;
    route(call, destination, undefined);
  }

  /** Where the call goes, and its path as every later step sees it. Undefined when it failed. */
  function resolve(call: OutboundCall): Destination | undefined {
    const { head } = call;
    try {
      const { host } = normalizeAuthority(head.authority);
      const destination = options.destinations().byHost.get(host);
      if (!destination) {
        fail(call, "unknown-destination", `${host} is no service of the mesh`);
        return undefined;
      }
      if (head.method === "CONNECT" && call.protocol === "") {
        call.path = "/";
        return destination;
      }
      const target = normalizeTarget(head.target, destination);
      call.path = target.path;
      call.query = target.query;
      return destination;
    } catch (error) {
      if (!(error instanceof RequestTargetError)) throw error;
      fail(call, "malformed-target", error.message);
      return undefined;
    }
  }

  function route(call: OutboundCall, destination: Destination, except: Endpoint | undefined): void {
    const endpoint = pickEndpoint(destination.endpoints, options.now(), options.random, except);
    if (!endpoint) {
      fail(call, "no-endpoint", `no instance of ${destination.scope} is known`);
      return;
    }
    const channel = channels.current(endpoint);
    if (channel && (call.protocol === "" || channel.http2.peerAllowsExtendedConnect())) {
      send(call, destination, endpoint, channel);
      return;
    }
    call.attempts++;
    // Whether the peer takes upgrades is in its first frame.
    const opening = channel ? channel.settled : channels.open(endpoint).then((opened) => (call.protocol === "" ? opened : opened.settled));
    opening.then(
      (opened) => {
        if (!call.done) send(call, destination, endpoint, opened);
      },
      (error: unknown) => {
        if (call.done) return;
        // Nothing has left: another endpoint may do it, whatever the method.
        if (call.attempts < maxAttempts && destination.endpoints.length > 1) route(call, destination, endpoint);
        else fail(call, error instanceof ChannelError ? error.reason : "peer-unreachable", String(error));
      },
    );
  }

  function send(call: OutboundCall, destination: Destination, endpoint: Endpoint, channel: Channel): void {
    const credentials = sessions.current(destination.roleArn, destination.maxSessionSeconds);
    if (!credentials) {
      sessions.ready(destination.roleArn, destination.maxSessionSeconds).then(
        () => {
          if (!call.done) route(call, destination, undefined);
        },
        (error: unknown) => fail(call, "session-unresolved", `no session of ${destination.roleArn}: ${String(error)}`),
      );
      return;
    }
    if (!channel.http2.canRequest()) {
      call.attempts++;
      if (call.attempts < maxAttempts) route(call, destination, undefined);
      else fail(call, "overloaded", "no room for another stream");
      return;
    }
    const { head, tunnel } = call;
    const hashed = call.bodyEnded && call.trailers.length === 0 && !tunnel && call.body.length <= options.maxHashedBytes();
    const body = hashed ? collectedBytes(call.body) : noBody;
    const fields = options.sign(call, destination, endpoint, credentials, hashed ? body : undefined);
    const path = call.query === "" ? call.path : `${call.path}?${call.query}`;
    const { authority } = head;
    const request = tunnel ? tunnelHead(call, path) : { method: head.method, scheme: "https", authority, path };
    let stream;
    try {
      stream = channel.http2.request(request, fields, hashed && body.length === 0);
    } catch (error) {
      fail(call, "malformed", `HTTP/2 cannot carry the request: ${String(error)}`);
      return;
    }
    stream.data = call;
    call.endpoint = endpoint;
    call.channel = channel;
    call.stream = stream;
    endpoint.inFlight++;
    if (!hashed) begin(call);
    else {
      call.bodySent = true;
      if (body.length > 0) channel.http2.sendData(stream, body, true);
    }
  }

  /** Whether it is sent before it is whole. */
  function leavesAsItComes({ head, tunnel }: OutboundCall): boolean {
    return tunnel || head.contentLength === -1 || head.contentLength > options.maxHashedBytes();
  }

  const answers = createAnswers({
    records,
    fail,
    again(call) {
      // A body that was sent as it came is not there any more.
      if (!call.destination || call.chunks || call.tunnel || ++call.attempts >= maxAttempts) return false;
      release(call);
      route(call, call.destination, undefined);
      return true;
    },
  });

  return {
    begin: createOutboundCall,
    head() {
      // Nothing leaves before it is known whether the body is whole: at the end of the read.
    },
    body: addToBody,
    bodyEnd(call, trailers) {
      call.bodyEnded = true;
      call.trailers = call.tunnel ? trailers : announcedTrailers(call.head, trailers);
    },
    readEnd(call) {
      if (call.done) return false;
      if (!call.transmitted) {
        if (call.bodyEnded || leavesAsItComes(call)) transmit(call);
      } else {
        flush(call);
        if (call.bodySent) answers.bodySent(call);
      }
      return call.waiting;
    },
    fail,
    cancel(call) {
      const running = !call.done;
      call.done = true;
      if (running) abandon(call);
    },
    drained: credit,
    malformed(error) {
      records.malformed(error);
    },
    answers,
  };
}
