/**
 * HPACK decoding (RFC 7541). Fields that arrive are checked and built once, when they enter the dynamic table; naming one
 * again costs an array read and yields the same `Field` object.
 *
 * Bounded: the table by what SETTINGS promised, the list by `listLimit` (what is over it is still decoded, so that the
 * table stays in step, but not kept), and a list of sixteen times the limit ends the connection.
 */
import { Http2Error } from "../error.ts";
import { createBlockCache, findBlock, keepBlock, LONGEST_BLOCK } from "./block-cache.ts";
import { createEntry, createFieldName, type Entry, type FieldName } from "./entry.ts";
import { addSpecial, createFieldBlock, resetFieldBlock, type FieldBlock } from "./field-block.ts";
import { decodeHuffman } from "./huffman.ts";
import { readIntegerRest, type Cursor } from "./integer.ts";
import { createLiteralCache, findLiteral, keepLiteral, worthCaching } from "./literal-cache.ts";
import { staticTable } from "./static-table.ts";

export interface HpackDecoder {
  /**
   * Decodes a whole block, `bytes[start..end)`; the returned object is reused by later calls (its `fields` are not changed).
   * Throws Http2Error: COMPRESSION_ERROR, or ENHANCE_YOUR_CALM for a list that is grossly over the limit.
   */
  decode(bytes: Buffer, start: number, end: number): FieldBlock;
  /** Our SETTINGS_HEADER_TABLE_SIZE, once the peer has acknowledged it. */
  setTableLimit(limit: number): void;
  /** Entries and bytes now in the dynamic table. */
  tableEntries(): number;
  tableSize(): number;
}

export interface HpackDecoderOptions {
  /** Blocks are requests: `host` is kept apart from the fields. */
  readonly requests: boolean;
  /** Most bytes the peer's table may take until `setTableLimit` says otherwise. */
  readonly tableLimit: number;
  /** Most bytes of a field list, counted by RFC 9113 section 6.5.2. */
  readonly listLimit: number;
}

const STATIC_ENTRIES = 61;
const GROSS = 16;
/** Names remembered beside those in the table. */
const MOST_NAMES = 1024;
/** Room for a Huffman string to begin with, and what of it is kept from block to block. */
const SMALL = 1024;
const LARGEST_KEPT = 16_384;
const empty = Buffer.alloc(0);

const fixedNames = new Map<string, FieldName>(staticTable.map(([name]) => [name, createFieldName(name)]));
const fixedEntries: readonly Entry[] = staticTable.map(([name, value]) =>
  createEntry(fixedNames.get(name)!, Buffer.from(value, "latin1"), 0, value.length),
);

