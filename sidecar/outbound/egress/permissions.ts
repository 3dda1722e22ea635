/**
 * What the policies of the caller's own roles say of a call out of the mesh: the action `external:Connect` on the host, decided
 * at the caller, because nobody else is there to decide.
 *
 * No role is assumed for such a call, so all of the workload's roles speak at once: one Deny refuses, one Allow is enough, and
 * each role is held to its own boundary. A host that is listed without `policy: required` is allowed by being listed, as by a
 * resource policy that names the session: only a Deny, or a policy that cannot be evaluated, goes before that.
 */
import type { RolePermissions } from "../../../common/gen/mesh/v1/mesh.ts";
import { formatSessionArn, roleFromArn } from "../../../common/policy/arn.ts";
import { compilePolicies, type CompiledPolicies } from "../../../common/policy/compile.ts";
import type { Decision, DenyReason, StatementReference } from "../../../common/policy/decision.ts";
import { evaluate } from "../../../common/policy/evaluate.ts";
import { externalConnect, formatHostArn } from "../../../common/policy/external.ts";
import type { RequestContext } from "../../../common/policy/request-context.ts";
import { modeFromString, policySourceFromJson } from "../../inbound/policy-source.ts";
import type { Protocol } from "../../detect/protocol.ts";

/** The workload that calls. */
export interface EgressCaller {
  readonly spiffeId: string;
  readonly trustDomain: string;
  readonly namespace: string;
}

export interface EgressRequest {
  /** Name or address. */
  readonly host: string;
  readonly port: number;
  readonly protocol: Protocol;
}

export interface EgressVerdict {
  /** Undefined for a call that may be made. */
  readonly denied: DenyReason | undefined;
  /** What allowed or denied it; undefined where nothing speaks of it. */
  readonly statement: StatementReference | undefined;
  /** What would have denied it had the policies in audit mode been enforced. */
  readonly wouldDeny: DenyReason | undefined;
}

export interface EgressPermissions {
  /** `listed`: whether the host is allowed without a policy. */
  judge(request: EgressRequest, listed: boolean, now: number): EgressVerdict;
}

interface Role {
  readonly arn: string;
  readonly policies: CompiledPolicies;
  readonly boundary: CompiledPolicies | undefined;
  readonly tags: ReadonlyMap<string, string>;
}

/** A workload that has no role, or none that says anything of calls out of the mesh. */
const noRole: Role = { arn: "", policies: compilePolicies([]), boundary: undefined, tags: new Map() };
const sessionName = "egress";

export function compileEgressPermissions(messages: readonly RolePermissions[], caller: EgressCaller): EgressPermissions {
  const roles = messages.length === 0 ? [noRole] : messages.map(compileRole);
  const byListing = listingPolicy(caller);

  function decide(role: Role, request: EgressRequest, listed: boolean, now: number): Decision {
    const principal = { sessionArn: byListing.sessionArn, roleArn: role.arn, spiffeId: caller.spiffeId, trustDomain: caller.trustDomain };
    return evaluate(
      {
        action: externalConnect,
        resource: formatHostArn(caller.trustDomain, caller.namespace, request.host),
        principal,
        context: contextOf(request, role, caller, now),
      },
      { identity: role.policies, boundary: role.boundary, resource: listed ? byListing.policies : undefined },
      caller.trustDomain,
    );
  }

  return {
    judge(request, listed, now) {
      // As if it were listed, so that nothing but a Deny, or what may be one, is left to refuse it.
      const barred = roles.map((role) => decide(role, request, true, now));
      const refusal = barred.find(({ decision }) => decision === "deny");
      if (refusal !== undefined) return refusedBy(refusal);
      const [first] = barred;
      const wouldDeny = barred.find((each) => each.wouldDeny !== undefined)?.wouldDeny?.reason;
      if (listed) return { denied: undefined, statement: first?.statement, wouldDeny };
      const granted = roles.map((role) => decide(role, request, false, now));
      const allowing = granted.filter(({ decision }) => decision === "allow");
      const [allow] = allowing;
      // A boundary is what stands in the way of something that was allowed, and so the better answer.
      if (allow === undefined) return refusedBy(granted.find(({ reason }) => reason === "boundary") ?? granted[0]);
      const lost = allowing.every((each) => each.wouldDeny !== undefined) ? allow.wouldDeny?.reason : undefined;
      return { denied: undefined, statement: allow.statement, wouldDeny: wouldDeny ?? lost };
    },
  };
}

function refusedBy(decision: Decision | undefined): EgressVerdict {
  return { denied: (decision?.reason ?? "no-allow") as DenyReason, statement: decision?.statement, wouldDeny: undefined };
}

function compileRole({ roleArn, policies, permissionsBoundary, tags }: RolePermissions): Role {
  roleFromArn(roleArn);
  return {
    arn: roleArn,
    policies: compilePolicies(
      policies.map(({ name, document, mode, statementIndexes }) =>
        policySourceFromJson(name, document, "identity", modeFromString(mode), statementIndexes),
      ),
    ),
    boundary:
      permissionsBoundary === ""
        ? undefined
        : compilePolicies([policySourceFromJson("permissions-boundary", permissionsBoundary, "identity", "enforce")]),
    tags: new Map(Object.entries(tags).map(([key, value]) => [key.toLowerCase(), value])),
  };
}

/** As evaluation takes it: an Allow that names the session is limited by no boundary. */
function listingPolicy({ trustDomain, namespace }: EgressCaller): { readonly sessionArn: string; readonly policies: CompiledPolicies } {
  const sessionArn = formatSessionArn({ trustDomain, namespace, role: sessionName, session: sessionName });
  const Statement = { Effect: "Allow", Principal: { AWS: sessionArn }, Action: externalConnect, Resource: "*" };
  const text = JSON.stringify({ Version: "2012-10-17", Statement });
  return { sessionArn, policies: compilePolicies([policySourceFromJson("external-service", text, "resource", "enforce")]) };
}

function contextOf(request: EgressRequest, role: Role, caller: EgressCaller, now: number): RequestContext {
  return {
    get(key) {
      switch (key) {
        case "aws:principalarn":
          return role.arn === "" ? undefined : role.arn;
        case "aws:principaltype":
          return role.arn === "" ? "Anonymous" : "AssumedRole";
        case "aws:currenttime":
          return new Date(now).toISOString();
        case "aws:epochtime":
          return String(Math.floor(now / 1000));
        case "aws:securetransport":
          // What the application encrypts itself; nobody else does.
          return String(request.protocol === "tls");
        case "http:host":
          return request.protocol === "http1" || request.protocol === "h2" ? request.host : undefined;
        case "tcp:port":
          return String(request.port);
        case "mesh:sourceidentity":
          return caller.spiffeId;
        case "mesh:sourcenamespace":
          return caller.namespace;
        case "mesh:sourcetrustdomain":
          return caller.trustDomain;
        default:
          return key.startsWith(tagPrefix) ? role.tags.get(key.slice(tagPrefix.length)) : undefined;
      }
    },
  };
}

const tagPrefix = "aws:principaltag/";
