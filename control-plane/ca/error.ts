export type CaErrorCode =
  // What a caller asked for.
  | "csr-too-large"
  | "csr-malformed"
  | "csr-algorithm"
  | "csr-key"
  | "csr-signature"
  | "csr-asks-for-authority"
  | "key-reused"
  | "foreign-trust-domain"
  // The authority's own condition.
  | "trust-domain-changed"
  | "authority-corrupt"
  | "authority-expired"
  | "self-check-failed"
  | "not-recorded";

/** The one error of the certificate authority: callers and tests go by `code`; `message` is for a person. */
export class CaError extends Error {
  override readonly name = "CaError";
  readonly code: CaErrorCode;

  constructor(code: CaErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
