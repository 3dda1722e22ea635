import { describe, expect, test } from "vitest";
import { createField, type Field } from "../../../common/http/field.ts";
import { read, streamOf, type ReaderChanges } from "./chunk-streams.ts";

const chunks = [Buffer.from("one"), Buffer.from("two"), Buffer.from("three")];
const checksum = createField("x-amz-checksum-crc32c", "sOO8/Q==");
const note = createField("x-note", "a  b");
const announced = new Set([checksum.name, note.name]);

describe("trailers", () => {
  const signed = (fields: readonly Field[], changes: ReaderChanges = { trailers: "any" }) => read([streamOf(chunks, fields)], changes);
  /** Behind an end that is signed as if it had no trailers. */
  const raw = (lines: string) => {
    const stream = streamOf(chunks, []).toString("latin1");
    return read([Buffer.from(stream.replace("x-amz-trailer-signature", `${lines}x-amz-trailer-signature`), "latin1")], { trailers: "any" });
  };

  test.each<[string, Field[]]>([
    ["one is missing", [checksum]],
    ["all are missing", []],
    ["one is new", [checksum, note, createField("x-other", "1")]],
    ["one is another", [checksum, createField("x-other", "1")]],
    ["one comes twice", [checksum, checksum, note]],
  ])("are refused when they are not those announced: %s", (_, fields) => {
    expect(signed(fields, { trailers: announced })).toMatchObject({ trailers: [], error: { code: "malformed-chunk" } });
  });

  test("unannounced ones may come several times, in their order", () => {
    const fields = [createField("x-b", "2"), createField("x-a", "1"), createField("x-b", "1")];
    expect(signed(fields).trailers.map(({ name, value }) => `${name}:${value}`)).toEqual(["x-a:1", "x-b:2", "x-b:1"]);
  });

  test("are the same in another order of names, in upper case and with blanks around their values", () => {
    const lines = streamOf(chunks, [checksum, note]).toString("latin1").split("\r\n");
    const at = lines.findIndex((line) => line.startsWith("x-amz-checksum"));
    lines.splice(at, 2, "X-Note: \ta  b\t ", "x-amz-checksum-crc32c:   sOO8/Q==");
    const result = read([Buffer.from(lines.join("\r\n"), "latin1")], { trailers: announced });
    expect(result.trailers.map(({ name, value }) => `${name}:${value}`)).toEqual(["x-note:a  b", "x-amz-checksum-crc32c:sOO8/Q=="]);
  });

  test.each([
    "content-length",
    "transfer-encoding",
    "connection",
    "trailer",
    "te",
    "host",
    "authorization",
    "expect",
    "x-forwarded-client-cert",
    "x-countersign-sequence",
    "x-countersign-anything",
  ])("never have %s among them", (name) => {
    expect(signed([createField(name, "1")])).toMatchObject({ trailers: [], error: { code: "malformed-chunk" } });
  });

  test.each([
    "x\r\n",
    ":1\r\n",
    "x :1\r\n",
    " x:1\r\n",
    "x:1\n",
    "x:1\rx\r\n",
    "x:\0\r\n",
    "x:\u007f\r\n",
    "é:1\r\n",
    "\r\n",
    `${"x".repeat(257)}:1\r\n`,
  ])("are refused as %j", (lines) => {
    expect(raw(lines)).toMatchObject({ chunks: 3, trailers: [], error: { code: "malformed-chunk" } });
  });

  test("that were added unsigned are refused", () => {
    expect(raw("x:1\r\n")).toMatchObject({ trailers: [], error: { code: "chunk-signature-mismatch" } });
  });

  test.each(["", "0", "z".repeat(64), "0".repeat(63), "0".repeat(65), "A".repeat(64)])("are refused with the signature %j", (value) => {
    const stream = streamOf(chunks, [])
      .toString("latin1")
      .replace(/x-amz-trailer-signature:.*/, `x-amz-trailer-signature:${value}`);
    expect(read([Buffer.from(stream, "latin1")], { trailers: "any" })).toMatchObject({ error: { code: "malformed-chunk" } });
  });

  test("are bounded in number and in size", () => {
    const many = (count: number) => Array.from({ length: count }, (_, index) => createField(`x-${index}`, "1"));
    expect(signed(many(64)).error).toBeUndefined();
    expect(signed(many(65))).toMatchObject({ error: { code: "malformed-chunk" } });
    expect(signed([createField("x", "a".repeat(8000))]).error).toBeUndefined();
    expect(signed([createField("x", "a".repeat(8192))])).toMatchObject({ error: { code: "malformed-chunk" } });
    expect(signed([createField("x", "a".repeat(4000)), createField("y", "a".repeat(4200))])).toMatchObject({
      error: { code: "malformed-chunk" },
    });
  });
});
