import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeHuffman, huffmanLength, writeHuffman } from "../../../../sidecar/http2/hpack/huffman.ts";

function pack(text: string): Buffer {
  const bytes = Buffer.alloc(huffmanLength(text) + 8, 0xee);
  const end = writeHuffman(bytes, 0, text);
  expect(end).toBe(huffmanLength(text));
  expect(bytes[end]).toBe(0xee);
  return bytes.subarray(0, end);
}

function unpack(bytes: Uint8Array): string | undefined {
  const target = Buffer.alloc(bytes.length * 2);
  const length = decodeHuffman(bytes, 0, bytes.length, target);
  return length < 0 ? undefined : target.toString("latin1", 0, length);
}

describe("Huffman code (RFC 7541 5.2 and Appendix B)", () => {
  it.each([
    ["www.example.com", "f1e3c2e5f23a6ba0ab90f4ff"],
    ["no-cache", "a8eb10649cbf"],
    ["custom-key", "25a849e95ba97d7f"],
    ["custom-value", "25a849e95bb8e8b4bf"],
    ["302", "6402"],
    ["307", "640eff"],
    ["private", "aec3771a4b"],
    ["Mon, 21 Oct 2013 20:13:21 GMT", "d07abe941054d444a8200595040b8166e082a62d1bff"],
    ["https://www.example.com", "9d29ad171863c78f0b97c8e9ae82ae43d3"],
    ["gzip", "9bd9ab"],
    [
      "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
      "94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
    ],
    ["", ""],
  ])("codes %j as the RFC does", (text, hex) => {
    expect(pack(text).toString("hex")).toBe(hex);
    expect(unpack(Buffer.from(hex, "hex"))).toBe(text);
  });

  it("has the RFC's longest codes", () => {
    expect(pack("\n").toString("hex")).toBe("fffffff3");
    expect(pack("\u0016").toString("hex")).toBe("fffffffb");
    expect(pack("\u00ff").toString("hex")).toBe("fffffbbf");
  });

  it("gives every string of bytes back", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
        const text = Buffer.from(bytes).toString("latin1");
        expect(unpack(pack(text))).toBe(text);
      }),
    );
  });

  it.each([
    ["a whole byte of padding", "ff"],
    ["a byte of padding behind a symbol", "1fff"],
    ["padding of more than seven bits", "64020fff"],
    ["padding with a zero in it", "18"],
    ["EOS", "3fffffff"],
    ["EOS behind a symbol", "1fffffffff"],
  ])("refuses %s", (_, hex) => {
    expect(unpack(Buffer.from(hex, "hex"))).toBeUndefined();
  });

  it("says of any bytes whether they are a string, and the string is the only one of its code", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        const text = unpack(bytes);
        expect(text === undefined ? undefined : pack(text)).toEqual(text === undefined ? undefined : Buffer.from(bytes));
      }),
    );
  });
});
