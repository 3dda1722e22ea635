import { describe, expect, test } from "vitest";
import { createField } from "../../../common/http/field.ts";
import { parsePayloadHash, streamingPayload, streamingPayloadTrailer } from "../../../common/sigv4/payload-hash.ts";
import { parseStreamDeclaration } from "../../../common/sigv4/stream-declaration.ts";

const plain = parsePayloadHash(streamingPayload);
const trailing = parsePayloadHash(streamingPayloadTrailer);
const fieldsOf = (...fields: [name: string, value: string][]) => fields.map(([name, value]) => createField(name, value));
const length = (value: string): [string, string] => ["x-amz-decoded-content-length", value];
const trailer = (value: string): [string, string] => ["x-amz-trailer", value];

describe("parseStreamDeclaration", () => {
  test("reads what an SDK says", () => {
    const fields = fieldsOf(["accept", "*/*"], length("66560"), trailer("x-amz-checksum-crc32c"));
    expect(parseStreamDeclaration(trailing, fields)).toEqual({ decodedLength: 66_560, trailers: new Set(["x-amz-checksum-crc32c"]) });
  });

  test("reads what a sidecar leaves out", () => {
    expect(parseStreamDeclaration(plain, [])).toEqual({ decodedLength: -1, trailers: "none" });
    expect(parseStreamDeclaration(trailing, [])).toEqual({ decodedLength: -1, trailers: "any" });
  });

  test("reads several trailers, in any case", () => {
    expect(parseStreamDeclaration(trailing, fieldsOf(trailer("X-Sum ,\tconstructor"))).trailers).toEqual(new Set(["x-sum", "constructor"]));
  });

  test("takes no length at all for a length of nothing", () => {
    expect(parseStreamDeclaration(plain, fieldsOf(length("0"))).decodedLength).toBe(0);
  });

  test.each(["", "-1", "+1", "01", "1.0", "1e3", "0x10", "12 ", "1,1", "1000000000000000", "\u0661"])("refuses the length %j", (value) => {
    expect(() => parseStreamDeclaration(plain, fieldsOf(length(value)))).toThrow(
      expect.objectContaining({ name: "SigV4Error", code: "malformed-stream-header" }),
    );
  });

  test.each(["", ",", "a,", ",a", "a,,b", "a b", "a;b", "a,A", "a\u00e9", "a".repeat(257)])("refuses the trailers %j", (value) => {
    expect(() => parseStreamDeclaration(trailing, fieldsOf(trailer(value)))).toThrow(
      expect.objectContaining({ name: "SigV4Error", code: "malformed-stream-header" }),
    );
  });

  test("refuses trailers that the payload's mode leaves unsigned", () => {
    expect(() => parseStreamDeclaration(plain, fieldsOf(trailer("x-amz-checksum-crc32c")))).toThrow(
      expect.objectContaining({ code: "malformed-stream-header" }),
    );
  });

  test.each([
    [length("1"), length("1")],
    [trailer("a"), trailer("a")],
  ])("refuses %j twice", (...fields) => {
    expect(() => parseStreamDeclaration(trailing, fieldsOf(...fields))).toThrow(expect.objectContaining({ code: "duplicate-header" }));
  });
});
