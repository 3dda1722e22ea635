/** Error codes of RFC 9113 section 7, and the one error class of the HTTP/2 codec. */

export const Http2ErrorCode = {
  NO_ERROR: 0x0,
  PROTOCOL_ERROR: 0x1,
  INTERNAL_ERROR: 0x2,
  FLOW_CONTROL_ERROR: 0x3,
  SETTINGS_TIMEOUT: 0x4,
  STREAM_CLOSED: 0x5,
  FRAME_SIZE_ERROR: 0x6,
  REFUSED_STREAM: 0x7,
  CANCEL: 0x8,
  COMPRESSION_ERROR: 0x9,
  CONNECT_ERROR: 0xa,
  ENHANCE_YOUR_CALM: 0xb,
  INADEQUATE_SECURITY: 0xc,
  HTTP_1_1_REQUIRED: 0xd,
} as const;

export type Http2ErrorName = keyof typeof Http2ErrorCode;
export type Http2ErrorCode = (typeof Http2ErrorCode)[Http2ErrorName];

const names = Object.keys(Http2ErrorCode) as Http2ErrorName[];

/** The name of a code, for logs and metrics. */
export function errorName(code: Http2ErrorCode): Http2ErrorName {
  return names[code] ?? "INTERNAL_ERROR";
}

/** A code read from the wire; one that no RFC names counts as INTERNAL_ERROR (RFC 9113 section 7). */
export function errorCodeFromWire(code: number): Http2ErrorCode {
  return code < names.length ? (code as Http2ErrorCode) : Http2ErrorCode.INTERNAL_ERROR;
}

/**
 * Raised inside the codec for what ends the whole connection, and handed to `onFatal`; thrown to the owner where it asks for
 * what HTTP/2 does not allow: an invalid field or pseudo-field (PROTOCOL_ERROR), a request that cannot be made now
 * (REFUSED_STREAM), frames in the wrong order (INTERNAL_ERROR).
 */
export class Http2Error extends Error {
  override readonly name = "Http2Error";
  readonly code: Http2ErrorName;

  constructor(code: Http2ErrorName, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
