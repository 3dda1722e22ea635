/**
 * What comes back from a receiving sidecar, to the application. Hot path.
 *
 * A request is over with its answer; a tunnel when both sides have ended it.
 */
import { performance } from "node:perf_hooks";
import { endToEndFields } from "../http1/end-to-end.ts";
import { Http2ErrorCode } from "../http2/error.ts";
import type { Reason } from "../reason.ts";
import { release, type OutboundCall } from "./call.ts";
import type { ChannelAnswers } from "./channel.ts";
import type { OutboundRecords } from "./records.ts";
import { credit, writable } from "./upload.ts";

export interface AnswersOptions {
  readonly records: OutboundRecords;
  readonly fail: (call: OutboundCall, reason: Reason, detail: string) => void;
  /** The peer did nothing for the call (RFC 9113 8.7): signed anew it may go again. False when it may not. */
  readonly again: (call: OutboundCall) => boolean;
}

export interface Answers extends ChannelAnswers {
  /** All of the application's side has been sent: the end of a tunnel whose other side has ended. */
  bodySent(call: OutboundCall): void;
}

export function createAnswers({ records, fail, again }: AnswersOptions): Answers {
  function complete(call: OutboundCall): void {
    const { channel, stream } = call;
    call.done = true;
    // The application's connection goes on to its next call: what it has yet to take is credited now, or never.
    credit(call);
    release(call);
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
      call.respondedAt = performance.now();
      call.status = response.status;
      call.answered = true;
      const fields = endToEndFields(response.fields, response.kinds, 0);
      call.front.sendHead(call, response.status, fields, response.contentLength, endStream);
      if (endStream) ended(call);
    },
    onData(stream, chunk, endStream) {
      const call = stream.data as OutboundCall;
      if (call.done) return;
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
      if (code === Http2ErrorCode.REFUSED_STREAM && !call.answered && again(call)) return;
      fail(call, "peer-failed", `the stream ended with HTTP/2 error ${code}`);
    },
    onWritable(stream) {
      writable(stream.data as OutboundCall);
    },
  };
}
