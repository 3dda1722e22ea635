/**
 * A bounded cache from text to what was parsed out of it.
 *
 * Hot path. Two generations: when the young one is full it becomes the old one and the previous old one is dropped, so
 * that what is in use survives and eviction costs nothing. A doorkeeper admits a text only when it is seen for the
 * second time: values that never repeat (dates, signatures, trace ids) are neither kept nor push out what does repeat.
 * Texts may hold secrets (cookies, tokens); they stay until two generations have passed and are never listed or logged.
 */
export interface Interned<Entry extends InternedEntry> {
  get(key: string): Entry | undefined;
  /** True when `hash` was offered lately: then `put` is worth its memory. */
  admits(hash: number): boolean;
  put(entry: Entry): void;
}

export interface InternedEntry {
  /** A string of its own: a slice would keep the text alive that it was cut from. */
  readonly key: string;
}

export interface InternedBounds {
  /** Of one generation. */
  readonly maxEntries: number;
  /** Characters of the keys of one generation; what an entry holds is a small multiple of its key. */
  readonly maxCharacters: number;
  /** Longer texts are never kept. */
  readonly maxKeyLength: number;
}

const doorkeeperSlots = 8192;

export function createInterned<Entry extends InternedEntry>(bounds: InternedBounds): Interned<Entry> {
  const seen = new Int32Array(doorkeeperSlots);
  let young = new Map<string, Entry>();
  let old = new Map<string, Entry>();
  let characters = 0;

  function put(entry: Entry): void {
    if (entry.key.length > bounds.maxKeyLength) return;
    if (young.size >= bounds.maxEntries || characters + entry.key.length > bounds.maxCharacters) {
      old = young;
      young = new Map();
      characters = 0;
    }
    young.set(entry.key, entry);
    characters += entry.key.length;
  }

  return {
    get(key) {
      const entry = young.get(key);
      if (entry !== undefined) return entry;
      const survivor = old.get(key);
      if (survivor !== undefined) put(survivor);
      return survivor;
    },
    admits(hash) {
      const slot = hash & (doorkeeperSlots - 1);
      if (seen[slot] === (hash | 0)) return true;
      seen[slot] = hash;
      return false;
    },
    put,
  };
}
