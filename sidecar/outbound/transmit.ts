/**
 * The way of one outbound call, step by step: resolve → route → sign → send. Each step goes on or ends in a failure, and
 * `fail` is the only place that turns one into a status. The answer comes back through answers.ts.
 *
 * Hot path: synchronous from the application's bytes to the frames, unless a session or a connection has to be waited for.
 * Whether there is room for a call, where it goes, how long it may take and whether it goes again is for traffic/ to say.
 */
import { performance } from "node:perf_hooks";
import type { Clock } from "../../common/runtime/clock.ts";
import { RequestTargetError } from "../../common/http/request-target.ts";
import { collectedBytes, noBody } from "../body.ts";
import type { CallSink } from "../front/front.ts";
import { Http2ErrorCode } from "../http2/error.ts";
import type { Http2RequestHead } from "../http2/send-head.ts";
import type { Reason } from "../reason.ts";
import { refusalMessage } from "../refusal.ts";
import type { RoleSessions } from "../sync/role-sessions.ts";
import { createAgain, type Blame } from "./again.ts";
import { createAnswers } from "./answers.ts";
import { createOutboundCall, type OutboundCall } from "./call.ts";
import { ChannelError, type Channel, type ChannelAnswers } from "./channel.ts";
import type { Destination, Destinations, Endpoint } from "./destinations.ts";
import type { EndpointChannels } from "./endpoint-channels.ts";
import type { ExternalCalls } from "./external.ts";
import type { Origin } from "./origin.ts";
import type { OutboundRecords } from "./records.ts";
import type { CallSigner } from "./sign.ts";
import type { TrafficManager } from "./traffic/manager.ts";
import { aimAt, resolveTarget } from "./resolve.ts";
import { trailersOf } from "./trailers.ts";
import { addToBody, begin, credit, flush } from "./upload.ts";

export interface TransmitterOptions {
  readonly destinations: () => Destinations;
  readonly sessions: RoleSessions;
  readonly channels: EndpointChannels;
  readonly sign: CallSigner;
  readonly records: OutboundRecords;
  /** What is for no service of the mesh. */
  readonly external: Pick<ExternalCalls, "carry">;
  /** Longest body that is hashed whole. */
  readonly maxHashedBytes: () => number;
  /** Whether this workload's own certificate is good. */
  readonly identityValid: () => boolean;
  /** Whether this process can take no more. */
  readonly shedding: () => boolean;
  readonly traffic: TrafficManager<Endpoint, OutboundCall>;
  readonly schedule: Clock["schedule"];
}

/** Takes the application's calls. */
export interface Transmitter {
  /** Takes the calls of one connection. */
  accept(origin: Origin): CallSink<OutboundCall>;
  fail(call: OutboundCall, reason: Reason, detail: string): void;
  /** No head of an answer came in time. */
  timedOut(call: OutboundCall): void;
  /** What channels hand the frames of answers to. */
  readonly answers: ChannelAnswers;
  /** A snapshot came: there may be endpoints that were not known before. */
  news(): void;
}

/** A CONNECT for TCP names no path, an extended one does (RFC 9113 8.5, RFC 8441 4). */
function tunnelHead({ head, protocol }: OutboundCall, path: string): Http2RequestHead {
  const connect = { method: "CONNECT", scheme: "https", authority: head.authority, path };
  return protocol === "" ? connect : { ...connect, protocol };
}

