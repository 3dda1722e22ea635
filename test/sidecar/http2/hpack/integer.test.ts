import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readIntegerRest, writeInteger, type Cursor } from "../../../../sidecar/http2/hpack/integer.ts";

function write(value: number, mask: number, pattern = 0): string {
  const bytes = Buffer.alloc(8);
  return bytes.toString("hex", 0, writeInteger(bytes, 0, pattern, mask, value));
}

function read(hex: string, mask: number): number {
  const bytes = Buffer.from(hex, "hex");
  const cursor: Cursor = { bytes, position: 1, end: bytes.length };
  const prefix = bytes[0]! & mask;
  return prefix < mask ? prefix : readIntegerRest(cursor, mask);
}

describe("integers (RFC 7541 5.1, C.1)", () => {
  it.each([
    [10, 0x1f, "0a"],
    [1337, 0x1f, "1f9a0a"],
    [42, 0xff, "2a"],
    [31, 0x1f, "1f00"],
  ])("%i with prefix %i is %s", (value, mask, hex) => {
    expect(write(value, mask)).toBe(hex);
    expect(read(hex, mask)).toBe(value);
  });

  it("leave the pattern bits alone", () => {
    expect(write(2, 0x7f, 0x80)).toBe("82");
    expect(write(200, 0x3f, 0x40)).toBe("7f8901");
  });

  it("are read as they were written", () => {
    fc.assert(
      fc.property(fc.nat(0xfff_ffff), fc.constantFrom(0x0f, 0x1f, 0x3f, 0x7f), (value, mask) => {
        expect(read(write(value, mask), mask)).toBe(value);
      }),
    );
  });

  it.each([
    ["cut off", "1f"],
    ["cut off in the middle", "1f80"],
    ["too large", "1fffffffff0f"],
    ["padded with zeros without end", "1f808080808080"],
  ])("are refused when %s", (_, hex) => {
    expect(() => read(hex, 0x1f)).toThrow(expect.objectContaining({ code: "COMPRESSION_ERROR" }));
  });
});
