/**
 * Who a resource policy or a trust policy speaks of:
 * - `"*"`, or `{"AWS": "*"}`: anyone
 * - `{"AWS": [...]}`: roles and sessions by ARN, without wildcards, as in AWS
 * - `{"SPIFFE": [...]}`: workloads by the identity of their TLS certificate, exact or everything below a path: `spiffe://td/ns/shop/*`
 * - `{"Federated": [...]}`: issuers of end-user tokens; read and kept, and matching nobody until such sessions exist
 */
import { fromString as spiffeIdFromString } from "../spiffe/id.ts";
import { roleFromArn, sessionFromArn } from "./arn.ts";
import { PolicyError } from "./error.ts";

export interface PrincipalElement {
  /** NotPrincipal: everyone but these. */
  readonly negated: boolean;
  readonly anyone: boolean;
  readonly arns: readonly string[];
  readonly spiffeIds: readonly string[];
  readonly federated: readonly string[];
}

/** The caller. A workload that holds no session has empty ARNs, which nothing names. */
export interface Principal {
  readonly sessionArn: string;
  readonly roleArn: string;
  /** Of the TLS peer. */
  readonly spiffeId: string;
  readonly trustDomain: string;
}

/** How a statement names a caller. `session` is the strongest: by AWS's rules such an Allow is limited by nothing else. */
export type Named = "not" | "otherwise" | "session";

export type PrincipalMatcher = (principal: Principal) => Named;

/** Checks the ARN of a role or session. Throws PolicyError `invalid-principal`. */
export function checkPrincipalArn(text: string): void {
  try {
    if (text.startsWith("arn:mesh:sts:")) sessionFromArn(text);
    else roleFromArn(text);
  } catch (error) {
    throw new PolicyError("invalid-principal", `${JSON.stringify(text)} is neither "*" nor the ARN of a role or a session`, undefined, {
      cause: error,
    });
  }
}

/** Checks a SPIFFE id, or one that ends in `/*`. Throws PolicyError `invalid-principal`. */
export function checkSpiffePrincipal(text: string): void {
  try {
    spiffeIdFromString(text.endsWith("/*") ? text.slice(0, -2) : text);
  } catch (error) {
    const problem = `${JSON.stringify(text)} is neither a SPIFFE id nor one with /* after it`;
    throw new PolicyError("invalid-principal", problem, undefined, { cause: error });
  }
}

export function compilePrincipal(element: PrincipalElement): PrincipalMatcher {
  const arns = new Set(element.arns);
  const ids = new Set(element.spiffeIds.filter((id) => !id.endsWith("/*")));
  const parents = element.spiffeIds.filter((id) => id.endsWith("/*")).map((id) => id.slice(0, -1));

  const named: PrincipalMatcher = ({ sessionArn, roleArn, spiffeId }) => {
    if (arns.has(sessionArn)) return "session";
    if (element.anyone || arns.has(roleArn) || ids.has(spiffeId)) return "otherwise";
    for (const parent of parents) if (spiffeId.startsWith(parent)) return "otherwise";
    return "not";
  };
  if (!element.negated) return named;
  return (principal) => (named(principal) === "not" ? "otherwise" : "not");
}
