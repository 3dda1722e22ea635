/** Why a request's signature was not accepted. The message never repeats what the request said. */
export type SigV4ErrorCode =
  // Nothing that could be checked: 401.
  /** No `Authorization` of this scheme. */
  | "missing-authorization"
  | "malformed-authorization"
  /** `AWS4-…` by another algorithm than HMAC-SHA256. */
  | "unsupported-algorithm"
  // Checked, and it does not hold: 403.
  /** Terminator, region or service of the scope are another's. */
  | "wrong-scope"
  | "scope-date-mismatch"
  | "missing-date"
  | "malformed-date"
  | "request-expired"
  | "request-in-future"
  /** `SignedHeaders` names a field that the request does not have. */
  | "missing-signed-header"
  /** An `x-amz-*`, sequence or audience field that `SignedHeaders` does not name. */
  | "unsigned-amz-header"
  /** A field twice that says one thing only: date, token, body hash, sequence, audience, host. */
  | "duplicate-header"
  | "malformed-query"
  | "malformed-payload-hash"
  /** A body mode that is not taken from anybody, `STREAMING-UNSIGNED-PAYLOAD-TRAILER` above all. */
  | "unsupported-payload-mode"
  /** `x-amz-decoded-content-length` or `x-amz-trailer`. */
  | "malformed-stream-header"
  | "signature-mismatch"
  // A streamed body that does not hold: the stream is cut.
  /** Not the framing of `aws-chunked`, something behind its end, or trailers other than those announced. */
  | "malformed-chunk"
  | "chunk-too-large"
  /** Of a chunk or of the trailers. */
  | "chunk-signature-mismatch"
  /** `x-amz-decoded-content-length` says another length. */
  | "decoded-length-mismatch"
  /** The final chunk, or what belongs behind it, is missing. */
  | "stream-truncated";

export class SigV4Error extends Error {
  override readonly name = "SigV4Error";
  readonly code: SigV4ErrorCode;

  constructor(code: SigV4ErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
