/**
 * Why a call was refused: the closed list of reason codes, each with the status that names who failed (ARCHITECTURE,
 * "the way of one request"). The code goes to the caller in `x-countersign-reason`; the detail goes to the operator only.
 */

export const reasonStatus = {
  // The message itself.
  malformed: 400,
  "malformed-target": 400,
  "request-timeout": 408,
  "body-too-large": 413,
  "head-too-large": 431,
  "upgrade-unsupported": 501,
  // Wrong address.
  "unknown-destination": 502,
  "wrong-destination": 421,
  // Calls that leave the mesh.
  "egress-undeclared": 403,
  "egress-forbidden-address": 403,
  "egress-address-mismatch": 421,
  "egress-unresolved": 502,
  // No signature that could be checked.
  "missing-signature": 401,
  "duplicate-signature": 401,
  "malformed-signature": 401,
  // A signature that was checked and does not hold.
  "unsupported-algorithm": 403,
  "signature-mismatch": 403,
  "unsigned-header": 403,
  "request-expired": 403,
  "request-in-future": 403,
  "wrong-scope": 403,
  "session-invalid": 403,
  "session-expired": 403,
  "session-revoked": 403,
  "plaintext-refused": 403,
  "identity-mismatch": 403,
  "identity-revoked": 403,
  replayed: 403,
  "wrong-audience": 403,
  "body-mismatch": 403,
  "unsigned-payload": 403,
  // Decisions.
  "explicit-deny": 403,
  "no-allow": 403,
  boundary: 403,
  "session-policy": 403,
  guardrail: 403,
  "invalid-policy": 403,
  "evaluation-failed": 403,
  "no-identity-allow": 403,
  "no-resource-allow": 403,
  "undeclared-operation": 403,
  // Trouble behind or before the application.
  "replay-memory-full": 503,
  "session-unresolved": 503,
  "not-ready": 503,
  "upstream-refused": 503,
  "no-endpoint": 503,
  "identity-expired": 503,
  "peer-unreachable": 503,
  "peer-identity": 502,
  "peer-failed": 502,
  overloaded: 503,
  "circuit-open": 503,
  "upstream-failed": 502,
  "upstream-timeout": 504,
} as const;

export type Reason = keyof typeof reasonStatus;

/** A refusal: what the caller may know and, apart from it, what only the operator may. */
export interface Refusal {
  readonly reason: Reason;
  readonly detail?: string;
}
