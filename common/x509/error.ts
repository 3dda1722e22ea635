/** Why a certificate, a chain or a bundle is refused. */
export type X509ProfileErrorCode =
  // One certificate.
  | "malformed"
  | "version"
  | "serial"
  | "signature-algorithm"
  | "issuer"
  | "validity"
  | "subject"
  | "public-key"
  | "duplicate-extension"
  | "unknown-critical-extension"
  | "basic-constraints"
  | "key-usage"
  | "extended-key-usage"
  | "subject-alternative-name"
  | "spiffe-id"
  | "key-identifier"
  // A chain of them.
  | "chain-length"
  | "unknown-trust-domain"
  | "unknown-issuer"
  | "path-length"
  | "bad-signature"
  | "not-yet-valid"
  | "expired"
  | "revoked"
  // What they come in.
  | "pem"
  | "bundle";

/** The one error of `common/x509`: tests, metrics and callers go by `code`; `message` is for a person. */
export class X509ProfileError extends Error {
  override readonly name = "X509ProfileError";
  readonly code: X509ProfileErrorCode;

  constructor(code: X509ProfileErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
