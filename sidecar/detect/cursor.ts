/**
 * Numbers and vectors one after the other, as TLS writes them (RFC 8446 3). A read past the end fails, and so does every later
 * one. Nothing is copied, and no view of the bytes is made: a message has dozens of vectors.
 */
export interface Cursor {
  readonly bytes: Uint8Array;
  at: number;
  readonly end: number;
  failed: boolean;
}

export function createCursor(bytes: Uint8Array): Cursor {
  return { bytes, at: 0, end: bytes.length, failed: false };
}

/** How many bytes are left; 0 once failed. */
export function left({ at, end, failed }: Cursor): number {
  return failed ? 0 : end - at;
}

/** A big-endian number of that many bytes; 0 once failed. */
export function readNumber(cursor: Cursor, bytes: 1 | 2): number {
  const { at } = cursor;
  skip(cursor, bytes);
  if (cursor.failed) return 0;
  const first = cursor.bytes[at] ?? 0;
  return bytes === 1 ? first : first * 256 + (cursor.bytes[at + 1] ?? 0);
}

export function skip(cursor: Cursor, bytes: number): void {
  if (cursor.failed || cursor.end - cursor.at < bytes) cursor.failed = true;
  else cursor.at += bytes;
}

/** What follows a length of that many bytes, to be read by itself; empty and failed once failed. */
export function readVector(cursor: Cursor, lengthBytes: 1 | 2): Cursor {
  const length = readNumber(cursor, lengthBytes);
  const { at, bytes } = cursor;
  skip(cursor, length);
  return cursor.failed ? { bytes, at: 0, end: 0, failed: true } : { bytes, at, end: at + length, failed: false };
}
