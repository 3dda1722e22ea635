import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createField } from "../../../../common/http/field.ts";
import { FieldRole, isFieldValue } from "../../../../sidecar/http2/field-rules.ts";
import { createEntry, createFieldName } from "../../../../sidecar/http2/hpack/entry.ts";

const byte = fc.oneof(
  { weight: 20, arbitrary: fc.integer({ min: 0x21, max: 0x7e }) },
  { weight: 3, arbitrary: fc.constant(0x20) },
  { weight: 1, arbitrary: fc.constantFrom(0, 9, 10, 13, 0x1f, 0x7f, 0x80, 0xff) },
);

describe("an entry", () => {
  it("of any bytes at any place is the field of its text, or malformed where that breaks a rule", () => {
    fc.assert(
      fc.property(fc.array(byte, { maxLength: 120, size: "max" }), fc.nat(9), (value, before) => {
        const bytes = Buffer.from([...Array.from({ length: before }, () => 0), ...value, 0, 0]);
        const text = Buffer.from(value).toString("latin1");
        const entry = createEntry(createFieldName("x-a"), bytes, before, before + value.length);
        expect(entry.role).toBe(isFieldValue(text) ? FieldRole.REGULAR : FieldRole.MALFORMED);
        expect(entry.field).toEqual(createField("x-a", text));
        expect(entry.size).toBe(3 + value.length + 32);
      }),
      { numRuns: 2000 },
    );
  });

  it.each([
    ["te", "trailers", FieldRole.REGULAR],
    ["te", "gzip", FieldRole.MALFORMED],
    ["content-length", "10", FieldRole.CONTENT_LENGTH],
    ["content-length", "ten", FieldRole.MALFORMED],
    [":path", "/a", FieldRole.PATH],
    [":path", "a", FieldRole.MALFORMED],
    ["upgrade", "h2c", FieldRole.MALFORMED],
    [":unknown", "a", FieldRole.MALFORMED],
  ])("%s: %s has its role", (name, value, role) => {
    expect(createEntry(createFieldName(name), Buffer.from(value), 0, value.length).role).toBe(role);
  });
});
