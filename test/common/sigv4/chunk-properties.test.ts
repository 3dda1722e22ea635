import * as fc from "fast-check";
import { expect, test } from "vitest";
import { createField, type Field } from "../../../common/http/field.ts";
import { SigV4Error } from "../../../common/sigv4/error.ts";
import { bytesOf, read, streamOf } from "./chunk-streams.ts";

const chunks = [Buffer.from("first chunk"), Buffer.from("second\r\n0;chunk-signature=\r\n"), Buffer.from([0, 255, 13, 10])];
const whole = Buffer.concat(chunks);
const checksum = createField("x-amz-checksum-crc32c", "sOO8/Q==");

const anyTrailers = fc.array(
  fc
    .tuple(fc.stringMatching(/^x-[a-z0-9-]{0,20}$/), fc.stringMatching(/^(?:[!-~]([ -~]{0,30}[!-~])?)?$/))
    .map(([name, value]) => createField(name, value)),
  { maxLength: 5 },
);

test("whatever is signed is read, however it is cut", () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ minLength: 1, maxLength: 300 }), { maxLength: 8 }),
      fc.option(anyTrailers, { nil: undefined }),
      fc.array(fc.nat(3000), { maxLength: 20 }),
      (arrays, trailers, cuts) => {
        const sent = arrays.map((array) => Buffer.from(array));
        const stream = streamOf(sent, trailers);
        const positions = [0, ...cuts.filter((cut) => cut < stream.length).sort((a, b) => a - b), stream.length];
        const pieces = positions.slice(1).map((to, index) => stream.subarray(positions[index], to));
        const decodedLength = Buffer.concat(sent).length;
        const result = read(pieces, { decodedLength, trailers: trailers === undefined ? "none" : "any" });
        expect(result.error).toBeUndefined();
        expect(result.payload.equals(Buffer.concat(sent))).toBe(true);
        expect(result.chunks).toBe(sent.length);
        const lines = (fields: readonly Field[]) => fields.map((field) => field.line).sort();
        expect(lines(result.trailers)).toEqual(lines(trailers ?? []));
      },
    ),
    { numRuns: 500 },
  );
});

test("whatever is done to a stream, only what was signed in its place is handed on", () => {
  const base = streamOf(chunks, [checksum]);
  const splice = fc.record({ at: fc.nat(base.length), remove: fc.nat(20), insert: fc.uint8Array({ maxLength: 20 }) });
  fc.assert(
    fc.property(fc.array(splice, { minLength: 1, maxLength: 4 }), fc.boolean(), (splices, whollyPushed) => {
      let stream = base;
      for (const { at, remove, insert } of splices) {
        stream = Buffer.concat([stream.subarray(0, at), insert, stream.subarray(at + remove)]);
      }
      const result = read(whollyPushed ? [stream] : bytesOf(stream), { trailers: "any" });
      expect(whole.subarray(0, result.payload.length).equals(result.payload)).toBe(true);
      // Either nothing of it was accepted as the end, or it is what was signed.
      const accepted = result.error === undefined;
      expect(accepted ? result.payload : whole).toEqual(whole);
      expect(result.trailers).toEqual(accepted ? [checksum] : []);
      expect(result.error ?? new SigV4Error("malformed-chunk", "")).toBeInstanceOf(SigV4Error);
    }),
    { numRuns: 1000 },
  );
});
