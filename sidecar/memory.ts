/** The memory that this process has and may have. */
import { getHeapStatistics } from "node:v8";
import type { MemoryUse } from "./overload.ts";

/**
 * Reads resident memory against `limit` bytes, or that of the cgroup where it is 0 (v2's `memory.max` and `memory.high`, or
 * v1's, the least on the way up; none where there is none), and V8's heap against the size at which it gives up.
 */
export function createMemoryReader(limit: number): () => readonly MemoryUse[] {
  const resident = limit > 0 ? limit : containedIn();
  return () => {
    const heap = getHeapStatistics();
    return [
      { used: process.memoryUsage.rss(), limit: resident },
      { used: heap.used_heap_size, limit: heap.heap_size_limit },
    ];
  };
}

/** 0 where nothing constrains it: libuv then says nothing, or as much as a word can hold. */
function containedIn(): number {
  const constrained = process.constrainedMemory();
  return constrained < Number.MAX_SAFE_INTEGER ? constrained : 0;
}
