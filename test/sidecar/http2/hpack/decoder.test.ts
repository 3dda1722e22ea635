import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Http2Error } from "../../../../sidecar/http2/error.ts";
import { createHpackDecoder, type HpackDecoder } from "../../../../sidecar/http2/hpack/decoder.ts";
import type { FieldBlock } from "../../../../sidecar/http2/hpack/field-block.ts";
import { writeHuffman } from "../../../../sidecar/http2/hpack/huffman.ts";
import { block } from "../wire.ts";

const make = (tableLimit = 4096, listLimit = 65_536, requests = true): HpackDecoder =>
  createHpackDecoder({ requests, tableLimit, listLimit });

function decode(decoder: HpackDecoder, hex: string): FieldBlock {
  const bytes = Buffer.from(hex.replaceAll(" ", ""), "hex");
  return decoder.decode(bytes, 0, bytes.length);
}

const texts = (decoded: FieldBlock): string[] => decoded.fields.map(({ name, value }) => `${name}: ${value}`);

describe("examples of RFC 7541 Appendix C", () => {
  it("C.2.1: a literal with indexing", () => {
    const decoder = make();
    expect(texts(decode(decoder, "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572"))).toEqual([
      "custom-key: custom-header",
    ]);
    expect([decoder.tableEntries(), decoder.tableSize()]).toEqual([1, 55]);
  });

  it("C.2.2: a literal without indexing", () => {
    const decoder = make();
    expect(decode(decoder, "040c 2f73 616d 706c 652f 7061 7468").path).toBe("/sample/path");
    expect(decoder.tableSize()).toBe(0);
  });

  it("C.2.3: a literal never indexed", () => {
    const decoder = make();
    expect(texts(decode(decoder, "1008 7061 7373 776f 7264 0673 6563 7265 74"))).toEqual(["password: secret"]);
    expect(decoder.tableSize()).toBe(0);
  });

  it("C.2.4: an indexed field", () => {
    expect(decode(make(), "82").method).toBe("GET");
  });

  it.each([
    [
      "C.3: requests without Huffman coding",
      [
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
      ],
    ],
    [
      "C.4: requests with Huffman coding",
      [
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
      ],
    ],
  ])("%s", (_, blocks) => {
    const decoder = make();
    const seen = blocks.map((hex) => {
      const decoded = decode(decoder, hex);
      const { method, scheme, path, authority } = decoded;
      return [method, scheme, path, authority, texts(decoded), decoder.tableSize()];
    });
    expect(seen).toEqual([
      ["GET", "http", "/", "www.example.com", [], 57],
      ["GET", "http", "/", "www.example.com", ["cache-control: no-cache"], 110],
      ["GET", "https", "/index.html", "www.example.com", ["custom-key: custom-value"], 164],
    ]);
  });

  it.each([
    [
      "C.5: responses without Huffman coding",
      [
        "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "4803 3330 37c1 c0bf",
        "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31",
      ],
    ],
    [
      "C.6: responses with Huffman coding",
      [
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
        "4883 640e ffc1 c0bf",
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
      ],
    ],
  ])("%s, in a table of 256 bytes", (_, blocks) => {
    const decoder = make(256, 65_536, false);
    const seen = blocks.map((hex) => {
      const decoded = decode(decoder, hex);
      return [decoded.status, texts(decoded), decoder.tableEntries(), decoder.tableSize()];
    });
    const location = "location: https://www.example.com";
    expect(seen).toEqual([
      ["302", ["cache-control: private", "date: Mon, 21 Oct 2013 20:13:21 GMT", location], 4, 222],
      ["307", ["cache-control: private", "date: Mon, 21 Oct 2013 20:13:21 GMT", location], 4, 222],
      [
        "200",
        [
          "cache-control: private",
          "date: Mon, 21 Oct 2013 20:13:22 GMT",
          location,
          "content-encoding: gzip",
          "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
        ],
        3,
        215,
      ],
    ]);
  });
});

