/** Unary methods as functions that return or throw; here alone their errors become answers, log lines and counts. */
import type { ServerUnaryCall, handleUnaryCall, sendUnaryData } from "@grpc/grpc-js";
import type { Logger } from "../../common/runtime/logger.ts";
import type { Metrics } from "../metrics.ts";
import type { CallOrigin } from "./peer.ts";
import { refusalOf } from "./request-error.ts";

export interface CallReport {
  readonly logger: Logger;
  readonly metrics: Metrics;
}

export function unary<Request, Response>(
  method: string,
  report: CallReport,
  handle: (request: Request, origin: CallOrigin) => Promise<Response>,
): handleUnaryCall<Request, Response> {
  const answer = async (call: ServerUnaryCall<Request, Response>, respond: sendUnaryData<Response>): Promise<void> => {
    let response: Response;
    try {
      response = await handle(call.request, call);
    } catch (error) {
      respond(reportRefusal(method, report, call.getPeer(), error));
      return;
    }
    respond(null, response);
  };
  return (call, respond) => void answer(call, respond);
}

/** Logs and counts a failed call. Returns what the caller is told. */
export function reportRefusal(method: string, { logger, metrics }: CallReport, peer: string, error: unknown) {
  const { code, details, reason, internal } = refusalOf(error);
  metrics.refusals.inc({ method, reason });
  if (internal) logger.error({ err: error, method, peer, reason }, "a call failed");
  else logger.warn({ method, peer, reason, details }, "a call was refused");
  return { code, details };
}