export function createHpackDecoder(options: HpackDecoderOptions): HpackDecoder {
  const { requests, listLimit } = options;
  const grossLimit = listLimit * GROSS;
  let block = createFieldBlock();
  const cursor: Cursor = { bytes: empty, position: 0, end: 0 };
  const names = new Map<string, FieldName>();
  const cache = createLiteralCache();
  const blocks = createBlockCache();
  let unpacked = Buffer.allocUnsafeSlow(SMALL);

  // The dynamic table: a ring whose newest entry is at `newest`.
  let ring: (Entry | undefined)[] = Array.from({ length: 64 }, () => undefined);
  let newest = 0;
  let count = 0;
  let size = 0;
  let tableLimit = options.tableLimit;
  let tableMax = Math.min(4096, tableLimit);
  let mustShrink = false;
  /** Changes whenever what an index names may have changed. */
  let version = 0;

  function nameOf(text: string): FieldName {
    let name = fixedNames.get(text) ?? names.get(text);
    if (name === undefined) {
      name = createFieldName(text);
      if (names.size >= MOST_NAMES) names.clear();
      names.set(text, name);
    }
    return name;
  }

  function entryAt(index: number): Entry {
    if (index > STATIC_ENTRIES) {
      const age = index - STATIC_ENTRIES - 1;
      if (age < count) return ring[(newest - age) & (ring.length - 1)]!;
    } else if (index > 0) return fixedEntries[index - 1]!;
    throw new Http2Error("COMPRESSION_ERROR", `HPACK index ${index} names nothing`);
  }

  function evictTo(limit: number): void {
    while (size > limit) {
      const oldest = (newest - count + 1) & (ring.length - 1);
      size -= ring[oldest]!.size;
      ring[oldest] = undefined;
      count--;
    }
  }

  function insert(entry: Entry): void {
    version++;
    evictTo(Math.max(0, tableMax - entry.size));
    // RFC 7541 section 4.4: an entry larger than the table empties it, which is no error.
    if (entry.size > tableMax) return;
    if (count === ring.length) {
      const entries = Array.from({ length: count }, (_, i) => ring[(newest - count + 1 + i) & (ring.length - 1)]);
      ring = entries.concat(Array.from({ length: count }, () => undefined));
      newest = count - 1;
    }
    newest = (newest + 1) & (ring.length - 1);
    ring[newest] = entry;
    count++;
    size += entry.size;
  }

  function resize(limit: number): void {
    if (limit > tableLimit) throw new Http2Error("COMPRESSION_ERROR", "the dynamic table is made larger than allowed");
    tableMax = limit;
    version++;
    mustShrink = false;
    evictTo(limit);
  }

  /** Length of the string at the cursor, which is left at its first byte. */
  function stringLength(first: number): number {
    let length = first & 0x7f;
    if (length === 0x7f) length = readIntegerRest(cursor, 0x7f);
    if (length > cursor.end - cursor.position) throw new Http2Error("COMPRESSION_ERROR", "an HPACK string is cut off");
    return length;
  }

  function unpack(start: number, end: number): number {
    const room = ((end - start) * 8) / 5 + 1;
    if (unpacked.length < room) unpacked = Buffer.allocUnsafeSlow(room * 2);
    const length = decodeHuffman(cursor.bytes, start, end, unpacked);
    if (length < 0) throw new Http2Error("COMPRESSION_ERROR", "a Huffman string is malformed");
    return length;
  }

  function readName(): FieldName {
    const first = nextByte();
    const length = stringLength(first);
    const start = cursor.position;
    cursor.position += length;
    // Unpacked first: it may make the buffer anew.
    const unpackedLength = first < 0x80 ? 0 : unpack(start, start + length);
    const text = first < 0x80 ? cursor.bytes.toString("latin1", start, start + length) : unpacked.toString("latin1", 0, unpackedLength);
    // A name longer than any list may be is not worth remembering.
    return text.length > 256 ? createFieldName(text) : nameOf(text);
  }

  function nextByte(): number {
    if (cursor.position >= cursor.end) throw new Http2Error("COMPRESSION_ERROR", "an HPACK block is cut off");
    return cursor.bytes[cursor.position++]!;
  }

  function readValue(name: FieldName, indexed: boolean): Entry {
    const first = nextByte();
    const length = stringLength(first);
    const bytes = cursor.bytes;
    const start = cursor.position;
    const end = start + length;
    cursor.position = end;
    const huffman = first >>> 7;
    const cached = !indexed && worthCaching(name, length);
    if (cached) {
      const known = findLiteral(cache, name, bytes, start, end, huffman);
      if (known !== undefined) return known;
    }
    const unpackedLength = huffman === 0 ? 0 : unpack(start, end);
    const entry = huffman === 0 ? createEntry(name, bytes, start, end) : createEntry(name, unpacked, 0, unpackedLength);
    if (cached) keepLiteral(cache, entry, bytes, start, end, huffman);
    return entry;
  }

  function add(entry: Entry): void {
    block.size += entry.size;
    if (block.size > listLimit) {
      block.tooLarge = true;
      if (block.size > grossLimit) throw new Http2Error("ENHANCE_YOUR_CALM", "a field list is far over the limit");
    } else if (entry.role === 0) {
      block.fields.push(entry.field);
      block.kinds |= entry.field.kinds;
    } else addSpecial(block, entry, requests);
  }

  function readLiteral(first: number, mask: number): Entry {
    let index = first & mask;
    if (index === mask) index = readIntegerRest(cursor, mask);
    const name = index === 0 ? readName() : entryAt(index).name;
    return readValue(name, mask === 0x3f);
  }

  function decode(bytes: Buffer, start: number, end: number): FieldBlock {
    if (end - start > LONGEST_BLOCK || end === start || mustShrink) return decodeFields(bytes, start, end);
    const known = findBlock(blocks, version, bytes, start, end);
    if (known !== undefined) return known;
    const before = version;
    const decoded = decodeFields(bytes, start, end);
    if (version === before) block = keepBlock(blocks, version, bytes, start, end, decoded);
    return decoded;
  }

  function decodeFields(bytes: Buffer, start: number, end: number): FieldBlock {
    resetFieldBlock(block);
    cursor.bytes = bytes;
    cursor.position = start;
    cursor.end = end;
    let updates = 0;
    while (cursor.position < end) {
      const first = bytes[cursor.position++]!;
      if (first >= 0x80) {
        let index = first & 0x7f;
        if (index === 0x7f) index = readIntegerRest(cursor, 0x7f);
        if (mustShrink) break;
        updates = 2;
        add(entryAt(index));
      } else if (first >= 0x40) {
        if (mustShrink) break;
        updates = 2;
        const entry = readLiteral(first, 0x3f);
        insert(entry);
        add(entry);
      } else if (first < 0x20) {
        if (mustShrink) break;
        updates = 2;
        add(readLiteral(first, 0x0f));
      } else {
        // At most two, at the beginning of a block (RFC 7541 section 4.2).
        if (++updates > 2) throw new Http2Error("COMPRESSION_ERROR", "a table size update is out of place");
        let limit = first & 0x1f;
        if (limit === 0x1f) limit = readIntegerRest(cursor, 0x1f);
        resize(limit);
      }
    }
    if (mustShrink) throw new Http2Error("COMPRESSION_ERROR", "the table was not made smaller as SETTINGS asked");
    cursor.bytes = empty;
    if (unpacked.length > LARGEST_KEPT) unpacked = Buffer.allocUnsafeSlow(SMALL);
    return block;
  }

  return {
    decode,
    setTableLimit: (limit) => {
      tableLimit = limit;
      if (tableMax > limit) mustShrink = true;
    },
    tableEntries: () => count,
    tableSize: () => size,
  };
}
