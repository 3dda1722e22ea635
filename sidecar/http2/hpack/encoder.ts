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
import {
  createEncoderTable,
  findByContent,
  indexOf,
  indexOfName,
  IndexPolicy,
  insertEntry,
  isAlive,
  recordOf,
  resizeTable,
  type NameRecord,
  type TableEntry,
} from "./encoder-table.ts";
import { huffmanLength, writeHuffman } from "./huffman.ts";
import { writeInteger } from "./integer.ts";

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
   * Connection-specific fields and `host` are left out, and fields of the kinds in `without`: of those only content-length may
   * be named. Throws Http2Error PROTOCOL_ERROR for a field that breaks a rule.
   */
  prepare(fields: readonly Field[], without?: number): number;
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

/** Every table's size before SETTINGS (RFC 9113 section 6.5.2). */
const INITIAL_TABLE = 4096;
const MOST_CREDIT = 32;
/** A name without credit gets some back after so many values. */
const REST = -64;
const SKIPPED = FieldKind.HOP_BY_HOP | FieldKind.HOST;

export function createHpackEncoder(options: HpackEncoderOptions): HpackEncoder {
  const { tableLimit, neverIndexed } = options;
  const table = createEncoderTable(Math.min(INITIAL_TABLE, tableLimit), policyOf);
  /** The size the peer knows of. */
  let announced = INITIAL_TABLE;
  /** Lowest limit since the last block; -1 when no update is due. */
  let lowest = table.max < announced ? table.max : -1;

  // What `prepare` found, for `writeFields`.
  const prepared: Field[] = [];
  const found: (TableEntry | undefined)[] = [];
  let preparedCount = 0;
  let contentLength = -1;

  function policyOf(name: string): IndexPolicy {
    if (neverIndexed?.has(name) === true) return IndexPolicy.NEVER;
    return changingNames.has(name) ? IndexPolicy.CHANGING : IndexPolicy.INDEXED;
  }

  function writeIndex(bytes: Buffer, position: number, entry: TableEntry): number {
    if (entry.record.credit < MOST_CREDIT) entry.record.credit++;
    const index = indexOf(table, entry);
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

  function shouldInsert(record: NameRecord, entrySize: number, nameIndex: number): boolean {
    // Half of the table for one entry would throw out what pays.
    if (entrySize * 2 > table.max || record.policy === IndexPolicy.NEVER) return false;
    // The first value of a name that changes goes in so that later ones can name it by index.
    if (record.policy === IndexPolicy.CHANGING) return nameIndex === 0;
    if (record.credit > 0) {
      record.credit--;
      return true;
    }
    if (--record.credit > REST) return false;
    record.credit = 0;
    return true;
  }

  function writeLiteral(bytes: Buffer, position: number, name: string, value: string, field: Field | undefined): number {
    const record = recordOf(table, name);
    if (record === undefined) {
      bytes[position] = neverIndexed?.has(name) === true ? 0x10 : 0;
      return writeRaw(bytes, writeRaw(bytes, position + 1, name), value);
    }
    const nameIndex = indexOfName(table, record);
    const entrySize = name.length + value.length + ENTRY_OVERHEAD;
    if (shouldInsert(record, entrySize, nameIndex)) {
      position = writeInteger(bytes, position, 0x40, 0x3f, nameIndex);
      if (nameIndex === 0) position = writePacked(bytes, position, name);
      position = writePacked(bytes, position, value);
      insertEntry(table, record, value, entrySize, field);
      return position;
    }
    position = writeInteger(bytes, position, record.policy === IndexPolicy.NEVER ? 0x10 : 0, 0x0f, nameIndex);
    if (nameIndex === 0) position = writeRaw(bytes, position, name);
    return writeRaw(bytes, position, value);
  }

  /** Bytes a literal of this field can take; -1 for a field to leave out. */
  function checkLiteral(field: Field, skipped: number): number {
    const { name, value, kinds } = field;
    if ((kinds & skipped) !== 0 && !((kinds & FieldKind.TE) !== 0 && value === "trailers")) return -1;
    // A name with a record has been checked.
    if (name.charCodeAt(0) === 58 || (!table.names.has(name) && roleOfName(name) === FieldRole.MALFORMED)) {
      throw new Http2Error("PROTOCOL_ERROR", `the field name ${JSON.stringify(name)} is not allowed in HTTP/2`);
    }
    if ((kinds & FieldKind.PLAIN) === 0 && !isFieldValue(value))
      throw new Http2Error("PROTOCOL_ERROR", `the value of the field ${name} has bytes that are not allowed`);
    if ((kinds & FieldKind.CONTENT_LENGTH) !== 0) {
      if (!isContentLength(value) || contentLength !== -1)
        throw new Http2Error("PROTOCOL_ERROR", "content-length is malformed or given twice");
      contentLength = Number(value);
    }
    return name.length + value.length + 12;
  }

  function prepare(fields: readonly Field[], without = 0): number {
    const skipped = SKIPPED | without;
    let room = 0;
    let kept = 0;
    contentLength = -1;
    for (let i = 0; i < fields.length; i++) {
      const field = fields[i]!;
      let entry = table.byField.get(field);
      if (entry === undefined) {
        entry = findByContent(table, field);
        const bytes = entry === undefined ? checkLiteral(field, skipped) : field.name.length + field.value.length + 12;
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
      if (entry !== undefined && isAlive(table, entry)) position = writeIndex(bytes, position, entry);
      else position = writeLiteral(bytes, position, field.name, field.value, field);
    }
    return position;
  }

  function writePseudo(bytes: Buffer, position: number, name: PseudoName, value: string): number {
    const record = recordOf(table, name);
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
        if (lowest < table.max) position = writeInteger(bytes, position, 0x20, 0x1f, lowest);
        position = writeInteger(bytes, position, 0x20, 0x1f, table.max);
        announced = table.max;
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
      resizeTable(table, Math.min(limit, tableLimit));
      if (lowest >= 0) lowest = Math.min(lowest, table.max);
      else if (table.max !== announced) lowest = table.max;
    },
    tableEntries: () => table.inserted - table.evicted,
    tableSize: () => table.size,
  };
}
