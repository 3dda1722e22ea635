import { describe, expect, it } from "vitest";
import { createOutput, reserve, take } from "../../../sidecar/http2/output.ts";

function write(output: ReturnType<typeof createOutput>, size: number, byte: number): void {
  reserve(output, size);
  output.buffer.fill(byte, output.length, output.length + size);
  output.length += size;
}

describe("the output", () => {
  it("gives everything written since the last time, once, and tells when there is something", () => {
    let told = 0;
    const output = createOutput(() => told++);
    expect(take(output)).toBeUndefined();
    write(output, 3, 1);
    write(output, 2, 2);
    expect(told).toBe(1);
    expect([...take(output)!]).toEqual([1, 1, 1, 2, 2]);
    expect(take(output)).toBeUndefined();
    write(output, 1, 3);
    expect(told).toBe(2);
  });

  it.each([10, 20_000, 48_000, 49_152, 60_000, 300_000])(
    "keeps what was written while growing to %i bytes, and lets go of what it gave",
    (size) => {
      const output = createOutput(() => {});
      for (let left = size; left > 0; left -= 7) write(output, Math.min(7, left), 5);
      const given = take(output)!;
      expect(given).toHaveLength(size);
      expect(given.every((byte) => byte === 5)).toBe(true);
      write(output, size, 6);
      expect(given.every((byte) => byte === 5)).toBe(true);
      expect(take(output)!.every((byte) => byte === 6)).toBe(true);
    },
  );
});
