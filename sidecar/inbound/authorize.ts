/**
 * Step three of an inbound call: may this caller do this? The request becomes an action on a resource by the service's
 * operations, and the policies decide. What comes out of an allow is a `Permit`, and forwarding cannot be called without
 * one; there is no other way to make one.
 */
import { evaluate } from "../../common/policy/evaluate.ts";
import type { Decision } from "../../common/policy/decision.ts";
import type { MatchedOperation } from "../../common/policy/operations.ts";
import type { RequestContext } from "../../common/policy/request-context.ts";
import type { Caller } from "./caller.ts";
import type { Exchange } from "./exchange.ts";
import type { Reason } from "../reason.ts";
import { isHttp } from "../service-protocol.ts";
import { grpcMethodOf } from "./grpc-method.ts";
import type { ServedPort, ServedService } from "./served.ts";

declare const permitBrand: unique symbol;

/** That a decision lets this exchange pass. */
export interface Permit {
  readonly [permitBrand]: true;
  readonly exchange: Exchange;
  readonly port: ServedPort;
  readonly caller: Caller;
  readonly authorization: Authorization;
}

/** What was asked and what was decided. */
export interface Authorization {
  readonly action: string;
  readonly resource: string;
  readonly decision: Decision | undefined;
  /** Why a request is, or in audit mode would have been, refused; undefined for a plain allow. */
  readonly denied: Reason | undefined;
  /** Of the snapshot that decided. */
  readonly revision: number;
}

/** Under what is decided. */
export interface PolicyState {
  readonly trustDomain: string;
  readonly revision: number;
}

export type AuthorizationOutcome = { readonly permit: Permit } | { readonly permit: undefined; readonly authorization: Authorization };

const wantOfAllow: ReadonlySet<Reason> = new Set(["no-allow", "no-identity-allow", "no-resource-allow"]);

/** Evaluates the policies of `caller` and `service` for the exchange; `context` must be bound to it. */
export function authorize(
  exchange: Exchange,
  service: ServedService,
  caller: Caller,
  context: RequestContext,
  { trustDomain, revision }: PolicyState,
): AuthorizationOutcome {
  const authorization = { ...decide(exchange, service, caller, context, trustDomain), revision };
  if (authorization.denied !== undefined && isEnforced(authorization.denied, exchange, service))
    return { permit: undefined, authorization };
  return { permit: { exchange, port: exchange.port, caller, authorization } as Permit };
}

/** Plaintext that a permissive port takes has no identity that a policy could allow; whatever else refuses everybody refuses it too. */
function isEnforced(denied: Reason, { peer }: Exchange, { enforce }: ServedService): boolean {
  return enforce && (peer.spiffeId !== undefined || !wantOfAllow.has(denied));
}

function decide(
  exchange: Exchange,
  service: ServedService,
  caller: Caller,
  context: RequestContext,
  trustDomain: string,
): Omit<Authorization, "revision"> {
  const { port } = exchange;
  if (!port) throw new Error("a call is addressed before it is authorised");
  const operation = operationOf(exchange, service, port);
  if (!operation) {
    const action = `${service.name}:${exchange.tunnel && exchange.protocol === "" ? "Connect" : exchange.head.method}`;
    return { action, resource: service.arnPrefix + exchange.path, decision: undefined, denied: "undeclared-operation" };
  }
  const { action } = operation;
  const resource = service.arnPrefix + operation.resource;
  const decision = evaluate({ action, resource, principal: caller.principal, context }, caller.policies, trustDomain);
  return { action, resource, decision, denied: decision.decision === "allow" ? undefined : denialOf(decision) };
}

/**
 * What a call does. A port that is declared as HTTP lets nobody tunnel past the judgement of single calls, and one that is
 * declared as TCP takes no calls.
 */
function operationOf(
  exchange: Exchange,
  { name, operations }: ServedService,
  { port, protocol }: ServedPort,
): MatchedOperation | undefined {
  const { head, path } = exchange;
  if (exchange.tunnel && exchange.protocol === "") {
    return isHttp(protocol) ? undefined : { action: `${name}:Connect`, resource: `port/${port}` };
  }
  if (protocol === "tcp") return undefined;
  // An upgrade is a GET of HTTP/1.1 (RFC 8441 5), and operations are declared as applications know them.
  const method = exchange.protocol === "" ? head.method : "GET";
  const grpc = grpcMethodOf(exchange, protocol);
  if (!grpc) return operations.match(method, path);
  return operations.declared(method, path) ?? { action: `${name}:${grpc.method}`, resource: `${grpc.service}/${grpc.method}` };
}

function denialOf({ reason }: Decision): Reason {
  if (reason === "identity-policy" || reason === "resource-policy" || reason === "both-policies") {
    throw new TypeError(`a denial for the reason ${reason}`);
  }
  return reason;
}
