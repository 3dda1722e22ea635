/** Parts of bodies that have to be kept: until their hash is known, until a whole chunk is signed, until somebody takes them. Bounded. */

export interface Collected {
  readonly buffer: Buffer;
  readonly length: number;
}

const noBytes = Buffer.alloc(0);
export const noBody: Buffer = noBytes;
export const nothingCollected: Collected = { buffer: noBytes, length: 0 };

/**
 * Adds a copy of `chunk`. `declared` is the body's length where it is known, otherwise -1. Undefined when the body would
 * exceed `limit` bytes.
 */
export function collect(collected: Collected, chunk: Buffer, declared: number, limit: number): Collected | undefined {
  const length = collected.length + chunk.length;
  if (length > limit || declared > limit) return undefined;
  let { buffer } = collected;
  if (length > buffer.length) {
    const grown = Buffer.allocUnsafe(Math.min(limit, Math.max(length, declared, 2 * buffer.length)));
    buffer.copy(grown, 0, 0, collected.length);
    buffer = grown;
  }
  chunk.copy(buffer, collected.length);
  return { buffer, length };
}

export function collectedBytes({ buffer, length }: Collected): Buffer {
  return length === buffer.length ? buffer : buffer.subarray(0, length);
}
