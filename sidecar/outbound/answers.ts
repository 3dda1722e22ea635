/**
 * What comes back from a receiving sidecar, to the application. Hot path.
 *
 * A request is over with its answer; a tunnel when both sides have ended it.
 */
import { performance } from "node:perf_hooks";
import { FieldKind, findField } from "../../common/http/field.ts";
import type { ResponseHead } from "../../common/http/message.ts";
import { declinedAnswer } from "../front/declined-upgrade.ts";
import { endToEndFields } from "../http1/end-to-end.ts";
import { Http2ErrorCode } from "../http2/error.ts";
import type { Reason } from "../reason.ts";
import type { Again, Blame } from "./again.ts";
import type { OutboundCall } from "./call.ts";
import type { Channel, ChannelAnswers } from "./channel.ts";
import type { Endpoint } from "./destinations.ts";
import type { OutboundRecords } from "./records.ts";
import type { TrafficManager } from "./traffic/manager.ts";
import { failureOfRefusal, type PeerFailure } from "./traffic/peer-refusal.ts";
import type { TryFailure } from "./traffic/retry.ts";
import { credit, writable } from "./upload.ts";

export interface AnswersOptions {
  readonly records: OutboundRecords;
  readonly traffic: TrafficManager<Endpoint, OutboundCall>;
  readonly fail: (call: OutboundCall, reason: Reason, detail: string) => void;
  readonly again: Again;
}

export interface Answers extends ChannelAnswers {
  /** All of the application's side has been sent: the end of a tunnel whose other side has ended. */
  bodySent(call: OutboundCall): void;
}

/** What an answer says against the endpoint: undefined for one of the application's, or a decision about the caller. */
function failureIn({ fields, kinds }: ResponseHead): PeerFailure | undefined {
  if ((kinds & FieldKind.IDENTITY) === 0) return undefined;
  const reason = findField(fields, "x-countersign-reason");
  return reason && failureOfRefusal(reason.value);
}

/** REFUSED_STREAM: the peer did nothing for the call (RFC 9113 8.7). */
function failureOfReset(code: Http2ErrorCode): TryFailure {
  return code === Http2ErrorCode.REFUSED_STREAM ? "refused" : "lost";
}

/** The connection, where it was lost as a whole. */
function lostChannel({ channel }: OutboundCall): Channel | undefined {
  return channel?.http2.isClosed() ? channel : undefined;
}

export function createAnswers({ records, traffic, fail, again }: AnswersOptions): Answers {
  function complete(call: OutboundCall): void {
    const { channel, stream } = call;
    call.done = true;
    // The application's connection goes on to its next call: what it has yet to take is credited now, or never.
    credit(call);
    traffic.over(call);
    call.stream = undefined;
    // The rest of a request that has its whole answer is of no use to anybody.
    if (channel && stream && !call.bodySent) channel.http2.reset(stream, Http2ErrorCode.CANCEL);
    records.completed(call);
  }

  function ended(call: OutboundCall): void {
    call.answerEnded = true;
    if (!call.tunnel || call.bodySent || call.status >= 300) complete(call);
  }

  return {
    bodySent(call) {
      if (call.answerEnded && !call.done) complete(call);
    },
    onInformational(stream, { status, fields, kinds }) {
      const call = stream.data as OutboundCall;
      if (!call.done) call.front.sendInformational(call, status, endToEndFields(fields, kinds, 0));
    },
    onResponse(stream, response, endStream) {
      const call = stream.data as OutboundCall;
      if (call.done) return;
      const failure = failureIn(response);
      const { channel } = call;
      if (failure && again(call, failure.failure, { reason: failure.reason, detail: "says the sidecar of the last instance tried" })) {
        channel?.http2.reset(stream, Http2ErrorCode.CANCEL);
        return;
      }
      const declined = call.protocol === "" ? undefined : declinedAnswer(response);
      if (declined) call.tunnel = false;
      const answer = declined ?? response;
      call.respondedAt = performance.now();
      call.status = answer.status;
      call.answered = true;
      traffic.answered(call, failure === undefined, call.respondedAt);
      const fields = endToEndFields(answer.fields, answer.kinds, 0);
      call.front.sendHead(call, answer.status, fields, answer.contentLength, endStream);
      if (endStream) ended(call);
    },
    onData(stream, chunk, endStream) {
      const call = stream.data as OutboundCall;
      if (call.done) return;
      traffic.progressed(call);
      if (chunk.length > 0 || endStream) {
        if (call.front.sendData(call, chunk, endStream)) call.channel?.http2.consumed(stream, chunk.length);
        else call.unacknowledged += chunk.length;
      }
      if (endStream) ended(call);
    },
    onTrailers(stream, fields) {
      const call = stream.data as OutboundCall;
      if (call.done) return;
      call.front.end(call, fields);
      ended(call);
    },
    onReset(stream, code) {
      const call = stream.data as OutboundCall;
      if (call.done || call.stream !== stream) return;
      // How a tunnel ends is its users' affair.
      const blame: Blame = { reason: "peer-failed", detail: `the stream ended with HTTP/2 error ${code}` };
      if (!(call.tunnel && call.answered) && again(call, failureOfReset(code), blame, lostChannel(call))) return;
      fail(call, blame.reason, blame.detail);
    },
    onWritable(stream) {
      writable(stream.data as OutboundCall);
    },
  };
}
