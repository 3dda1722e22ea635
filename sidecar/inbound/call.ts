/**
 * The way of one inbound call, step by step: address → authenticate → (whole body) → authorize → forward. Each step either
 * goes on or ends in a refusal, and `respond.ts` is the only place that turns a refusal into a status.
 *
 * Hot path: synchronous from the head to the application's socket, unless the caller's session has to be resolved first.
 */
import { performance } from "node:perf_hooks";
import type { RequestContext } from "../../common/policy/request-context.ts";
import { SigV4Error } from "../../common/sigv4/error.ts";
import { collectedBytes } from "../body.ts";
import type { CallSink } from "../front/front.ts";
import { address } from "./address.ts";
import { bodyMatches, signatureRefusal, unsignedCall, type Authenticator } from "./authenticate.ts";
import { authorize, type AuthorizationOutcome } from "./authorize.ts";
import { createCallers } from "./caller.ts";
import { createConcurrency } from "./concurrency.ts";
import { createExchange, type Exchange } from "./exchange.ts";
import type { Forwarder } from "./forward.ts";
import { finish, keep, keepUnknown, pass, startStreaming } from "./intake.ts";
import type { Peer } from "./peer.ts";
import { withoutMeshSignature } from "./plaintext-credentials.ts";
import type { PlaintextCallers } from "./plaintext-callers.ts";
import type { Reason } from "../reason.ts";
import { bodyTaken } from "../upstream/upstream.ts";
import type { Responder } from "./respond.ts";
import { portOf, type Served, type ServedPort, type ServedService } from "./served.ts";
import { SessionRefusedError, type SessionKey, type Sessions } from "./sessions.ts";

export interface InboundCallOptions {
  readonly served: () => Served | undefined;
  readonly trustDomain: string;
  readonly authenticator: Authenticator;
  readonly sessions: Sessions;
  readonly context: RequestContext & { bind(exchange: Exchange): void };
  readonly forwarder: Forwarder;
  readonly responder: Responder;
  readonly plaintext: PlaintextCallers;
  /** Whether this process can take no more. */
  readonly shedding: () => boolean;
  /** Longest body that is kept whole to be hashed. */
  readonly maxHashedBytes: () => number;
}

export interface InboundCalls {
  /** Takes the calls of one client. */
  accept(peer: Peer): CallSink<Exchange>;
  /**
   * A snapshot came while the call was under way: whoever may not make it any more is cut off, however long ago it was allowed.
   * A session that expires meanwhile does not end its calls; one that is revoked does.
   */
  recheck(exchange: Exchange): void;
  /** From time to time: refuses a call whose body has to be whole and does not come to its end. */
  expire(exchange: Exchange): void;
}

/** How long a body may take that is kept until it is whole. */
const bodyTimeoutMs = 60_000;

