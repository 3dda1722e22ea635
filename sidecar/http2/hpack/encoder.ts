/**
 * HPACK encoding (RFC 7541). A field that is the same object as last time costs one map look-up and one byte or two; else
 * its value is compared by content. Names whose value changes every time are written as plain literals, whether known
 * beforehand (`changingNames`) or found out: every name has a credit that insertions use up and hits restore.
 *
 * Hot path. What is indexed is Huffman-coded, once; what is not is written raw, because CPU is dearer than bytes here.
 */
import { FieldKind, type Field } from "../../../common/http/field.ts";
import { Http2Error } from "../error.ts";
import { isContentLength, isFieldValue, roleOfName, FieldRole } from "../field-rules.ts";
import { ENTRY_OVERHEAD } from "./entry.ts";
import { huffmanLength, writeHuffman } from "./huffman.ts";
import { writeInteger } from "./integer.ts";
import { staticNameIndex, staticTable } from "./static-table.ts";

/**
 * Fields with a value of its own in every request or response. Dates are not among them: hundreds of messages within their
 * second may share one, and where they do not, the credit of their name runs out.
 */
export const changingNames: ReadonlySet<string> = new Set([
  "authorization",
  "x-countersign-sequence",
  "content-length",
  "content-range",
  "etag",
]);

export interface HpackEncoder {
  /**
   * Checks fields and finds what the table has of them; nothing is changed yet. Returns the most bytes `writeFields` can take.
   * Connection-specific fields and `host` are left out. Throws Http2Error PROTOCOL_ERROR for a field that breaks a rule.
   */
  prepare(fields: readonly Field[]): number;
  /** The most bytes that what must precede the first field of a block can take. */
  readonly prefixBytes: number;
  /** Begins a block: table size updates that are due. Returns the position behind them, as all writers here. */
  begin(bytes: Buffer, position: number): number;
  /** A pseudo-field whose value has been checked; takes at most its value's length and 24 bytes. */
  writePseudo(bytes: Buffer, position: number, name: PseudoName, value: string): number;
  writeStatus(bytes: Buffer, position: number, status: number): number;
  /** The fields last given to `prepare`. */
  writeFields(bytes: Buffer, position: number): number;
  /** Content-Length among the fields last given to `prepare`, or -1. */
  readonly contentLength: number;
  /** The peer's SETTINGS_HEADER_TABLE_SIZE. */
  setPeerLimit(limit: number): void;
  tableEntries(): number;
  tableSize(): number;
}

export type PseudoName = ":method" | ":scheme" | ":authority" | ":path" | ":protocol" | ":status";

export interface HpackEncoderOptions {
  /** Most bytes our table may take, whatever the peer allows. */
  readonly tableLimit: number;
  /** Names written as never-indexed literals (RFC 7541 section 6.2.3): secrets on the way to others than sidecars. */
  readonly neverIndexed?: ReadonlySet<string>;
}

/** What the encoder knows of a name. */
interface NameRecord {
  readonly name: string;
  readonly staticIndex: number;
  readonly policy: typeof INDEXED | typeof CHANGING | typeof NEVER;
  /** Entries of that name by value. */
  readonly values: Map<string, TableEntry>;
  /** Static table indexes of that name by value. */
  readonly fixed: Map<string, number> | undefined;
  latest: TableEntry | undefined;
  credit: number;
}

interface TableEntry {
  readonly record: NameRecord;
  readonly value: string;
  readonly size: number;
  /** Counts insertions: the entry is alive while it is over `evicted`. */
  readonly number: number;
  field: Field | undefined;
  strangers: number;
}

const INDEXED = 0;
const CHANGING = 1;
const NEVER = 2;
const STATIC_ENTRIES = 61;
/** Every table's size before SETTINGS (RFC 9113 section 6.5.2). */
const INITIAL_TABLE = 4096;
const MOST_CREDIT = 32;
/** A name without credit gets some back after so many values. */
const REST = -64;
/** Names remembered; fields of further ones are written whole. */
const MOST_NAMES = 512;
const SKIPPED = FieldKind.HOP_BY_HOP | FieldKind.HOST;

const fixedValues = new Map<string, Map<string, number>>();
for (const [index, [name, value]] of staticTable.entries()) {
  if (value === "") continue;
  const values = fixedValues.get(name) ?? new Map<string, number>();
  fixedValues.set(name, values.set(value, index + 1));
}

