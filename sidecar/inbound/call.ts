/**
 * The way of one inbound call, step by step: address → authenticate → (whole body) → authorize → forward. Each step either
 * goes on or ends in a refusal, and `respond.ts` is the only place that turns a refusal into a status.
 *
 * Hot path: synchronous from the head to the application's socket, unless the caller's session has to be resolved first.
 */
import { normalizeAuthority, normalizeTarget } from "../../common/http/request-target.ts";
import type { RequestContext } from "../../common/policy/request-context.ts";
import { bodyMatches, type Authenticator } from "./authenticate.ts";
import { authorize } from "./authorize.ts";
import { createPeerCaller, createSessionCaller, type Caller } from "./caller.ts";
import type { Exchange } from "./exchange.ts";
import type { Forwarder } from "./forward.ts";
import type { Refusal } from "../reason.ts";
import type { Responder } from "./respond.ts";
import type { Served, ServedService } from "./served.ts";
import { SessionRefusedError, type SessionKey, type Sessions } from "./sessions.ts";

export interface InboundCallOptions {
  readonly served: () => Served | undefined;
  readonly trustDomain: string;
  readonly authenticator: Authenticator;
  readonly sessions: Sessions;
  readonly context: RequestContext & { bind(exchange: Exchange): void };
  readonly forwarder: Forwarder;
  readonly responder: Responder;
}

export interface InboundCalls {
  /** The head has arrived. */
  begin(exchange: Exchange): void;
  /** The body is whole; an empty buffer for none. */
  complete(exchange: Exchange, body: Buffer): void;
}

export function createInboundCalls(options: InboundCallOptions): InboundCalls {
  const { authenticator, sessions, context, forwarder, responder } = options;

  /** Finds the service that the call is for. */
  function address(exchange: Exchange, served: Served): Refusal | undefined {
    const { head, peer } = exchange;
    try {
      const { host } = normalizeAuthority(head.authority);
      const service = served.byHost.get(host);
      if (!service) return { reason: "wrong-destination", detail: `no service here answers for ${host}` };
      if (peer.serverName !== "" && peer.serverName !== host && served.byHost.get(peer.serverName) !== service) {
        return { reason: "wrong-destination", detail: `TLS asked for ${peer.serverName}, the request for ${host}` };
      }
      const target = normalizeTarget(head.target, service);
      exchange.host = host;
      exchange.service = service;
      exchange.path = target.path;
      exchange.query = target.query;
      return undefined;
    } catch (error) {
      return { reason: "malformed-target", detail: error instanceof Error ? error.message : String(error) };
    }
  }

  function begin(exchange: Exchange): void {
    const served = options.served();
    if (!served) {
      responder.refuse(exchange, { reason: "not-ready" });
      return;
    }
    if (exchange.head.method === "CONNECT") {
      responder.refuse(exchange, { reason: "upgrade-unsupported" });
      return;
    }
    const misaddressed = address(exchange, served);
    if (misaddressed) {
      responder.refuse(exchange, misaddressed);
      return;
    }
    authenticate(exchange, served, undefined);
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
            if (!exchange.done) authenticate(exchange, options.served() ?? served, key);
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
        return;
      case "authenticated":
        exchange.needsBody = false;
        exchange.authentication = outcome.authentication;
        if (exchange.body !== undefined) decide(exchange, service);
    }
  }

  function complete(exchange: Exchange, body: Buffer): void {
    if (exchange.done) return;
    exchange.body = body;
    if (exchange.needsBody) {
      const served = options.served();
      if (served) authenticate(exchange, served, undefined);
      return;
    }
    if (exchange.authentication && exchange.service) decide(exchange, exchange.service);
  }

  /** Authenticated and whole: what remains is whether the body is the signed one, and whether the caller may. */
  function decide(exchange: Exchange, service: ServedService): void {
    const served = options.served();
    const { authentication, body } = exchange;
    if (!served || !authentication || !body) throw new Error("a call is decided once it is authenticated and whole");
    if (!bodyMatches(authentication.payload, body)) {
      responder.refuse(exchange, { reason: "body-mismatch", detail: "the body is not the one that was signed" });
      return;
    }
    const caller = callerOf(exchange, service, served);
    exchange.caller = caller;
    context.bind(exchange);
    const outcome = authorize(exchange, service, caller, context, options.trustDomain);
    if (outcome.permit) {
      exchange.authorization = outcome.permit.authorization;
      forwarder.forward(outcome.permit, body);
    } else {
      exchange.authorization = outcome.authorization;
      responder.refuse(exchange, { reason: outcome.authorization.denied ?? "no-allow" });
    }
  }

  return { begin, complete };
}

/** Callers by session, service and snapshot; WeakMaps, so that they go when their session or snapshot does. */
let callers = new WeakMap<object, WeakMap<object, Caller>>();
let callersOf: Served | undefined;

function callerOf(exchange: Exchange, service: ServedService, served: Served): Caller {
  if (callersOf !== served) {
    callersOf = served;
    callers = new WeakMap();
  }
  const session = exchange.authentication?.session;
  const key = session ?? exchange.peer;
  let ofService = callers.get(service);
  if (!ofService) {
    ofService = new WeakMap();
    callers.set(service, ofService);
  }
  let caller = ofService.get(key);
  if (!caller) {
    caller = session
      ? createSessionCaller(session, exchange.peer, service, served.roles.get(session.roleArn))
      : createPeerCaller(exchange.peer, service);
    ofService.set(key, caller);
  }
  return caller;
}
