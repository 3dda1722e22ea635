/** What this process has of memory, read from the process itself. */
import { expect, test } from "vitest";
import { createMemoryReader } from "../../sidecar/memory.ts";

test("resident memory stands against the limit that was set, the heap against V8's own", () => {
  const [resident, heap] = createMemoryReader(1e12)();
  expect(resident?.limit).toBe(1e12);
  expect(resident?.used).toBeGreaterThan(10e6);
  expect(resident?.used).toBeLessThan(1e11);
  expect(heap?.used).toBeGreaterThan(1e6);
  expect(heap?.limit).toBeGreaterThan(heap?.used ?? Number.POSITIVE_INFINITY);
});

test("without one, against what the process is contained in, or nothing", () => {
  const [resident] = createMemoryReader(0)();
  const contained = process.constrainedMemory();
  expect(resident?.limit).toBe(contained > 0 && contained < Number.MAX_SAFE_INTEGER ? contained : 0);
});