export function createHpackEncoder(options: HpackEncoderOptions): HpackEncoder {
  const records = new Map<string, NameRecord>();
  const byField = new Map<Field, TableEntry>();
  /** Entries from the oldest alive, at `first`, to the newest. */
  let entries: TableEntry[] = [];
  let first = 0;
  let inserted = 0;
  let evicted = 0;
  let size = 0;
  let tableMax = Math.min(INITIAL_TABLE, options.tableLimit);
  /** The size the peer knows of. */
  let announced = INITIAL_TABLE;
  /** Lowest limit since the last block; -1 when no update is due. */
  let lowest = tableMax < announced ? tableMax : -1;

  // What `prepare` found, for `writeFields`.
  const prepared: Field[] = [];
  const found: (TableEntry | undefined)[] = [];
  let preparedCount = 0;
  let contentLength = -1;

  function recordOf(name: string): NameRecord | undefined {
    const known = records.get(name);
    if (known !== undefined) return known;
    if (records.size >= MOST_NAMES) return undefined;
    const policy = options.neverIndexed?.has(name) === true ? NEVER : changingNames.has(name) ? CHANGING : INDEXED;
    const record: NameRecord = {
      name,
      staticIndex: staticNameIndex.get(name) ?? 0,
      policy,
      values: new Map(),
      fixed: fixedValues.get(name),
      latest: undefined,
      credit: 8,
    };
    records.set(name, record);
    return record;
  }

  function evictTo(limit: number): void {
    while (size > limit) {
      const entry = entries[first]!;
      first++;
      evicted++;
      size -= entry.size;
      if (entry.record.values.get(entry.value) === entry) entry.record.values.delete(entry.value);
      if (entry.record.latest === entry) entry.record.latest = undefined;
      if (entry.field !== undefined) byField.delete(entry.field);
    }
    if (first > 64 && first * 2 > entries.length) {
      entries = entries.slice(first);
      first = 0;
    }
  }

  function insert(record: NameRecord, value: string, entrySize: number, field: Field | undefined): void {
    evictTo(tableMax - entrySize);
    const entry: TableEntry = { record, value, size: entrySize, number: ++inserted, field, strangers: 0 };
    entries.push(entry);
    size += entrySize;
    record.values.set(value, entry);
    record.latest = entry;
    if (field !== undefined) byField.set(field, entry);
  }

  function writeIndex(bytes: Buffer, position: number, entry: TableEntry): number {
    if (entry.record.credit < MOST_CREDIT) entry.record.credit++;
    const index = STATIC_ENTRIES + 1 + inserted - entry.number;
    if (index < 0x7f) {
      bytes[position] = 0x80 | index;
      return position + 1;
    }
    return writeInteger(bytes, position, 0x80, 0x7f, index);
  }

  function writeRaw(bytes: Buffer, position: number, text: string): number {
    position = writeInteger(bytes, position, 0, 0x7f, text.length);
    return position + bytes.write(text, position, "latin1");
  }

  function writePacked(bytes: Buffer, position: number, text: string): number {
    const length = huffmanLength(text);
    if (length >= text.length) return writeRaw(bytes, position, text);
    return writeHuffman(bytes, writeInteger(bytes, position, 0x80, 0x7f, length), text);
  }

  /** Index of a name in either table, or 0. */
  function indexOfName(record: NameRecord): number {
    if (record.staticIndex !== 0) return record.staticIndex;
    return record.latest === undefined ? 0 : STATIC_ENTRIES + 1 + inserted - record.latest.number;
  }

  function shouldInsert(record: NameRecord, entrySize: number, nameIndex: number): boolean {
    // Half of the table for one entry would throw out what pays.
    if (entrySize * 2 > tableMax || record.policy === NEVER) return false;
    // The first value of a name that changes goes in so that later ones can name it by index.
    if (record.policy === CHANGING) return nameIndex === 0;
    if (record.credit > 0) {
      record.credit--;
      return true;
    }
    if (--record.credit > REST) return false;
    record.credit = 0;
    return true;
  }

  function writeLiteral(bytes: Buffer, position: number, name: string, value: string, field: Field | undefined): number {
    const record = recordOf(name);
    if (record === undefined) {
      bytes[position] = options.neverIndexed?.has(name) === true ? 0x10 : 0;
      return writeRaw(bytes, writeRaw(bytes, position + 1, name), value);
    }
    const nameIndex = indexOfName(record);
    const entrySize = name.length + value.length + ENTRY_OVERHEAD;
    if (shouldInsert(record, entrySize, nameIndex)) {
      position = writeInteger(bytes, position, 0x40, 0x3f, nameIndex);
      if (nameIndex === 0) position = writePacked(bytes, position, name);
      position = writePacked(bytes, position, value);
      insert(record, value, entrySize, field);
      return position;
    }
    position = writeInteger(bytes, position, record.policy === NEVER ? 0x10 : 0, 0x0f, nameIndex);
    if (nameIndex === 0) position = writeRaw(bytes, position, name);
    return writeRaw(bytes, position, value);
  }

  /** The live entry that holds this content, where the value's name is worth looking at. */
  function findByContent(field: Field): TableEntry | undefined {
    const record = records.get(field.name);
    if (record === undefined || record.policy !== INDEXED) return undefined;
    const entry = record.values.get(field.value);
    if (entry === undefined) return undefined;
    // The same text in another object: after a few of them the table follows the object in use now.
    if ((++entry.strangers & 7) === 0) {
      if (entry.field !== undefined) byField.delete(entry.field);
      entry.field = field;
      byField.set(field, entry);
    }
    return entry;
  }

  /** Bytes a literal of this field can take; -1 for a field to leave out. */
  function checkLiteral(field: Field): number {
    const { name, value, kinds } = field;
    if ((kinds & SKIPPED) !== 0 && !((kinds & FieldKind.TE) !== 0 && value === "trailers")) return -1;
    // A name with a record has been checked.
    if (name.charCodeAt(0) === 58 || (!records.has(name) && roleOfName(name) === FieldRole.MALFORMED)) {
      throw new Http2Error("PROTOCOL_ERROR", `the field name ${JSON.stringify(name)} is not allowed in HTTP/2`);
    }
    if (!isFieldValue(value)) throw new Http2Error("PROTOCOL_ERROR", `the value of the field ${name} has bytes that are not allowed`);
    if ((kinds & FieldKind.CONTENT_LENGTH) !== 0) {
      if (!isContentLength(value) || contentLength !== -1)
        throw new Http2Error("PROTOCOL_ERROR", "content-length is malformed or given twice");
      contentLength = Number(value);
    }
    return name.length + value.length + 12;
  }

  function prepare(fields: readonly Field[]): number {
    let room = 0;
    let kept = 0;
    contentLength = -1;
    for (let i = 0; i < fields.length; i++) {
      const field = fields[i]!;
      let entry = byField.get(field);
      if (entry === undefined) {
        entry = findByContent(field);
        const bytes = entry === undefined ? checkLiteral(field) : field.name.length + field.value.length + 12;
        if (bytes < 0) continue;
        room += bytes;
      } else room += entry.size;
      prepared[kept] = field;
      found[kept] = entry;
      kept++;
    }
    preparedCount = kept;
    return room;
  }

  function writeFields(bytes: Buffer, position: number): number {
    for (let i = 0; i < preparedCount; i++) {
      const entry = found[i];
      const field = prepared[i]!;
      // An entry found may have left the table for one of the fields before it.
      if (entry !== undefined && entry.number > evicted) position = writeIndex(bytes, position, entry);
      else position = writeLiteral(bytes, position, field.name, field.value, field);
    }
    return position;
  }

  function writePseudo(bytes: Buffer, position: number, name: PseudoName, value: string): number {
    const record = recordOf(name);
    if (record !== undefined) {
      const fixed = record.fixed?.get(value);
      if (fixed !== undefined) {
        bytes[position] = 0x80 | fixed;
        return position + 1;
      }
      const entry = record.values.get(value);
      if (entry !== undefined) return writeIndex(bytes, position, entry);
    }
    return writeLiteral(bytes, position, name, value, undefined);
  }

  return {
    prepare,
    prefixBytes: 12,
    begin(bytes, position) {
      if (lowest >= 0) {
        // RFC 7541 section 4.2: the smallest size in between, then the last one.
        if (lowest < tableMax) position = writeInteger(bytes, position, 0x20, 0x1f, lowest);
        position = writeInteger(bytes, position, 0x20, 0x1f, tableMax);
        announced = tableMax;
        lowest = -1;
      }
      return position;
    },
    writePseudo,
    writeStatus: (bytes, position, status) => {
      if (status === 200) {
        bytes[position] = 0x88;
        return position + 1;
      }
      return writePseudo(bytes, position, ":status", String(status));
    },
    writeFields,
    get contentLength() {
      return contentLength;
    },
    setPeerLimit(limit) {
      tableMax = Math.min(limit, options.tableLimit);
      evictTo(tableMax);
      if (lowest >= 0) lowest = Math.min(lowest, tableMax);
      else if (tableMax !== announced) lowest = tableMax;
    },
    tableEntries: () => entries.length - first,
    tableSize: () => size,
  };
}
