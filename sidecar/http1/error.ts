/** What the HTTP/1.1 codec refuses: each code says which rule was broken, each status what a client is told. */

const requestStatuses = {
  "bad-request-line": 400,
  "http2-preface": 505,
  "bad-version": 505,
  "unknown-method": 501,
  "bad-target": 400,
  "bad-status-line": 502,
  "bad-line-end": 400,
  "bad-header": 400,
  "obs-fold": 400,
  "missing-host": 400,
  "bad-host": 400,
  "duplicate-host": 400,
  "host-mismatch": 400,
  "bad-connection": 400,
  "bad-expectation": 417,
  "head-too-large": 431,
  "too-many-headers": 431,
  "bad-content-length": 400,
  "duplicate-content-length": 400,
  "bad-transfer-encoding": 400,
  "conflicting-length": 400,
  "bad-chunk": 400,
  "chunk-extension-too-large": 400,
  "bad-trailer": 400,
  "body-too-large": 413,
  "too-much-pipelined": 400,
  truncated: 400,
  /** The server closed before the first byte of its response. */
  "no-response": 502,
  "unexpected-bytes": 502,
  "unexpected-switch": 502,
  /** A writer was given CR, LF, NUL or a space where it would change the message. */
  "unsafe-text": 500,
} as const;

export type Http1ErrorCode = keyof typeof requestStatuses;
export type Http1ErrorStatus = (typeof requestStatuses)[Http1ErrorCode];

export class Http1Error extends Error {
  override readonly name = "Http1Error";
  readonly code: Http1ErrorCode;
  /** The status to answer with; always 502 where the broken message was a response. */
  readonly status: Http1ErrorStatus;

  constructor(code: Http1ErrorCode, message: string, options?: ErrorOptions & { status?: Http1ErrorStatus }) {
    super(message, options);
    this.code = code;
    this.status = options?.status ?? requestStatuses[code];
  }
}
