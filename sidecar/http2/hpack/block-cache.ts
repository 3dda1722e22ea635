/**
 * Whole blocks that come again byte for byte while the dynamic table stays as it is: the same response head, the same gRPC
 * method. They yield the same `fields` array, so that callers can keep what they derived from it.
 *
 * Hot path: a block that names everything by index is a few bytes long; comparing those is all there is to do.
 */
import { createFieldBlock, type FieldBlock } from "./field-block.ts";

const PLACES = 16;
/** Longer blocks have literals that change. */
export const LONGEST_BLOCK = 96;

interface Place {
  readonly bytes: Uint8Array;
  length: number;
  /** The table's version the block was decoded at. */
  version: number;
  block: FieldBlock;
}

export interface BlockCache {
  readonly places: readonly Place[];
  /** Place of the last look-up, where a miss is then stored. */
  place: Place;
}

export function createBlockCache(): BlockCache {
  const places = Array.from({ length: PLACES }, () => ({
    bytes: new Uint8Array(LONGEST_BLOCK),
    length: 0,
    version: -1,
    block: createFieldBlock(),
  }));
  return { places, place: places[0]! };
}

/** The block that these bytes, one at least, stood for at that version of the table. */
export function findBlock(cache: BlockCache, version: number, bytes: Buffer, start: number, end: number): FieldBlock | undefined {
  const length = end - start;
  const place = cache.places[(length + bytes[end - 1]! * 7 + bytes[start + (length >>> 1)]! * 3) & (PLACES - 1)]!;
  cache.place = place;
  if (place.version !== version || place.length !== length) return undefined;
  for (let i = 0; i < length; i++) if (place.bytes[i] !== bytes[start + i]) return undefined;
  return place.block;
}

/** Keeps a block where the look-up just before did not find it; returns one to use in its stead. */
export function keepBlock(cache: BlockCache, version: number, bytes: Buffer, start: number, end: number, block: FieldBlock): FieldBlock {
  const { place } = cache;
  const free = place.block;
  place.block = block;
  place.version = version;
  place.length = end - start;
  for (let i = start, j = 0; i < end; i++, j++) place.bytes[j] = bytes[i]!;
  return free;
}
