/**
 * The way of one outbound call, step by step: resolve → sign → transmit, and its answer back to the application. Each step
 * goes on or ends in a failure, and `fail` is the only place that turns one into a status.
 *
 * Hot path: synchronous from the application's bytes to the frames, unless a session or a connection has to be waited for.
 * A call is given to another endpoint only when no byte of it had left.
 */
import { performance } from "node:perf_hooks";
import { createField } from "../../common/http/field.ts";
import { normalizeAuthority, normalizeTarget, RequestTargetError } from "../../common/http/request-target.ts";
import { endToEndFields } from "../http1/end-to-end.ts";
import { Http2ErrorCode } from "../http2/error.ts";
import { reasonStatus, type Reason } from "../reason.ts";
import type { RoleSessions } from "../sync/role-sessions.ts";
import type { OutboundCall } from "./call.ts";
import { ChannelError, type Channel, type ChannelAnswers } from "./channel.ts";
import { pickEndpoint, type Destination, type Destinations, type Endpoint } from "./destinations.ts";
import type { EndpointChannels } from "./endpoint-channels.ts";
import type { OutboundRecords } from "./records.ts";
import type { CallSigner } from "./sign.ts";

export interface TransmitterOptions {
  readonly destinations: () => Destinations;
  readonly sessions: RoleSessions;
  readonly channels: EndpointChannels;
  readonly sign: CallSigner;
  readonly records: OutboundRecords;
  /** Whether this workload's own certificate is good. */
  readonly identityValid: () => boolean;
  readonly now: () => number;
  readonly random: () => number;
}

export interface Transmitter {
  /** The head and body of a call are whole. */
  transmit(call: OutboundCall): void;
  /** The application has gone. */
  cancel(call: OutboundCall): void;
  /** The application has taken what `sendData` had no room for. */
  drained(call: OutboundCall): void;
  fail(call: OutboundCall, reason: Reason, detail: string): void;
  /** What channels hand the frames of answers to. */
  readonly answers: ChannelAnswers;
}

const maxAttempts = 3;
const jsonType = createField("content-type", "application/json");

export function createTransmitter(options: TransmitterOptions): Transmitter {
  const { sessions, channels, records } = options;

  function fail(call: OutboundCall, reason: Reason, detail: string): void {
    if (call.done) return;
    release(call);
    call.done = true;
    call.status = reasonStatus[reason];
    records.failed(call, reason, detail);
    if (call.answered) {
      call.application.abort();
      return;
    }
    const body = Buffer.from(`${JSON.stringify({ reason })}\n`);
    const fields = [createField("x-countersign-reason", reason), jsonType, createField("content-length", String(body.length))];
    const bodiless = call.head.method === "HEAD";
    call.application.sendHead(call.status, fields, bodiless ? 0 : body.length, bodiless);
    if (!bodiless) call.application.sendData(body, true);
  }

  /** Takes the call off its endpoint. */
  function release(call: OutboundCall): void {
    if (call.endpoint && call.stream) call.endpoint.inFlight--;
    call.stream = undefined;
  }

  /** Gives back what `sendData` had no room for. */
  function credit(call: OutboundCall): void {
    const { channel, stream, unacknowledged } = call;
    call.unacknowledged = 0;
    if (channel && stream && unacknowledged > 0) channel.http2.consumed(stream, unacknowledged);
  }

  function transmit(call: OutboundCall): void {
    const { head } = call;
    if (head.method === "CONNECT") {
      fail(call, "upgrade-unsupported", "CONNECT is not carried");
      return;
    }
    if (!options.identityValid()) {
      fail(call, "identity-expired", "this workload's certificate has expired and could not be renewed");
      return;
    }
    let destination: Destination | undefined;
    try {
      const { host } = normalizeAuthority(head.authority);
      destination = options.destinations().byHost.get(host);
      if (!destination) {
        fail(call, "unknown-destination", `${host} is no service of the mesh`);
        return;
      }
      const target = normalizeTarget(head.target, destination);
      call.path = target.path;
      call.query = target.query;
    } catch (error) {
      if (!(error instanceof RequestTargetError)) throw error;
      fail(call, "malformed-target", error.message);
      return;
    }
    call.destination = destination;
    route(call, destination, undefined);
  }

  function route(call: OutboundCall, destination: Destination, except: Endpoint | undefined): void {
    const endpoint = pickEndpoint(destination.endpoints, options.now(), options.random, except);
    if (!endpoint) {
      fail(call, "no-endpoint", `no instance of ${destination.scope} is known`);
      return;
    }
    const channel = channels.current(endpoint);
    if (channel) {
      send(call, destination, endpoint, channel);
      return;
    }
    call.attempts++;
    channels.open(endpoint).then(
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
    const { head, body } = call;
    const fields = options.sign(call, destination, endpoint, credentials);
    const path = call.query === "" ? call.path : `${call.path}?${call.query}`;
    const request = { method: head.method, scheme: "https", authority: head.authority, path };
    let stream;
    try {
      stream = channel.http2.request(request, fields, body.length === 0);
    } catch (error) {
      fail(call, "malformed", `HTTP/2 cannot carry the request: ${String(error)}`);
      return;
    }
    stream.data = call;
    call.endpoint = endpoint;
    call.channel = channel;
    call.stream = stream;
    endpoint.inFlight++;
    if (body.length > 0) channel.http2.sendData(stream, body, true);
  }

  return {
    transmit,
    fail,
    cancel(call) {
      const { channel, stream } = call;
      const running = !call.done;
      call.done = true;
      if (running && channel && stream) {
        release(call);
        channel.http2.reset(stream, Http2ErrorCode.CANCEL);
      }
    },
    drained: credit,
    answers: {
      onResponse(stream, response, endStream) {
        const call = stream.data as OutboundCall;
        call.respondedAt = performance.now();
        call.status = response.status;
        call.answered = true;
        const fields = endToEndFields(response.fields, response.kinds, 0);
        call.application.sendHead(response.status, fields, response.contentLength, endStream);
        if (endStream) complete(call);
      },
      onData(stream, chunk, endStream) {
        const call = stream.data as OutboundCall;
        if (chunk.length > 0 || endStream) {
          if (call.application.sendData(chunk, endStream)) call.channel?.http2.consumed(stream, chunk.length);
          else call.unacknowledged += chunk.length;
        }
        if (endStream) complete(call);
      },
      onTrailers(stream, fields) {
        const call = stream.data as OutboundCall;
        call.application.end(fields);
        complete(call);
      },
      onReset(stream, code) {
        const call = stream.data as OutboundCall;
        if (call.done || call.stream !== stream) return;
        const { destination } = call;
        release(call);
        if (code === Http2ErrorCode.REFUSED_STREAM && destination && !call.answered && ++call.attempts < maxAttempts) {
          // The peer did nothing for it (RFC 9113 8.7): signed anew, it may go again.
          route(call, destination, undefined);
          return;
        }
        fail(call, "peer-failed", `the stream ended with HTTP/2 error ${code}`);
      },
      onWritable() {
        // Bodies are given to the codec whole; it sends them as the windows open.
      },
    },
  };

  function complete(call: OutboundCall): void {
    call.done = true;
    // The application's connection goes on to its next call: what it has yet to take is credited now, or never.
    credit(call);
    release(call);
    records.completed(call);
  }
}
