/** Why a text is not a SPIFFE id or a trust domain. */
export type SpiffeIdErrorCode =
  | "empty"
  | "too-long"
  | "wrong-scheme"
  | "missing-trust-domain"
  | "trust-domain-too-long"
  | "bad-trust-domain-character"
  | "bad-path-character"
  | "empty-segment"
  | "dot-segment"
  | "trailing-slash";

export class SpiffeIdError extends Error {
  override readonly name = "SpiffeIdError";
  readonly code: SpiffeIdErrorCode;

  constructor(code: SpiffeIdErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
