import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createField, type Field } from "../../../../common/http/field.ts";
import { createHpackDecoder } from "../../../../sidecar/http2/hpack/decoder.ts";
import { createHpackEncoder, type HpackEncoder } from "../../../../sidecar/http2/hpack/encoder.ts";

const make = (tableLimit = 4096, neverIndexed?: ReadonlySet<string>): HpackEncoder =>
  createHpackEncoder(neverIndexed === undefined ? { tableLimit } : { tableLimit, neverIndexed });

function encode(encoder: HpackEncoder, ...fields: Field[]): Buffer {
  const bytes = Buffer.alloc(encoder.prepare(fields) + encoder.prefixBytes + 8, 0xee);
  const end = encoder.writeFields(bytes, encoder.begin(bytes, 0));
  expect(end).toBeLessThanOrEqual(bytes.length - 8);
  return bytes.subarray(0, end);
}

const hex = (bytes: Buffer): string => bytes.toString("hex");

describe("fields", () => {
  it("go into the table once, Huffman-coded, and are an index from then on", () => {
    const encoder = make();
    const field = createField("custom-key", "custom-value");
    expect(hex(encode(encoder, field))).toBe("408825a849e95ba97d7f8925a849e95bb8e8b4bf");
    expect(hex(encode(encoder, field))).toBe("be");
    expect(hex(encode(encoder, createField("custom-key", "custom-value")))).toBe("be");
    expect([encoder.tableEntries(), encoder.tableSize()]).toEqual([1, 54]);
  });

  it("of several values of one name all stay in the table", () => {
    const encoder = make();
    const a = createField("x-tenant", "a");
    const b = createField("x-tenant", "b");
    encode(encoder, a, b);
    expect(hex(encode(encoder, a, b, a))).toBe("bfbebf");
  });

  it("with a name of the static table refer to it", () => {
    expect(hex(encode(make(), createField("content-type", "a")))).toBe("5f0161");
  });

  it("that change every time stay out of the table, raw", () => {
    const encoder = make();
    for (const value of ["one", "two"]) {
      expect(hex(encode(encoder, createField("authorization", value)))).toBe(`0f08${hex(Buffer.from([3]))}${hex(Buffer.from(value))}`);
    }
    expect(encoder.tableEntries()).toBe(0);
  });

  it("that change every time go in once where that gives their name an index", () => {
    const encoder = make();
    encode(encoder, createField("x-countersign-sequence", "1"));
    expect(hex(encode(encoder, createField("x-countersign-sequence", "2")))).toBe("0f2f0132");
    expect(encoder.tableEntries()).toBe(1);
  });

  it("that turn out to change stop going in, and start again when they come to rest", () => {
    const encoder = make(65_536);
    encoder.setPeerLimit(65_536);
    for (let i = 0; i < 500; i++) encode(encoder, createField("x-request-id", `id-${i}`));
    expect(encoder.tableEntries()).toBeLessThan(20);
    const settled = createField("x-request-id", "settled");
    for (let i = 0; i < 100; i++) encode(encoder, settled);
    expect(encode(encoder, settled)).toHaveLength(1);
  });

  it("with more names than are remembered are written whole, until names without entries make room", () => {
    const encoder = make();
    for (let i = 0; i < 5000; i++) encode(encoder, createField(`x-name-${i}`, "v"));
    const settled = createField("x-settled", "v");
    for (let i = 0; i < 10; i++) encode(encoder, settled);
    expect(encode(encoder, settled)).toHaveLength(1);
  });

  it("that are secrets are marked never to be indexed, whether their name is known or not", () => {
    const encoder = make(4096, new Set(["cookie", "x-secret"]));
    expect(hex(encode(encoder, createField("cookie", "a")))).toBe("1f110161");
    for (let i = 0; i < 2; i++) expect(hex(encode(encoder, createField("x-secret", "a")))).toBe("1008782d7365637265740161");
    expect(encoder.tableEntries()).toBe(0);
  });

  it("too large for the table do not empty it", () => {
    const encoder = make();
    encode(encoder, createField("a", "b"));
    encode(encoder, createField("x-large", "x".repeat(3000)));
    expect(encoder.tableEntries()).toBe(1);
  });

  it("follow the object in use when equal ones take turns", () => {
    const encoder = make();
    for (let i = 0; i < 40; i++) expect(encode(encoder, createField("x-a", "same"))).toHaveLength(i === 0 ? 9 : 1);
  });
});