export function createTransmitter(options: TransmitterOptions): Transmitter {
  const { sessions, channels, records, traffic } = options;

  function fail(call: OutboundCall, reason: Reason, detail: string): void {
    if (call.done) return;
    call.done = true;
    abandon(call);
    const message = refusalMessage(call.head, reason, {}, []);
    call.status = message.status;
    records.failed(call, reason, detail);
    if (call.answered) {
      call.front.abort(call, reason);
      return;
    }
    call.answered = true;
    const { status, fields, body } = message;
    call.front.sendHead(call, status, fields, body.length, body.length === 0);
    if (body.length > 0) call.front.sendData(call, body, true);
  }

  /** Ends what is under way for the call. */
  function abandon(call: OutboundCall): void {
    const { channel, stream } = call;
    call.upstream?.cancel(call);
    traffic.over(call);
    call.stream = undefined;
    if (channel && stream) channel.http2.reset(stream, Http2ErrorCode.CANCEL);
  }

  function transmit(call: OutboundCall): void {
    call.transmitted = true;
    if (!options.identityValid()) {
      fail(call, "identity-expired", "this workload's certificate has expired and could not be renewed");
      return;
    }
    if (options.shedding()) {
      fail(call, "overloaded", "this sidecar runs out of memory, or of time");
      return;
    }
    const destination = resolve(call);
    if (!destination) return;
    call.destination = destination;
    const now = performance.now();
    if (!traffic.admit(call, destination, now)) {
      fail(call, "circuit-open", `${destination.traffic.breaker.active} calls to ${destination.scope} are under way already`);
      return;
    }
    // An upload takes as long as it takes; a tunnel is answered before it is used.
    if (call.bodyEnded || call.tunnel) traffic.expectAnswer(call, destination, now);
    route(call, destination, now);
  }

  /** Where the call goes, and its path as every later step sees it. Undefined when it failed, or leaves the mesh. */
  function resolve(call: OutboundCall): Destination | undefined {
    const { head, origin } = call;
    try {
      const target = resolveTarget(options.destinations(), head.authority, head.scheme, origin);
      if (target.kind === "refused") {
        fail(call, "unknown-destination", target.detail);
        return undefined;
      }
      if (target.kind === "external") {
        options.external.carry(call, target.host, target.port);
        return undefined;
      }
      aimAt(call, target);
      return target.destination;
    } catch (error) {
      if (!(error instanceof RequestTargetError)) throw error;
      fail(call, "malformed-target", error.message);
      return undefined;
    }
  }

  function route(call: OutboundCall, destination: Destination, now: number): void {
    const candidate = traffic.route(call, destination, now);
    if (!candidate) {
      fail(call, "no-endpoint", `no instance of ${destination.scope} is known that it has not failed at`);
      return;
    }
    const { endpoint } = candidate;
    call.endpoint = endpoint;
    goOn(call, destination, endpoint);
  }

  function goOn(call: OutboundCall, destination: Destination, endpoint: Endpoint): void {
    const channel = channels.current(endpoint);
    if (channel && (call.protocol === "" || channel.http2.peerAllowsExtendedConnect())) send(call, destination, endpoint, channel);
    else connect(call, destination, endpoint, channel);
  }

  /** Waits for a connection, or for one to say whether the peer takes upgrades: that is in its first frame. */
  function connect(call: OutboundCall, destination: Destination, endpoint: Endpoint, channel: Channel | undefined): void {
    if (!hold(call, destination)) return;
    const { connectTimeoutMs } = destination.traffic.settings;
    const opening = channel
      ? channel.settled
      : channels.open(endpoint, connectTimeoutMs).then((opened) => (call.protocol === "" ? opened : opened.settled));
    opening.then(
      (opened) => {
        if (call.done) return;
        traffic.unhold(call);
        // Others who waited may have filled it.
        if (opened.http2.canRequest()) send(call, destination, endpoint, opened);
        else goOn(call, destination, endpoint);
      },
      (error: unknown) => {
        if (call.done) return;
        traffic.unhold(call);
        const blame: Blame = { reason: error instanceof ChannelError ? error.reason : "peer-unreachable", detail: String(error) };
        // That its connections are full is no failure of the endpoint.
        if (blame.reason === "overloaded" ? again(call, "refused", blame) : again(call, "connect", blame, Object(error))) return;
        fail(call, blame.reason, blame.detail);
      },
    );
  }

  /** Whether the call may wait. It has failed where too many do. */
  function hold(call: OutboundCall, destination: Destination): boolean {
    if (traffic.hold(call, destination)) return true;
    fail(call, "circuit-open", `${destination.traffic.breaker.pending} calls to ${destination.scope} wait already`);
    return false;
  }

  /** `channel` has room for a stream. */
  function send(call: OutboundCall, destination: Destination, endpoint: Endpoint, channel: Channel): void {
    const credentials = sessions.current(destination.roleArn, destination.maxSessionSeconds);
    if (!credentials) {
      if (!hold(call, destination)) return;
      sessions.ready(destination.roleArn, destination.maxSessionSeconds).then(
        () => {
          if (call.done) return;
          traffic.unhold(call);
          route(call, destination, performance.now());
        },
        (error: unknown) => fail(call, "session-unresolved", `no session of ${destination.roleArn}: ${String(error)}`),
      );
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
    call.channel = channel;
    call.stream = stream;
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

  const { again, news } = createAgain({ destinations: options.destinations, traffic, schedule: options.schedule, route, fail });
  const answers = createAnswers({ records, traffic, fail, again });

  const sink: Omit<CallSink<OutboundCall>, "begin"> = {
    head() {
      // Nothing leaves before it is known whether the body is whole: at the end of the read.
    },
    body(call, chunk) {
      traffic.progressed(call);
      addToBody(call, chunk);
    },
    bodyEnd(call, trailers) {
      call.bodyEnded = true;
      const { destination } = call;
      const expected = call.transmitted && !call.tunnel && !call.answered && !call.done;
      if (expected && destination) traffic.expectAnswer(call, destination, performance.now());
      call.trailers = call.tunnel ? trailers : trailersOf(trailers);
      call.upstream?.end(call, call.trailers);
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
    cancel(call) {
      if (call.done) return;
      call.done = true;
      records.cancelled(call);
      abandon(call);
    },
    drained(call) {
      if (call.upstream) call.upstream.resume(call);
      else credit(call);
    },
    malformed(error) {
      records.malformed(error);
    },
  };

  return {
    accept: (origin) => ({
      ...sink,
      begin(front, slot, head, spoken, protocol) {
        const call = createOutboundCall(front, slot, head, spoken, protocol);
        call.origin = origin;
        return call;
      },
    }),
    fail,
    timedOut(call) {
      const blame: Blame = {
        reason: "upstream-timeout",
        detail: `no answer within ${call.destination?.traffic.settings.requestTimeoutMs} ms`,
      };
      // Where it still waits for a connection or a session, its endpoint is not to blame.
      if (call.stream) again(call, "timeout", blame);
      fail(call, blame.reason, blame.detail);
    },
    answers,
    news,
  };
}
