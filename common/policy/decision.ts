/** Why a request is admitted or refused. */
export type AllowReason =
  /** A policy of the caller's role allows it. */
  | "identity-policy"
  /** The service's resource policy allows it. */
  | "resource-policy"
  /** The caller is of another trust domain, and both sides allow it. */
  | "both-policies";

export type DenyReason =
  | "explicit-deny"
  /** A guardrail applies and does not allow it. */
  | "guardrail"
  /** Allowed, but not within the role's permission boundary. */
  | "boundary"
  /** Allowed, but not within the session policy. */
  | "session-policy"
  /** Nothing allows it. */
  | "no-allow"
  /** The caller is of another trust domain, and its role does not allow it. */
  | "no-identity-allow"
  /** The caller is of another trust domain, and the service's resource policy does not allow it. */
  | "no-resource-allow"
  /** A policy that applies is not a policy document. */
  | "invalid-policy"
  /** Reading a condition key failed. */
  | "evaluation-failed";

export interface StatementReference {
  /** As named in `PolicySource`. */
  readonly policy: string;
  readonly sid: string | undefined;
  /** Place in the document as its author wrote it, from 0; -1 for the document as a whole. */
  readonly index: number;
}

/** What would have refused an admitted request had the policies in audit mode been enforced. */
export interface WouldDeny {
  readonly reason: DenyReason;
  readonly statement: StatementReference | undefined;
}

export interface Decision {
  readonly decision: "allow" | "deny";
  readonly reason: AllowReason | DenyReason;
  /** What allowed it, or denied it; undefined where it is the want of a statement that denies. */
  readonly statement: StatementReference | undefined;
  /** Statements whose conditions or principals were looked at. A measure of work, not of policy: the index leaves most out. */
  readonly evaluated: number;
  readonly wouldDeny: WouldDeny | undefined;
  /** What was thrown, for `invalid-policy` and `evaluation-failed`. */
  readonly error: unknown;
}
