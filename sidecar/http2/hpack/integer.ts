/** Integers of RFC 7541 section 5.1. */
import { Http2Error } from "../error.ts";

/** A place in received bytes; one object is reused for every block of a connection. */
export interface Cursor {
  bytes: Buffer;
  position: number;
  end: number;
}

/**
 * Reads the rest of an integer whose prefix, all ones, was `prefix`; the cursor stands behind the prefix byte.
 * Throws COMPRESSION_ERROR for one that is cut off or does not fit 28 bits: no size, length or index here is larger.
 */
export function readIntegerRest(cursor: Cursor, prefix: number): number {
  let value = prefix;
  for (let shift = 0; shift < 28; shift += 7) {
    if (cursor.position >= cursor.end) throw new Http2Error("COMPRESSION_ERROR", "an HPACK integer is cut off");
    const byte = cursor.bytes[cursor.position++]!;
    value += (byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
  throw new Http2Error("COMPRESSION_ERROR", "an HPACK integer is too large");
}

/** Writes `value` with a prefix of `mask` (2^n - 1) under the pattern bits `pattern`; returns the position behind it. */
export function writeInteger(bytes: Buffer, position: number, pattern: number, mask: number, value: number): number {
  if (value < mask) {
    bytes[position] = pattern | value;
    return position + 1;
  }
  bytes[position++] = pattern | mask;
  let rest = value - mask;
  while (rest >= 0x80) {
    bytes[position++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  bytes[position++] = rest;
  return position;
}
