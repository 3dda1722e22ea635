/** A decision with everything that went into it, for people. Off the hot path: looks at every statement, in order. */
import type { Condition } from "./condition.ts";
import type { CompiledPolicies, CompiledStatement } from "./compile.ts";
import type { Decision, StatementReference } from "./decision.ts";
import { evaluate, type AuthorizationRequest, type PolicySet } from "./evaluate.ts";

export type PolicyRole = "identity" | "resource" | "boundary" | "session" | "guardrail";

export interface ConsideredStatement {
  readonly role: PolicyRole;
  readonly statement: StatementReference;
  readonly effect: "Allow" | "Deny";
  readonly audit: boolean;
  /** `applies`, or the first part of the statement that did not match. */
  readonly result: "applies" | "action" | "resource" | "principal" | "condition" | "failed";
  /** The condition that did not hold. */
  readonly condition: Condition | undefined;
}

export interface Explanation {
  readonly decision: Decision;
  readonly statements: readonly ConsideredStatement[];
}

/** What `evaluate` decides, and what each statement had to say. */
export function explain(request: AuthorizationRequest, policies: PolicySet, localTrustDomain: string): Explanation {
  const sets: [PolicyRole, CompiledPolicies | undefined][] = [
    ["identity", policies.identity],
    ["resource", policies.resource],
    ["boundary", policies.boundary],
    ["session", policies.session],
    ...(policies.guardrails ?? []).map((set): [PolicyRole, CompiledPolicies] => ["guardrail", set]),
  ];
  return {
    decision: evaluate(request, policies, localTrustDomain),
    statements: sets.flatMap(([role, set]) => (set?.statements ?? []).map((statement) => considerFor(role, statement, request))),
  };
}

function considerFor(role: PolicyRole, statement: CompiledStatement, request: AuthorizationRequest): ConsideredStatement {
  const { reference, deny, audit } = statement;
  const base = { role, statement: reference, effect: deny ? "Deny" : "Allow", audit } as const;
  try {
    const { context } = request;
    if (!statement.matchesAction(request.action.toLowerCase())) return { ...base, result: "action", condition: undefined };
    if (!statement.matchesResource(request.resource, context)) return { ...base, result: "resource", condition: undefined };
    if (statement.principal?.(request.principal) === "not") return { ...base, result: "principal", condition: undefined };
    const unmet = statement.conditions.find((condition) => !condition.holds(context));
    if (unmet !== undefined) return { ...base, result: "condition", condition: unmet.source };
    return { ...base, result: "applies", condition: undefined };
  } catch {
    return { ...base, result: "failed", condition: undefined };
  }
}