describe("fields", () => {
  it("from the table are the same object each time, with the lines later steps need", () => {
    const decoder = make();
    const [first] = decode(decoder, "4001 6104 6220 2063").fields;
    const [again] = decode(decoder, "be").fields;
    expect(again).toBe(first);
    expect(first).toMatchObject({ name: "a", value: "b  c", canonical: "a:b c\n", line: "a: b  c\r\n", kinds: 0 });
  });

  it("of short literals that come again are too", () => {
    const decoder = make();
    const date = block(["x-amz-date", "20260101T000000Z"]).toString("hex");
    expect(decode(decoder, date).fields[0]).toBe(decode(decoder, date).fields[0]);
    expect(decode(decoder, block(["x-amz-date", "20260101T000001Z"]).toString("hex")).fields[0]?.value).toBe("20260101T000001Z");
  });

  it("of short literals are told apart by name, value and coding", () => {
    const decoder = make();
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 600; i++) {
        const name = `x-${i % 7}`;
        const [field] = decode(decoder, block([name, String(i)]).toString("hex")).fields;
        expect(`${field!.name}: ${field!.value}`).toBe(`${name}: ${i}`);
      }
    }
    // "0" raw and the byte 0x07 by Huffman, which is the same "0": 00000 and padding.
    expect(texts(decode(decoder, "0001 7801 30"))).toEqual(["x: 0"]);
    expect(texts(decode(decoder, "0001 7881 07"))).toEqual(["x: 0"]);
    expect(texts(decode(decoder, "0001 7801 07"))).toEqual([]);
  });

  it("know their classes", () => {
    const [field] = make().decode(block(["authorization", "caf\u00e9"]), 0, 20).fields;
    expect(field!.kinds).toBe(32 | 128);
  });
});

describe("Huffman strings", () => {
  const packed = (text: string): Buffer => {
    const coded = Buffer.alloc(text.length * 4);
    const length = writeHuffman(coded, 0, text);
    // The length as an integer of seven bits (RFC 7541 section 5.1), behind the bit that says Huffman.
    const digits = [0xff];
    let rest = length - 127;
    for (; rest >= 128; rest = Math.floor(rest / 128)) digits.push((rest % 128) + 128);
    return Buffer.concat([Buffer.from([...digits, rest]), coded.subarray(0, length)]);
  };

  it.each([1000, 1023, 1024, 1025, 4000, 8191, 20_000])("of %i bytes are whole, in names and in values, the first time too", (length) => {
    for (const [name, value] of [
      ["x-name", "v".repeat(length)],
      ["n".repeat(length), "a value long enough".repeat(20)],
    ] as const) {
      const namePart = name.length < 127 ? Buffer.concat([Buffer.from([name.length]), Buffer.from(name)]) : packed(name);
      const bytes = Buffer.concat([Buffer.from([0]), namePart, packed(value)]);
      const { fields } = make().decode(bytes, 0, bytes.length);
      expect(fields.map((field) => [field.name, field.value])).toEqual([[name, value]]);
    }
  });
});

describe("blocks that come again", () => {
  it("yield the same array of fields while the table stays as it is", () => {
    const decoder = make();
    decode(decoder, "4001 6101 31");
    const first = decode(decoder, "be 82").fields;
    expect(decode(decoder, "be 84").fields).not.toBe(first);
    expect(decode(decoder, "be 82").fields).toBe(first);
    decode(decoder, "4001 6101 32");
    const later = decode(decoder, "be 82");
    expect(texts(later)).toEqual(["a: 2"]);
    expect(later.method).toBe("GET");
  });

  it("do not keep what an evicted entry meant", () => {
    const decoder = make();
    decode(decoder, "4001 6101 31");
    decode(decoder, "be");
    decode(decoder, "20");
    expect(() => decode(decoder, "be")).toThrow(expect.objectContaining({ code: "COMPRESSION_ERROR" }));
  });

  it("do not put off a table size that is due", () => {
    const decoder = make();
    decode(decoder, "82");
    decoder.setTableLimit(64);
    expect(() => decode(decoder, "82")).toThrow(expect.objectContaining({ code: "COMPRESSION_ERROR" }));
  });
});

