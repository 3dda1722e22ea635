/**
 * Evaluation in AWS's order (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html). Hot path: a
 * decision makes one small object for each kind of policy and the decision itself; it never throws, and what fails denies.
 *
 * The caller vouches for its inputs: that the principal holds the session, that the action and the resource are those of the request that
 * is going to be forwarded, and that the context gives a header only if it was signed.
 */
import type { CompiledPolicies, CompiledStatement } from "./compile.ts";
import type { AllowReason, Decision, DenyReason, StatementReference } from "./decision.ts";
import type { Principal } from "./principal.ts";
import type { RequestContext } from "./request-context.ts";
import { visitStatements, type Search } from "./statement-index.ts";

export interface AuthorizationRequest {
  /** `orders:GetItem` */
  readonly action: string;
  /** Full ARN. */
  readonly resource: string;
  readonly principal: Principal;
  readonly context: RequestContext;
}

export interface PolicySet {
  /** Permission policies of the caller's role. */
  readonly identity: CompiledPolicies;
  readonly boundary?: CompiledPolicies | undefined;
  readonly session?: CompiledPolicies | undefined;
  /** Of the service that is called. */
  readonly resource?: CompiledPolicies | undefined;
  /** Each has to allow by itself. */
  readonly guardrails?: readonly CompiledPolicies[] | undefined;
}

/** What one set of policies says to a request. */
export interface Scan extends Search {
  readonly principal: Principal;
  /** Whether policies in audit mode count. */
  readonly audited: boolean;
  deny: CompiledStatement | undefined;
  allow: CompiledStatement | undefined;
  /** An Allow that names the session itself. */
  sessionAllow: CompiledStatement | undefined;
  evaluated: number;
}

interface Outcome {
  readonly decision: "allow" | "deny";
  readonly reason: AllowReason | DenyReason;
  readonly statement: StatementReference | undefined;
  readonly evaluated: number;
  readonly error: unknown;
}

/**
 * Decides a request. `localTrustDomain` is that of the service: a caller of another needs an Allow of both sides.
 * Policies in audit mode change nothing but `wouldDeny`.
 */
export function evaluate(request: AuthorizationRequest, policies: PolicySet, localTrustDomain: string): Decision {
  const enforced = attempt(request, policies, localTrustDomain, false);
  const { decision, reason, statement, error } = enforced;
  if (decision === "allow" && isAudited(policies)) {
    const audited = attempt(request, policies, localTrustDomain, true);
    const evaluated = enforced.evaluated + audited.evaluated;
    const wouldDeny = audited.decision === "deny" ? { reason: audited.reason as DenyReason, statement: audited.statement } : undefined;
    return { decision, reason, statement, evaluated, wouldDeny, error };
  }
  return { decision, reason, statement, evaluated: enforced.evaluated, wouldDeny: undefined, error };
}

function isAudited({ identity, boundary, session, resource, guardrails }: PolicySet): boolean {
  if (identity.audited || boundary?.audited === true || session?.audited === true || resource?.audited === true) return true;
  return guardrails !== undefined && guardrails.some(({ audited }) => audited);
}

function attempt(request: AuthorizationRequest, policies: PolicySet, localTrustDomain: string, audited: boolean): Outcome {
  try {
    return decide(request, policies, localTrustDomain, audited);
  } catch (error) {
    return { decision: "deny", reason: "evaluation-failed", statement: undefined, evaluated: 0, error };
  }
}

function decide(request: AuthorizationRequest, policies: PolicySet, localTrustDomain: string, audited: boolean): Outcome {
  const action = request.action.toLowerCase();
  const service = action.slice(0, action.indexOf(":"));
  const { resource, principal, context } = request;
  let evaluated = 0;
  let invalid: Outcome | undefined;
  let denied: CompiledStatement | undefined;

  // Undefined if the set is absent, which for one in audit mode alone it is while only enforced policies count.
  const scanOf = (set: CompiledPolicies | undefined): Scan | undefined => {
    if (set === undefined || !(set.enforced || audited)) return undefined;
    const scan = createScan(action, service, resource, principal, context, audited);
    for (const policy of set.invalid) {
      if (audited || !policy.audit) invalid ??= deny("invalid-policy", policy.reference, 0, policy.error);
    }
    scanPolicies(set, scan);
    evaluated += scan.evaluated;
    denied ??= scan.deny;
    return scan;
  };

  const identity = scanOf(policies.identity);
  const resourcePolicy = scanOf(policies.resource);
  const boundary = scanOf(policies.boundary);
  const session = scanOf(policies.session);
  let guardrailsAllow = true;
  if (policies.guardrails !== undefined) {
    for (const guardrail of policies.guardrails) {
      const scan = scanOf(guardrail);
      if (scan !== undefined && scan.allow === undefined) guardrailsAllow = false;
    }
  }

  if (invalid !== undefined) return invalid;
  if (denied !== undefined) return deny("explicit-deny", denied.reference, evaluated, undefined);
  if (!guardrailsAllow) return deny("guardrail", undefined, evaluated, undefined);

  const allowed = { identity, resource: resourcePolicy, boundary, session, evaluated };
  return principal.trustDomain === localTrustDomain ? decideLocal(allowed) : decideForeign(allowed);
}

