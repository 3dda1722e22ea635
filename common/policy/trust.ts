/** Trust policies: who may assume a role. */
import { compilePolicies, type CompiledPolicies } from "./compile.ts";
import type { StatementReference } from "./decision.ts";
import type { PolicyDocument } from "./document.ts";
import { createScan, scanPolicies } from "./evaluate.ts";
import type { Principal } from "./principal.ts";
import type { RequestContext } from "./request-context.ts";

export interface TrustRequest {
  /** `sts:AssumeRole`, `sts:AssumeRoleWithWebIdentity`, `sts:TagSession`. */
  readonly action: string;
  /** The caller's own identity, by its certificate. Also what `mesh:SourceIdentity` is here, whatever the context says. */
  readonly spiffeId: string;
  /** The session that the caller holds already, if it assumes one role from another. */
  readonly session?: Pick<Principal, "sessionArn" | "roleArn"> | undefined;
  readonly context: RequestContext;
}

export interface TrustDecision {
  readonly decision: "allow" | "deny";
  readonly reason: "trust-policy" | "explicit-deny" | "no-allow" | "evaluation-failed";
  /** `policy` is empty: a role has one trust policy. */
  readonly statement: StatementReference | undefined;
  readonly error: unknown;
}

const compiledTrust = new WeakMap<PolicyDocument, CompiledPolicies>();

/** Whether a role with this trust policy may be assumed. Never throws for a document that `policyFromJson` made. */
export function evaluateTrust(document: PolicyDocument, request: TrustRequest): TrustDecision {
  const policies = compiledTrust.get(document) ?? compilePolicies([{ name: "", document, mode: "enforce" }]);
  compiledTrust.set(document, policies);
  const { spiffeId, session } = request;
  const principal = { sessionArn: session?.sessionArn ?? "", roleArn: session?.roleArn ?? "", spiffeId, trustDomain: "" };
  const context: RequestContext = { get: (key) => (key === "mesh:sourceidentity" ? spiffeId : request.context.get(key)) };
  const action = request.action.toLowerCase();
  const scan = createScan(action, action.slice(0, action.indexOf(":")), "", principal, context, false);
  try {
    scanPolicies(policies, scan);
  } catch (error) {
    return { decision: "deny", reason: "evaluation-failed", statement: undefined, error };
  }
  if (scan.deny !== undefined) return { decision: "deny", reason: "explicit-deny", statement: scan.deny.reference, error: undefined };
  if (scan.allow === undefined) return { decision: "deny", reason: "no-allow", statement: undefined, error: undefined };
  return { decision: "allow", reason: "trust-policy", statement: scan.allow.reference, error: undefined };
}
