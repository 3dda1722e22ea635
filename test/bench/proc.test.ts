import { describe, expect, test } from "vitest";
import { codeOf } from "./code-of.ts";
import { parseStat } from "./cpu.ts";
import { memoryOf, parseMemory } from "./memory.ts";

describe("/proc", () => {
  test("a command that looks like fields shifts nothing", () => {
    const stat = "4711 (a) R 1 (b) S 17 4711 4711 0 -1 4194560 900 0 3 0 250 31 7 2 20 0 11 0 88 1000 200";
    expect(parseStat(stat)).toEqual({ parent: 17, ticks: 290 });
  });

  test("anything else than a stat line is refused", () => {
    expect(codeOf(() => parseStat("4711 (node) S 17"))).toBe("bad-output");
    expect(codeOf(() => parseStat(""))).toBe("bad-output");
  });

  test("memory is in bytes, whole and by share", () => {
    const rollup =
      "55d0-7ffc ---p 00000000 00:00 0   [rollup]\nRss:               61440 kB\nPss:               30720 kB\nPss_Dirty: 7 kB\n";
    expect(parseMemory(rollup)).toEqual({ residentBytes: 61440 * 1024, proportionalBytes: 30720 * 1024 });
    expect(codeOf(() => parseMemory("Rss: 1 kB\n"))).toBe("bad-output");
    const own = memoryOf(process.pid);
    expect(own.residentBytes).toBeGreaterThan(1e7);
    expect(own.proportionalBytes).toBeLessThanOrEqual(own.residentBytes);
  });
});