/** What the sets say where nothing denies; undefined for a set that there is not. */
interface Allowed {
  readonly identity: Scan | undefined;
  readonly resource: Scan | undefined;
  readonly boundary: Scan | undefined;
  readonly session: Scan | undefined;
  readonly evaluated: number;
}

function decideLocal(allowed: Allowed): Outcome {
  const { identity, resource, evaluated } = allowed;
  if (resource?.sessionAllow !== undefined) return allow("resource-policy", resource.sessionAllow.reference, evaluated);
  if (identity?.allow !== undefined) return limit(allowed) ?? allow("identity-policy", identity.allow.reference, evaluated);
  if (resource?.allow !== undefined) return limit(allowed) ?? allow("resource-policy", resource.allow.reference, evaluated);
  return deny("no-allow", undefined, evaluated, undefined);
}

function decideForeign(allowed: Allowed): Outcome {
  const { identity, resource, evaluated } = allowed;
  if (identity?.allow === undefined) {
    return deny(resource?.allow === undefined ? "no-allow" : "no-identity-allow", undefined, evaluated, undefined);
  }
  if (resource?.allow === undefined) return deny("no-resource-allow", undefined, evaluated, undefined);
  return limit(allowed) ?? allow("both-policies", identity.allow.reference, evaluated);
}

/** The denial of a boundary or session policy that does not allow as well. */
function limit({ boundary, session, evaluated }: Allowed): Outcome | undefined {
  if (boundary !== undefined && boundary.allow === undefined) return deny("boundary", undefined, evaluated, undefined);
  if (session !== undefined && session.allow === undefined) return deny("session-policy", undefined, evaluated, undefined);
  return undefined;
}

function allow(reason: AllowReason, statement: StatementReference, evaluated: number): Outcome {
  return { decision: "allow", reason, statement, evaluated, error: undefined };
}

function deny(reason: DenyReason, statement: StatementReference | undefined, evaluated: number, error: unknown): Outcome {
  return { decision: "deny", reason, statement, evaluated, error };
}

/** An empty scan. `action` and `service` are lower-case. */
export function createScan(
  action: string,
  service: string,
  resource: string,
  principal: Principal,
  context: RequestContext,
  audited: boolean,
): Scan {
  return {
    action,
    service,
    resource,
    principal,
    context,
    audited,
    actionKnown: false,
    deny: undefined,
    allow: undefined,
    sessionAllow: undefined,
    evaluated: 0,
  };
}

/** Fills in the first Deny and the first Allow, in order of the documents, that apply. */
export function scanPolicies(policies: CompiledPolicies, scan: Scan): void {
  visitStatements(policies.index, scan, consider);
}

/** Looks at a statement whose resource matches, unless it could not change the result or was met under its very action before. */
function consider(scan: Scan, statement: CompiledStatement): void {
  if (statement.audit && !scan.audited) return;
  const { order, deny, principal } = statement;
  const best = deny ? scan.deny : principal === undefined ? scan.allow : scan.sessionAllow;
  if (best !== undefined && best.order <= order) return;
  if (!scan.actionKnown && (statement.filing.actions.has(scan.action) || !statement.matchesAction(scan.action))) return;
  scan.evaluated += 1;
  const named = principal === undefined ? "otherwise" : principal(scan.principal);
  if (named === "not") return;
  for (const condition of statement.conditions) if (!condition.holds(scan.context)) return;
  if (deny) {
    scan.deny = statement;
    return;
  }
  if (scan.allow === undefined || order < scan.allow.order) scan.allow = statement;
  if (named === "session") scan.sessionAllow = statement;
}
