/** `x-amz-content-sha256`: how, and whether, the signature covers the body. */
import { SigV4Error } from "./error.ts";

/** SHA-256 of nothing. */
export const emptyPayloadHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
export const unsignedPayload = "UNSIGNED-PAYLOAD";
export const streamingPayload = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
export const streamingPayloadTrailer = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER";

/** `hashed`: the header is the body's SHA-256. `streamed`: the body is signed chunk by chunk, and so are its trailers if it has any. `unsigned`: nothing covers it. */
export type PayloadMode = "hashed" | "streamed" | "unsigned";

export interface PayloadHash {
  readonly mode: PayloadMode;
  /** The header's value, which is also the last line of the canonical request. */
  readonly value: string;
}

const sha256Hex = /^[0-9a-f]{64}$/;
export const emptyPayload: PayloadHash = { mode: "hashed", value: emptyPayloadHash };
const unsigned: PayloadHash = { mode: "unsigned", value: unsignedPayload };
const streamed: PayloadHash = { mode: "streamed", value: streamingPayload };
const streamedWithTrailers: PayloadHash = { mode: "streamed", value: streamingPayloadTrailer };

/**
 * Throws SigV4Error: `unsupported-payload-mode` for AWS's other modes, whose bodies no signature covers or one by another
 * algorithm; `malformed-payload-hash` for anything else that is not a lower-case hexadecimal SHA-256.
 */
export function parsePayloadHash(value: string): PayloadHash {
  if (value === emptyPayloadHash) return emptyPayload;
  if (sha256Hex.test(value)) return { mode: "hashed", value };
  if (value === unsignedPayload) return unsigned;
  if (value === streamingPayload) return streamed;
  if (value === streamingPayloadTrailer) return streamedWithTrailers;
  if (value.startsWith("STREAMING-"))
    throw new SigV4Error("unsupported-payload-mode", "x-amz-content-sha256 names a body mode that is not accepted");
  throw new SigV4Error("malformed-payload-hash", "x-amz-content-sha256 is not a SHA-256 in lower-case hexadecimal");
}
