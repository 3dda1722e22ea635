/**
 * Entries of short literal values that were not indexed but come again all the same: a date within its second, a length.
 * Found by their bytes, so that a hit neither decodes nor checks anything. Bounded: 256 places of 32 bytes, the newest stays.
 *
 * Hot path. A name whose values never come again stops being looked up for a while (`FieldName.reuse`).
 */
import type { Entry, FieldName } from "./entry.ts";

const PLACES = 256;
/** Longest value, as coded on the wire, that is kept. */
export const LONGEST_CACHED = 32;
const MOST_REUSE = 32;
/** A name that stopped being looked up is tried again after so many values. */
const REST = -64;

export interface LiteralCache {
  readonly entries: (Entry | undefined)[];
  readonly bytes: Uint8Array;
  /** Length as coded and whether by Huffman: `length * 2 + huffman`. */
  readonly shapes: Uint8Array;
  /** Place of the last look-up, where a miss is then stored. */
  place: number;
}

export function createLiteralCache(): LiteralCache {
  return {
    entries: Array.from({ length: PLACES }, () => undefined),
    bytes: new Uint8Array(PLACES * LONGEST_CACHED),
    shapes: new Uint8Array(PLACES),
    place: 0,
  };
}

/** Whether values of that name and length are worth a look. */
export function worthCaching(name: FieldName, length: number): boolean {
  if (length > LONGEST_CACHED) return false;
  if (name.reuse > 0) return true;
  // Counts down to REST, then starts anew with little credit.
  if (--name.reuse > REST) return false;
  name.reuse = 2;
  return true;
}

export function findLiteral(
  cache: LiteralCache,
  name: FieldName,
  bytes: Buffer,
  start: number,
  end: number,
  huffman: number,
): Entry | undefined {
  let hash = huffman;
  for (let i = start; i < end; i++) hash = (Math.imul(hash, 31) + bytes[i]!) | 0;
  const place = (hash ^ (hash >>> 8) ^ (hash >>> 16) ^ name.text.length) & (PLACES - 1);
  cache.place = place;
  const entry = cache.entries[place];
  if (entry === undefined || entry.name !== name || cache.shapes[place] !== (end - start) * 2 + huffman) {
    name.reuse--;
    return undefined;
  }
  for (let i = start, j = place * LONGEST_CACHED; i < end; i++, j++) {
    if (bytes[i] !== cache.bytes[j]) {
      name.reuse--;
      return undefined;
    }
  }
  if (name.reuse < MOST_REUSE) name.reuse++;
  return entry;
}

/** Keeps an entry where the look-up just before did not find it. */
export function keepLiteral(cache: LiteralCache, entry: Entry, bytes: Buffer, start: number, end: number, huffman: number): void {
  const place = cache.place;
  cache.entries[place] = entry;
  cache.shapes[place] = (end - start) * 2 + huffman;
  for (let i = start, j = place * LONGEST_CACHED; i < end; i++, j++) cache.bytes[j] = bytes[i]!;
}
