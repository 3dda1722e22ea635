/** What one message may cost. All are on by default. */
export interface Http1Limits {
  /** Bytes of a head with its empty line; also of a trailer section. */
  readonly maxHeadBytes: number;
  /** Fields of a head; also of a trailer section. */
  readonly maxHeaders: number;
  /** Bytes of a body after chunked framing is taken off. */
  readonly maxBodyBytes: number;
  /** Bytes of the extensions of one chunk. A whole body may have sixteen times as many. */
  readonly maxChunkExtensionBytes: number;
  /** Bytes kept that arrived behind a complete request which is still being answered. */
  readonly maxPipelinedBytes: number;
}

export const defaultLimits: Http1Limits = {
  maxHeadBytes: 64 * 1024,
  maxHeaders: 100,
  maxBodyBytes: Number.MAX_SAFE_INTEGER,
  maxChunkExtensionBytes: 256,
  maxPipelinedBytes: 256 * 1024,
};
