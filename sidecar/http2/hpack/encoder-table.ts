/**
 * The encoder's dynamic table (RFC 7541 section 2.3.2), with what is needed to find entries in it: by the field object, by
 * name and value, by name.
 *
 * Hot path: functions over one record.
 */
import type { Field } from "../../../common/http/field.ts";
import { staticNameIndex, staticTable } from "./static-table.ts";

/** What to do with values of a name: index them, write them whole because they change, or mark them never to be indexed. */
export const IndexPolicy = { INDEXED: 0, CHANGING: 1, NEVER: 2 } as const;
export type IndexPolicy = (typeof IndexPolicy)[keyof typeof IndexPolicy];

/** What the encoder knows of a name. */
export interface NameRecord {
  readonly name: string;
  readonly policy: IndexPolicy;
  /** The name's first index in the static table, or 0. */
  readonly staticIndex: number;
  /** Indexes of the name's values in the static table. */
  readonly fixed: ReadonlyMap<string, number> | undefined;
  /** Entries of that name by value. */
  readonly values: Map<string, TableEntry>;
  latest: TableEntry | undefined;
  /** Insertions use it up, hits restore it. */
  credit: number;
}

export interface TableEntry {
  readonly record: NameRecord;
  readonly value: string;
  readonly size: number;
  /** Counts insertions: the entry is in the table while it is over `evicted`. */
  readonly number: number;
  field: Field | undefined;
  /** Hits by content, with other field objects than `field`. */
  strangers: number;
}

export interface EncoderTable {
  readonly policyOf: (name: string) => IndexPolicy;
  readonly names: Map<string, NameRecord>;
  readonly byField: Map<Field, TableEntry>;
  /** Entries from the oldest in the table, at `first`, to the newest. */
  entries: TableEntry[];
  first: number;
  inserted: number;
  evicted: number;
  size: number;
  max: number;
  /** `inserted` when names without entries were last forgotten. */
  swept: number;
}

const STATIC_ENTRIES = 61;
/** Names remembered; fields of further ones are written whole. */
const MOST_NAMES = 512;
const SWEEP_EVERY = 64;
const FIRST_CREDIT = 8;

const fixedValues = new Map<string, Map<string, number>>();
for (const [index, [name, value]] of staticTable.entries()) {
  if (value === "") continue;
  const values = fixedValues.get(name) ?? new Map<string, number>();
  fixedValues.set(name, values.set(value, index + 1));
}

export function createEncoderTable(max: number, policyOf: (name: string) => IndexPolicy): EncoderTable {
  return { policyOf, names: new Map(), byField: new Map(), entries: [], first: 0, inserted: 0, evicted: 0, size: 0, max, swept: 0 };
}

/** What is known of a name, from now on if not before; undefined while too many are. */
export function recordOf(table: EncoderTable, name: string): NameRecord | undefined {
  const known = table.names.get(name);
  if (known !== undefined) return known;
  if (table.names.size >= MOST_NAMES && !forgetNames(table)) return undefined;
  const record: NameRecord = {
    name,
    policy: table.policyOf(name),
    staticIndex: staticNameIndex.get(name) ?? 0,
    fixed: fixedValues.get(name),
    values: new Map(),
    latest: undefined,
    credit: FIRST_CREDIT,
  };
  table.names.set(name, record);
  return record;
}

/** Forgets names that have no entry, now and then; whether there is room for another. */
function forgetNames(table: EncoderTable): boolean {
  if (table.inserted - table.swept < SWEEP_EVERY) return false;
  table.swept = table.inserted;
  for (const record of table.names.values()) if (record.values.size === 0) table.names.delete(record.name);
  return table.names.size < MOST_NAMES;
}

export function isAlive(table: EncoderTable, entry: TableEntry): boolean {
  return entry.number > table.evicted;
}

export function indexOf(table: EncoderTable, entry: TableEntry): number {
  return STATIC_ENTRIES + 1 + table.inserted - entry.number;
}

/** Index of a name in either table, or 0. */
export function indexOfName(table: EncoderTable, record: NameRecord): number {
  if (record.staticIndex !== 0) return record.staticIndex;
  return record.latest === undefined ? 0 : indexOf(table, record.latest);
}

/** The entry that holds a field's content under another object. */
export function findByContent(table: EncoderTable, field: Field): TableEntry | undefined {
  const record = table.names.get(field.name);
  if (record === undefined || record.policy !== IndexPolicy.INDEXED) return undefined;
  const entry = record.values.get(field.value);
  if (entry === undefined) return undefined;
  // After a few of them the entry follows the object in use now.
  if ((++entry.strangers & 7) === 0) {
    if (entry.field !== undefined) table.byField.delete(entry.field);
    entry.field = field;
    table.byField.set(field, entry);
  }
  return entry;
}

/** Puts an entry of `size` (RFC 7541 section 4.1), at most `max`, in front. */
export function insertEntry(table: EncoderTable, record: NameRecord, value: string, size: number, field: Field | undefined): void {
  evictTo(table, table.max - size);
  const entry: TableEntry = { record, value, size, number: ++table.inserted, field, strangers: 0 };
  table.entries.push(entry);
  table.size += size;
  record.values.set(value, entry);
  record.latest = entry;
  if (field !== undefined) table.byField.set(field, entry);
}

export function resizeTable(table: EncoderTable, max: number): void {
  table.max = max;
  evictTo(table, max);
}

function evictTo(table: EncoderTable, limit: number): void {
  while (table.size > limit) {
    const entry = table.entries[table.first]!;
    const { record } = entry;
    table.first++;
    table.evicted++;
    table.size -= entry.size;
    if (record.values.get(entry.value) === entry) record.values.delete(entry.value);
    if (record.latest === entry) record.latest = undefined;
    if (entry.field !== undefined) table.byField.delete(entry.field);
  }
  if (table.first > 64 && table.first * 2 > table.entries.length) {
    table.entries = table.entries.slice(table.first);
    table.first = 0;
  }
}