export function createInboundCalls(options: InboundCallOptions): InboundCalls {
  const { authenticator, sessions, context, forwarder, responder } = options;
  const callers = createCallers();
  const concurrency = createConcurrency();

  function begin(exchange: Exchange): void {
    const served = options.served();
    if (!served) {
      responder.refuse(exchange, { reason: "not-ready" });
      return;
    }
    if (options.shedding()) {
      responder.refuse(exchange, { reason: "overloaded", detail: "this sidecar runs out of memory, or of time" });
      return;
    }
    const misaddressed = address(exchange, served);
    if (misaddressed) {
      responder.refuse(exchange, misaddressed);
      return;
    }
    if (exchange.peer.spiffeId === undefined) acceptPlaintext(exchange);
    else authenticate(exchange, served, undefined);
  }

  /** A client that the mesh knows nothing of, at a port that still takes those. */
  function acceptPlaintext(exchange: Exchange): void {
    const { peer, port, service } = exchange;
    if (!service || !port?.permissive) {
      responder.refuse(exchange, { reason: "plaintext-refused", detail: `port ${port?.port} takes no plaintext` });
      return;
    }
    if (exchange.tunnel && exchange.protocol === "" && exchange.spoken !== "tcp") {
      // What is inside would be judged by nobody, and might be the very calls that are denied.
      responder.refuse(exchange, { reason: "plaintext-refused", detail: "CONNECT in plaintext" });
      return;
    }
    exchange.query = withoutMeshSignature(exchange.query);
    exchange.authentication = unsignedCall;
    options.plaintext.seen(peer.address, service.scope, port.port);
  }

  function authenticate(exchange: Exchange, served: Served, resolved: SessionKey | undefined): void {
    const { service } = exchange;
    if (!service) throw new Error("a call is addressed before it is authenticated");
    const outcome = authenticator(exchange, service, served, resolved);
    switch (outcome.kind) {
      case "refused":
        responder.refuse(exchange, outcome.refusal);
        return;
      case "unresolved": {
        const { token, scopeService, date } = outcome;
        sessions.resolve(token, scopeService, date).then(
          (key) => {
            if (exchange.done) return;
            authenticate(exchange, options.served() ?? served, key);
            advance(exchange);
            // What was held back while nobody knew the signer's key.
            if (exchange.upstream === undefined && !exchange.streamed) bodyTaken(exchange);
          },
          (error: unknown) => {
            const reason = error instanceof SessionRefusedError ? error.reason : "session-unresolved";
            if (!exchange.done) responder.refuse(exchange, { reason, detail: String(error) });
          },
        );
        return;
      }
      case "needs-body":
        exchange.needsBody = true;
        if (tooLong(exchange)) responder.refuse(exchange, { reason: "body-too-large" });
        return;
      case "authenticated":
        exchange.needsBody = false;
        exchange.authentication = outcome.authentication;
        if (outcome.authentication.payload.mode === "hashed" && !exchange.tunnel && tooLong(exchange)) {
          responder.refuse(exchange, { reason: "body-too-large" });
        }
    }
  }

  /** Of a body that has to be whole. */
  function tooLong({ head, body }: Exchange): boolean {
    return Math.max(head.contentLength, body.length) > options.maxHashedBytes();
  }

  /** Goes on as far as what has come allows. */
  function advance(exchange: Exchange): void {
    if (exchange.done || exchange.streamed || exchange.authorization) return;
    if (exchange.needsBody && exchange.bodyEnded) {
      const served = options.served();
      if (served) authenticate(exchange, served, undefined);
    }
    const { authentication, service } = exchange;
    if (exchange.done || !authentication || !service) return;
    if (exchange.tunnel || authentication.payload.mode !== "hashed") {
      stream(exchange, service);
      return;
    }
    if (!exchange.bodyEnded) return;
    if (!bodyMatches(authentication.payload, collectedBytes(exchange.body))) {
      responder.refuse(exchange, { reason: "body-mismatch", detail: "the body is not the one that was signed" });
      return;
    }
    decide(exchange, service);
  }

  function stream(exchange: Exchange, service: ServedService): void {
    const { authentication } = exchange;
    if (!authentication) throw new Error("a body is streamed once its head is authenticated");
    guarded(exchange, () => startStreaming(exchange, authentication));
    if (!exchange.done) decide(exchange, service);
  }

  /** Runs what verifies parts of a body, and refuses the call for one that does not hold. */
  function guarded(exchange: Exchange, verify: () => void): void {
    try {
      verify();
    } catch (error) {
      if (!(error instanceof SigV4Error)) throw error;
      responder.refuse(exchange, signatureRefusal(error));
    }
  }

  /** Authenticated, and whole where it has to be: what remains is whether the caller may. */
  function decide(exchange: Exchange, service: ServedService): void {
    const outcome = judge(exchange, service);
    if (outcome.permit) {
      exchange.authorization = outcome.permit.authorization;
      if (!admit(exchange, service)) return;
      forwarder.forward(outcome.permit);
    } else {
      exchange.authorization = outcome.authorization;
      responder.refuse(exchange, { reason: outcome.authorization.denied ?? "no-allow" });
    }
  }

  /** Counts the call as one of its service's, where there is a limit to them. False when it has been refused. */
  function admit(exchange: Exchange, { scope, maxConcurrentRequests: limit }: ServedService): boolean {
    if (limit === 0) return true;
    exchange.admission = concurrency.enter(scope, limit);
    if (exchange.admission) return true;
    responder.refuse(exchange, { reason: "overloaded", detail: `${limit} calls are with the application already` });
    return false;
  }

  function judge(exchange: Exchange, service: ServedService): AuthorizationOutcome {
    const served = options.served();
    if (!served) throw new Error("a call is decided under a snapshot");
    const caller = callers(exchange, service, served);
    exchange.caller = caller;
    context.bind(exchange);
    return authorize(exchange, service, caller, context, { trustDomain: options.trustDomain, revision: served.revision });
  }

  function recheck(exchange: Exchange): void {
    const served = options.served();
    const { service, port } = exchange;
    if (exchange.done || !served || !service || !port) return;
    const now = served.byScope.get(service.scope);
    exchange.port = now && portOf(now, port.port);
    if (!now || !exchange.port) {
      responder.refuse(exchange, { reason: "wrong-destination", detail: `${service.scope} is not served here any more` });
      return;
    }
    exchange.service = now;
    const reason = barred(exchange, now, exchange.port, served) ?? deniedNow(exchange, now);
    if (reason) responder.refuse(exchange, { reason, detail: "while the call was under way" });
  }

  /** Of a call that was authenticated: why it would not be now. */
  function barred({ peer, authentication }: Exchange, { tier }: ServedService, port: ServedPort, served: Served): Reason | undefined {
    if (!authentication) return undefined;
    if (peer.spiffeId === undefined) return port.permissive ? undefined : "plaintext-refused";
    const { session } = authentication;
    if (!session) return tier.signatureRequired ? "missing-signature" : undefined;
    return session.issuedAtSeconds < (served.revokedRoles.get(session.roleArn) ?? 0) ? "session-revoked" : undefined;
  }

  /** Of a call that was allowed: why it would not be now. */
  function deniedNow(exchange: Exchange, service: ServedService): Reason | undefined {
    if (!exchange.authorization) return undefined;
    const outcome = judge(exchange, service);
    if (outcome.permit) return undefined;
    exchange.authorization = outcome.authorization;
    return outcome.authorization.denied ?? "no-allow";
  }

  const accept = (peer: Peer): CallSink<Exchange> => ({
    begin: (front, slot, head, spoken, protocol) => createExchange(front, slot, peer, head, spoken, protocol),
    head: begin,
    body(exchange, chunk) {
      if (exchange.done) return;
      if (exchange.streamed) guarded(exchange, () => pass(exchange, chunk));
      else if (exchange.needsBody || exchange.authentication?.payload.mode === "hashed") {
        if (!keep(exchange, chunk, options.maxHashedBytes())) responder.refuse(exchange, { reason: "body-too-large" });
      } else keepUnknown(exchange, chunk);
    },
    bodyEnd(exchange, trailers) {
      exchange.bodyEnded = true;
      if (exchange.done) return;
      if (exchange.streamed) guarded(exchange, () => finish(exchange, trailers));
      else {
        exchange.trailers = trailers;
        if (exchange.authentication?.payload.mode === "hashed" && !exchange.tunnel) advance(exchange);
      }
    },
    readEnd(exchange) {
      advance(exchange);
      return exchange.waiting && !exchange.done;
    },
    drained: (exchange) => exchange.upstream?.resume(exchange),
    cancel(exchange) {
      if (exchange.done) return;
      responder.cancelled(exchange);
      exchange.upstream?.cancel(exchange);
    },
    malformed: (error) => responder.malformed(peer, error),
  });

  function expire(exchange: Exchange): void {
    if (exchange.done || exchange.bodyEnded || exchange.streamed || performance.now() - exchange.startedAt < bodyTimeoutMs) return;
    responder.refuse(exchange, { reason: "request-timeout", detail: `no whole body within ${bodyTimeoutMs / 1000} s` });
  }

  return { accept, recheck, expire };
}
