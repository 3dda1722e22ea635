/**
 * The only place that turns a refusal into an answer. The caller learns the reason code and a decision id; the statement
 * that matched and the detail go to the log and the decisions that an operator can read.
 */
import { performance } from "node:perf_hooks";
import { createField } from "../../common/http/field.ts";
import type { Logger } from "../../common/runtime/logger.ts";
import { leave } from "./concurrency.ts";
import { createDecisionId, type DecisionRecord, type Decisions } from "./decisions.ts";
import type { Exchange } from "./exchange.ts";
import type { InboundMetrics } from "./metrics.ts";
import type { Peer } from "./peer.ts";
import { reasonStatus, type Refusal } from "../reason.ts";
import { refusalMessage } from "../refusal.ts";

export interface Responder {
  /** Answers with the refusal and records it. Nothing happens when the exchange is over. */
  refuse(exchange: Exchange, refusal: Refusal): void;
  /** Counts a request that was not one; the front answers it with the error's own status. */
  malformed(peer: Peer, error: Error): void;
  /** The application's answer has been sent whole: counts it, and records it when it is sampled. */
  completed(exchange: Exchange): void;
  /** The caller has gone, or given up. What the application was given is counted and recorded all the same. */
  cancelled(exchange: Exchange): void;
}

export interface ResponderOptions {
  readonly decisions: Decisions;
  readonly metrics: InboundMetrics;
  readonly sample: () => number;
  readonly revision: () => number;
  readonly now: () => number;
  readonly random: () => number;
  readonly log: Logger;
}

const noStore = createField("cache-control", "no-store");

export function createResponder(options: ResponderOptions): Responder {
  const { decisions, metrics } = options;

  function record(exchange: Exchange, id: string, outcome: DecisionRecord["decision"], reason: string, detail: string): void {
    const { authorization, authentication, service, head } = exchange;
    const finished = performance.now();
    const application = exchange.respondedAt > 0 ? exchange.respondedAt - exchange.forwardedAt : 0;
    decisions.add({
      id,
      at: options.now(),
      decision: outcome,
      reason,
      detail,
      service: service?.scope ?? "",
      method: head.method,
      path: exchange.path || head.target,
      action: authorization?.action ?? "",
      resource: authorization?.resource ?? "",
      principal: exchange.caller?.sessionArn ?? "",
      peer: exchange.peer.spiffeId ?? "",
      statement: authorization?.decision?.statement,
      evaluated: authorization?.decision?.evaluated ?? 0,
      policyRevision: authorization?.revision ?? options.revision(),
      sequence: authentication?.sequence ?? "",
      status: exchange.status,
      applicationMicros: Math.round(application * 1000),
      sidecarMicros: Math.round((finished - exchange.startedAt - application) * 1000),
    });
  }

  /** All that the service's tier or a policy under audit wants to have recorded, and a sample of the rest. */
  function recordAllowed(exchange: Exchange, detail: string): void {
    const { authorization, service } = exchange;
    const wouldDeny = authorization?.denied ?? authorization?.decision?.wouldDeny?.reason;
    if (wouldDeny !== undefined) record(exchange, createDecisionId(), "would-deny", wouldDeny, detail);
    else if (service?.tier.recordAll || options.random() < options.sample()) {
      record(exchange, createDecisionId(), "allow", authorization?.decision?.reason ?? "", detail);
    }
  }

  function over(exchange: Exchange): void {
    if (!exchange.admission) return;
    leave(exchange.admission);
    exchange.admission = undefined;
  }

  return {
    refuse(exchange, refusal) {
      if (exchange.done) return;
      over(exchange);
      exchange.upstream?.cancel(exchange);
      const { reason } = refusal;
      const id = createDecisionId();
      // Callers whose clock is off correct themselves by the date.
      const date = createField("date", new Date(options.now()).toUTCString());
      const { status, fields, body } = refusalMessage(exchange.head, reason, { decision: id }, [
        createField("x-countersign-decision", id),
        date,
        noStore,
      ]);
      exchange.status = reasonStatus[reason];
      metrics.refused(exchange, reason, exchange.status);
      record(exchange, id, "deny", reason, refusal.detail ?? "");
      const cut = exchange.answered;
      exchange.answered = true;
      // Before the answer: it may bring the next request of the connection.
      exchange.done = true;
      if (cut) {
        // Too late for a status: a cut answer must not look like a whole one.
        exchange.front.abort(exchange, reason);
        return;
      }
      exchange.front.sendHead(exchange, status, fields, body.length, body.length === 0);
      if (body.length > 0) exchange.front.sendData(exchange, body, true);
    },

    malformed(peer, error) {
      metrics.connectionRefused("malformed");
      options.log.info({ peer: peer.spiffeId ?? peer.address, reason: "malformed", detail: error.message }, "malformed request");
    },

    completed(exchange) {
      exchange.done = true;
      over(exchange);
      metrics.completed(exchange, performance.now());
      recordAllowed(exchange, "");
    },

    cancelled(exchange) {
      exchange.done = true;
      over(exchange);
      metrics.cancelled(exchange);
      if (exchange.forwardedAt > 0) recordAllowed(exchange, "cancelled by the caller");
    },
  };
}
