/**
 * What is the same for every request of one session to one service: the principal, the policies that apply, and the
 * lines that tell the application who calls. Made on the first request, and again when a snapshot changes the policies.
 */
import { createField, type Field } from "../../common/http/field.ts";
import { compilePolicies, type CompiledPolicies } from "../../common/policy/compile.ts";
import { policySourceFromJson } from "./policy-source.ts";
import type { PolicySet } from "../../common/policy/evaluate.ts";
import type { Principal } from "../../common/policy/principal.ts";
import type { Session } from "../../common/session/claims.ts";
import type { Peer } from "./peer.ts";
import type { Exchange } from "./exchange.ts";
import type { RoleState, Served, ServedService } from "./served.ts";

export interface Caller {
  /** Empty for a call without a session. */
  readonly sessionArn: string;
  readonly principal: Principal;
  readonly policies: PolicySet;
  readonly roleTags: ReadonlyMap<string, string> | undefined;
  /** What tells the application who calls. */
  readonly identityFields: readonly Field[];
}

const noPolicies = compilePolicies([]);

/** `arn:mesh:sts:<trust domain>:<namespace>:assumed-role/<role>/<session name>` */
export function sessionArnOf(session: Session): string {
  const [, , , trustDomain = "", namespace = "", resource = ""] = session.roleArn.split(":");
  return `arn:mesh:sts:${trustDomain}:${namespace}:assumed-role/${resource.slice("role/".length)}/${session.sessionName}`;
}

/** `role` is undefined where the session's role grants nothing at this service. */
export function createSessionCaller(session: Session, peer: Peer, service: ServedService, role: RoleState | undefined): Caller {
  const sessionArn = sessionArnOf(session);
  const policies: {
    identity: CompiledPolicies;
    resource?: CompiledPolicies;
    boundary?: CompiledPolicies;
    session?: CompiledPolicies;
  } = { identity: role?.policies ?? noPolicies };
  if (service.resourcePolicy) policies.resource = service.resourcePolicy;
  if (role?.boundary) policies.boundary = role.boundary;
  if (session.sessionPolicy !== undefined) {
    policies.session = compilePolicies([policySourceFromJson("session-policy", session.sessionPolicy, "identity", "enforce")]);
  }
  return {
    sessionArn,
    // The signer's, also where another workload bears the signature.
    principal: { sessionArn, roleArn: session.roleArn, spiffeId: session.spiffeId, trustDomain: session.trustDomain },
    policies,
    roleTags: role?.tags,
    identityFields: [createField("x-countersign-principal", sessionArn), ...peerFields(peer, service)],
  };
}

/** A caller known by its mTLS identity alone, as `basic` services take it: no role speaks for it, only the service's own policy can. */
export function createPeerCaller(peer: Peer, service: ServedService): Caller {
  return {
    sessionArn: "",
    principal: { sessionArn: "", roleArn: "", spiffeId: peer.spiffeId ?? "", trustDomain: peer.trustDomain },
    policies: service.resourcePolicy ? { identity: noPolicies, resource: service.resourcePolicy } : { identity: noPolicies },
    roleTags: undefined,
    identityFields: peerFields(peer, service),
  };
}

/** Ours, and Envoy's form of the same, which applications written for other meshes read. */
function peerFields(peer: Peer, service: ServedService): readonly Field[] {
  if (peer.spiffeId === undefined) return [];
  return [
    createField("x-countersign-peer", peer.spiffeId),
    createField("x-forwarded-client-cert", `By=${service.ownId};URI=${peer.spiffeId}`),
  ];
}

/** Callers by session, service and snapshot; WeakMaps, so that they go when their session or snapshot does. */
export function createCallers(): (exchange: Exchange, service: ServedService, served: Served) => Caller {
  let callers = new WeakMap<object, WeakMap<object, Caller>>();
  let of: Served | undefined;

  return (exchange, service, served) => {
    if (of !== served) {
      of = served;
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
  };
}