describe("table size updates (RFC 7541 4.2)", () => {
  it("follow a change of the peer's limit, once", () => {
    const encoder = make(65_536);
    encoder.setPeerLimit(65_536);
    expect(hex(encode(encoder))).toBe("3fe1ff03");
    expect(hex(encode(encoder))).toBe("");
  });

  it("are not sent for the limit there was", () => {
    const encoder = make();
    encoder.setPeerLimit(4096);
    encoder.setPeerLimit(1_000_000);
    expect(hex(encode(encoder))).toBe("");
  });

  it("name the smallest limit in between, too", () => {
    const encoder = make();
    encode(encoder, createField("a", "b"));
    encoder.setPeerLimit(0);
    encoder.setPeerLimit(1024);
    expect(hex(encode(encoder))).toBe("203fe107");
    expect(encoder.tableEntries()).toBe(0);
  });

  it("lead to literals where the table is gone", () => {
    const encoder = make();
    encoder.setPeerLimit(0);
    expect(hex(encode(encoder, createField("a", "b")))).toBe("200001610162");
  });
});

describe("with our decoder", () => {
  const name = fc.oneof(
    fc.constantFrom("a", "content-type", "x-tenant", "cookie", "authorization", "date"),
    fc.stringMatching(/^[a-z][a-z0-9-]{0,12}$/),
  );
  const value = fc.oneof(
    fc.constantFrom("", "1", "2", "text/plain"),
    // Longer than whatever a codec holds ready.
    fc.nat(9000).map((length) => "value".repeat(length / 5)),
    fc.string({
      unit: fc
        .integer({ min: 0x21, max: 0xff })
        .filter((byte) => byte !== 0x7f)
        .map((byte) => String.fromCharCode(byte)),
      maxLength: 60,
    }),
  );
  const forbidden = new Set(["connection", "host", "te", "upgrade", "keep-alive", "trailer", "content-length"]);
  const fields = fc.array(
    fc.tuple(name, value).filter(([text]) => !forbidden.has(text)),
    { maxLength: 12 },
  );
  const step = fc.oneof(
    { weight: 5, arbitrary: fc.record({ fields }) },
    {
      weight: 1,
      arbitrary: fc.record({ limits: fc.array(fc.constantFrom(0, 40, 100, 300, 4096, 65_536), { minLength: 1, maxLength: 3 }) }),
    },
  );

  it("every list of fields comes out as it went in, in tables of any size", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const encoder = make(65_536);
        const decoder = createHpackDecoder({ requests: false, tableLimit: 65_536, listLimit: 65_536 });
        const shared = new Map<string, Field>();
        for (const now of steps) {
          if ("limits" in now) {
            for (const limit of now.limits) encoder.setPeerLimit(limit);
            continue;
          }
          // Every other field is the object of last time.
          const list = now.fields.map(([text, content], i) => {
            const key = `${text}:${content}`;
            const field = i % 2 === 0 ? (shared.get(key) ?? createField(text, content)) : createField(text, content);
            shared.set(key, field);
            return field;
          });
          const bytes = encode(encoder, ...list);
          const decoded = decoder.decode(bytes, 0, bytes.length);
          expect(decoded.flaw).toBe("");
          expect(decoded.fields).toEqual(list);
          expect([decoder.tableEntries(), decoder.tableSize()]).toEqual([encoder.tableEntries(), encoder.tableSize()]);
        }
      }),
      { numRuns: 300 },
    );
  });
});
