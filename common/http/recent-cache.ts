/**
 * A bounded cache for text from the wire, in two generations: when the young one is full it becomes the old one, and the
 * old one is dropped. A hit among the old moves to the young, so what is in use stays, whatever a hostile caller adds; and
 * unlike a least-recently-used list, a hit costs one Map lookup and no bookkeeping.
 */
export interface RecentCache<V> {
  get(key: string): V | undefined;
  set(key: string, value: V): void;
}

/**
 * Holds between `limit` and 2 × `limit` entries once full. Keys longer than `maxKeyLength` characters are not kept, which
 * bounds the bytes as well.
 */
export function createRecentCache<V extends object | string>(limit: number, maxKeyLength: number): RecentCache<V> {
  let young = new Map<string, V>();
  let old = new Map<string, V>();

  function add(key: string, value: V): void {
    if (young.size >= limit) {
      old = young;
      young = new Map();
    }
    young.set(key, value);
  }

  return {
    get(key) {
      const hit = young.get(key);
      if (hit !== undefined) return hit;
      const aged = old.get(key);
      if (aged !== undefined) add(key, aged);
      return aged;
    },
    set(key, value) {
      if (key.length <= maxKeyLength) add(key, value);
    },
  };
}
