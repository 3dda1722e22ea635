/**
 * A bounded cache from bytes to what was parsed out of them.
 *
 * Hot path. Found by a hash the caller already has, then compared byte by byte. Two generations: when the young one is
 * full it becomes the old one and what the old one held is dropped, so that what is in use survives and eviction costs
 * nothing. A doorkeeper admits bytes only when they come for the second time: values that never repeat (dates,
 * signatures, trace ids) are neither kept nor push out what does repeat.
 *
 * Bytes may hold secrets (cookies, tokens): they stay until two generations have passed and are never listed or logged.
 */
import { viewOf } from "./words.ts";

export interface Interned<Value> {
  /** What was kept for the bytes `buffer[from, to)`, whose hash is `hash`. */
  find(buffer: Buffer, from: number, to: number, hash: number): Value | undefined;
  /** Keeps `value` for these bytes if they were offered before. */
  offer(buffer: Buffer, from: number, to: number, hash: number, value: Value): void;
}

export interface InternedBounds {
  /** Of one generation. */
  readonly maxEntries: number;
  /** Of the keys of one generation; a value is a small multiple of its key. */
  readonly maxBytes: number;
  /** Longer keys are never kept. */
  readonly maxKeyBytes: number;
}

interface Entry<Value> {
  readonly at: number;
  readonly length: number;
  readonly value: Value;
}

interface Generation<Value> {
  readonly entries: Map<number, Entry<Value>>;
  readonly keys: Buffer;
  readonly view: DataView;
  used: number;
}

const doorkeeperSlots = 8192;

function createGeneration<Value>(bytes: number): Generation<Value> {
  const keys = Buffer.allocUnsafeSlow(bytes);
  return { entries: new Map(), keys, view: new DataView(keys.buffer), used: 0 };
}

function equalBytes(keys: DataView, at: number, buffer: Buffer, from: number, length: number): boolean {
  const bytes = viewOf(buffer);
  const start = buffer.byteOffset + from;
  let index = 0;
  for (; index + 8 <= length; index += 8) {
    const first = keys.getInt32(at + index, true) ^ bytes.getInt32(start + index, true);
    const second = keys.getInt32(at + index + 4, true) ^ bytes.getInt32(start + index + 4, true);
    if ((first | second) !== 0) return false;
  }
  for (; index + 4 <= length; index += 4) {
    if (keys.getInt32(at + index, true) !== bytes.getInt32(start + index, true)) return false;
  }
  for (; index < length; index++) {
    if (keys.getUint8(at + index) !== bytes.getUint8(start + index)) return false;
  }
  return true;
}

export function createInterned<Value>(bounds: InternedBounds): Interned<Value> {
  const seen = new Int32Array(doorkeeperSlots);
  let young = createGeneration<Value>(bounds.maxBytes);
  let old = createGeneration<Value>(bounds.maxBytes);

  function findIn(generation: Generation<Value>, buffer: Buffer, from: number, length: number, hash: number): Value | undefined {
    const entry = generation.entries.get(hash);
    if (entry === undefined || entry.length !== length) return undefined;
    return equalBytes(generation.view, entry.at, buffer, from, length) ? entry.value : undefined;
  }

  function keep(buffer: Buffer, from: number, to: number, hash: number, value: Value): void {
    const length = to - from;
    if (length > bounds.maxKeyBytes) return;
    if (young.entries.size >= bounds.maxEntries || young.used + length > bounds.maxBytes) {
      const emptied = old;
      old = young;
      young = emptied;
      young.entries.clear();
      young.used = 0;
    }
    buffer.copy(young.keys, young.used, from, to);
    young.entries.set(hash, { at: young.used, length, value });
    young.used += length;
  }

  return {
    find(buffer, from, to, hash) {
      const length = to - from;
      const value = findIn(young, buffer, from, length, hash);
      if (value !== undefined || old.entries.size === 0) return value;
      const survivor = findIn(old, buffer, from, length, hash);
      if (survivor !== undefined) keep(buffer, from, to, hash, survivor);
      return survivor;
    },
    offer(buffer, from, to, hash, value) {
      const slot = hash & (doorkeeperSlots - 1);
      if (seen[slot] === hash) keep(buffer, from, to, hash, value);
      else seen[slot] = hash;
    },
  };
}