describe("the table", () => {
  it("evicts the oldest and is emptied by an entry larger than itself (4.4)", () => {
    const decoder = make(100);
    decode(decoder, "4001 6101 31 4001 6201 31");
    expect([decoder.tableEntries(), decoder.tableSize()]).toEqual([2, 68]);
    decode(decoder, "4001 6301 31");
    expect(texts(decode(decoder, "be bf"))).toEqual(["c: 1", "b: 1"]);
    decode(
      decoder,
      block(["d", "x".repeat(80)])
        .toString("hex")
        .replace(/^00/, "40"),
    );
    expect([decoder.tableEntries(), decoder.tableSize()]).toEqual([0, 0]);
  });

  it("lets an entry take its name from the one it evicts (4.4)", () => {
    const decoder = make(40);
    decode(decoder, "4001 6104 31323334");
    expect(texts(decode(decoder, "7e04 35363738"))).toEqual(["a: 5678"]);
    expect(decoder.tableEntries()).toBe(1);
  });

  it("holds thousands of entries", () => {
    const decoder = make(65_536);
    decode(decoder, "3fe1ff03");
    for (let i = 0; i < 3000; i++)
      decode(
        decoder,
        block([`n${i % 10}`, String(i)])
          .toString("hex")
          .replace(/^00/, "40"),
      );
    expect(decoder.tableSize()).toBeLessThanOrEqual(65_536);
    expect(decoder.tableEntries()).toBe(Math.floor(65_536 / 38));
    expect(texts(decode(decoder, "be"))).toEqual(["n9: 2999"]);
  });

  it("is made smaller and larger at the beginning of a block", () => {
    const decoder = make();
    decode(decoder, "4001 6101 31");
    expect(texts(decode(decoder, "20 3fe11f 82"))).toEqual([]);
    expect(decoder.tableEntries()).toBe(0);
  });

  it("must be made smaller after an acknowledged lower limit", () => {
    const decoder = make();
    decode(decoder, "4001 6101 31");
    decoder.setTableLimit(64);
    decode(decoder, "3f21 82");
    const stubborn = make();
    stubborn.setTableLimit(64);
    expect(() => decode(stubborn, "82")).toThrow(expect.objectContaining({ code: "COMPRESSION_ERROR" }));
  });
});

describe("malformed blocks", () => {
  it.each([
    ["index 0", "80"],
    ["an index beyond both tables", "be"],
    ["a name index beyond both tables", "7e 01 61"],
    ["an index cut off", "ff"],
    ["an index without end", "ff ff ff ff ff ff"],
    ["a literal without its value", "40 01 61"],
    ["a name cut off", "40 05 61"],
    ["a value cut off", "40 01 61 05 62"],
    ["a length cut off", "40 01 61 7f"],
    ["a Huffman string with a byte of padding", "40 01 61 82 1f ff"],
    ["a Huffman string with EOS", "40 01 61 84 3f ff ff ff"],
    ["a table made larger than allowed", "3f e2 1f"],
    ["a table size behind a field", "82 20"],
    ["three table sizes", "20 20 20 82"],
  ])("with %s are COMPRESSION_ERROR", (_, hex) => {
    expect(() => decode(make(), hex)).toThrow(expect.objectContaining({ code: "COMPRESSION_ERROR" }));
  });

  it("any bytes either decode or are refused, within the limits", () => {
    const outcome = (decoder: HpackDecoder, bytes: Buffer): string => {
      try {
        decoder.decode(bytes, 0, bytes.length);
        return "decoded";
      } catch (error) {
        return error instanceof Http2Error ? error.code : String(error);
      }
    };
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        const decoder = make(256);
        expect(["decoded", "COMPRESSION_ERROR"]).toContain(outcome(decoder, Buffer.from(bytes)));
        expect(decoder.tableSize()).toBeLessThanOrEqual(256);
      }),
      { numRuns: 2000 },
    );
  });
});

describe("the list limit", () => {
  it("counts names, values and 32 bytes a field, and keeps the table in step beyond it", () => {
    const decoder = make(4096, 100);
    const decoded = decode(decoder, "4001 6104 31323334 4001 6204 31323334 4001 6304 31323334");
    expect([decoded.size, decoded.tooLarge]).toEqual([111, true]);
    expect(texts(decode(decoder, "be"))).toEqual(["c: 1234"]);
    expect(decode(decoder, "bf be").tooLarge).toBe(false);
  });

  it("ends the connection for sixteen times as much", () => {
    const decoder = make(4096, 4096);
    decode(
      decoder,
      block(["a", "x".repeat(1000)])
        .toString("hex")
        .replace(/^00/, "40"),
    );
    expect(decode(decoder, "be".repeat(60)).tooLarge).toBe(true);
    expect(() => decode(decoder, "be".repeat(70))).toThrow(expect.objectContaining({ code: "ENHANCE_YOUR_CALM" }));
  });
});
