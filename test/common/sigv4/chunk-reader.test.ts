import { describe, expect, test } from "vitest";
import { createField, type Field } from "../../../common/http/field.ts";
import { createChunkReader } from "../../../common/sigv4/chunk-reader.ts";
import { chunkTail } from "../../../common/sigv4/chunk-signer.ts";
import { createSigningKey } from "../../../common/sigv4/signing-key.ts";
import { bytesOf, origin, partsOf, read, streamOf, type ReaderChanges } from "./chunk-streams.ts";

const chunks = [Buffer.from("first chunk"), Buffer.from("second\r\n0;chunk-signature=\r\n"), Buffer.from([0, 255, 13, 10])];
const whole = Buffer.concat(chunks);
const checksum = createField("x-amz-checksum-crc32c", "sOO8/Q==");
const note = createField("x-note", "a  b");
const announced = new Set([checksum.name, note.name]);

/** A stream and what its reader has to be told. */
const kinds: readonly { readonly name: string; readonly stream: Buffer; readonly changes: ReaderChanges; readonly trailers: Field[] }[] = [
  { name: "without trailers", stream: streamOf(chunks), changes: { decodedLength: whole.length }, trailers: [] },
  {
    name: "with announced trailers",
    stream: streamOf(chunks, [note, checksum]),
    changes: { decodedLength: whole.length, trailers: announced },
    trailers: [checksum, note],
  },
  { name: "with any trailers", stream: streamOf(chunks, [checksum, note]), changes: { trailers: "any" }, trailers: [checksum, note] },
  { name: "with any trailers, of which there are none", stream: streamOf(chunks, []), changes: { trailers: "any" }, trailers: [] },
];

const codeOf = (error: unknown) => (error instanceof Error && "code" in error ? error.code : error);

describe.each(kinds)("a stream $name", ({ stream, changes, trailers }) => {
  const expected = { payload: whole, chunks: chunks.length, trailers, error: undefined };

  test("is read in one piece, byte by byte, and cut in two anywhere", () => {
    expect(read([stream], changes)).toEqual(expected);
    expect(read(bytesOf(stream), changes)).toEqual(expected);
    for (let cut = 1; cut < stream.length; cut++) {
      expect(read([stream.subarray(0, cut), stream.subarray(cut)], changes)).toEqual(expected);
    }
  });

  test("hands on nothing of a chunk in which any bit was altered, nor of what follows", () => {
    const ends = endsOfChunks(stream);
    for (let index = 0; index < stream.length; index++) {
      for (let bit = 0; bit < 8; bit++) {
        const altered = Buffer.from(stream);
        altered[index] = (stream[index] ?? 0) ^ (1 << bit);
        // A hexadecimal size, and a trailer's name, mean the same in the other case.
        if (altered.toString("latin1").toLowerCase() === stream.toString("latin1").toLowerCase() && !withinPayload(stream, index)) continue;
        for (const pieces of bit === 0 ? [[altered], bytesOf(altered)] : [[altered]]) {
          const result = read(pieces, changes);
          expect([
            "malformed-chunk",
            "chunk-signature-mismatch",
            "chunk-too-large",
            "decoded-length-mismatch",
            "stream-truncated",
          ]).toContain(codeOf(result.error));
          const intact = ends.filter((end) => end <= index).length;
          expect(result.payload.equals(Buffer.concat(chunks.slice(0, intact)))).toBe(true);
        }
      }
    }
  });

  test("is refused when it was cut short anywhere", () => {
    for (let length = 0; length < stream.length; length++) {
      const result = read([stream.subarray(0, length)], changes);
      expect(codeOf(result.error)).toBe("stream-truncated");
      expect(whole.subarray(0, result.payload.length).equals(result.payload)).toBe(true);
    }
  });

  test.each(["\r\n", "0", " ", "\0", streamOf([]).toString("latin1"), stream.toString("latin1")])(
    "is refused with %j behind it",
    (extra) => {
      expect(codeOf(read([Buffer.concat([stream, Buffer.from(extra, "latin1")])], changes).error)).toBe("malformed-chunk");
      expect(codeOf(read([stream, Buffer.from(extra, "latin1")], changes).error)).toBe("malformed-chunk");
    },
  );
});

/** Positions behind the payload of each chunk. */
function endsOfChunks(stream: Buffer): number[] {
  let position = 0;
  return chunks.map((chunk) => {
    position = stream.indexOf(chunk, position) + chunk.length;
    return position;
  });
}

function withinPayload(stream: Buffer, index: number): boolean {
  return endsOfChunks(stream).some((end, chunk) => index < end && index >= end - (chunks[chunk]?.length ?? 0));
}

describe("chunks that were each signed", () => {
  const parts = partsOf(chunks);
  const group = (index: number) => parts.slice(3 * index, 3 * index + 3);
  const end = parts.slice(-1);
  const mismatch = (pieces: readonly Buffer[]) => {
    const result = read(pieces);
    expect(codeOf(result.error)).toBe("chunk-signature-mismatch");
    return result.chunks;
  };

  test("are refused when two are swapped", () => {
    expect(mismatch([...group(0), ...group(2), ...group(1), ...end])).toBe(1);
  });

  test("are refused when one is left out", () => {
    expect(mismatch([...group(1), ...group(2), ...end])).toBe(0);
    expect(mismatch([...group(0), ...group(2), ...end])).toBe(1);
    expect(mismatch([...group(0), ...group(1), ...end])).toBe(2);
  });

  test("are refused when one is repeated", () => {
    expect(mismatch([...group(0), ...group(0), ...group(1), ...group(2), ...end])).toBe(1);
  });

  test("are refused when two are joined", () => {
    const joined = Buffer.concat([chunks[0] ?? whole, chunks[1] ?? whole]);
    const heads = parts.map((part) => part.toString("latin1").replace(/^[^;]*/, joined.length.toString(16)));
    for (const head of [heads[0], heads[3]]) {
      expect(mismatch([Buffer.from(head ?? "", "latin1"), joined, Buffer.from(chunkTail), ...group(2), ...end])).toBe(0);
    }
  });

  test("are refused in another stream", () => {
    const other = partsOf(chunks, undefined, { ...origin, seedSignature: "f".repeat(64) });
    expect(mismatch([...group(0), ...other.slice(3, 6), ...group(2), ...end])).toBe(1);
    expect(mismatch([...group(0), ...group(1), ...group(2), ...other.slice(-1)])).toBe(3);
  });

  test.each<[string, ReaderChanges]>([
    ["key", { signingKey: createSigningKey("other", "20260915", "prod-example", "orders.shop") }],
    ["date", { amzDate: "20260915T120001Z" }],
    ["scope", { scopeText: "20260915/prod-example/inventory.shop/aws4_request" }],
    ["seed", { seedSignature: "0".repeat(64) }],
  ])("are refused under another %s", (_, changes) => {
    expect(read([streamOf(chunks)], changes)).toMatchObject({ chunks: 0, error: { code: "chunk-signature-mismatch" } });
  });

  test("do not end as a stream with trailers, nor the other way round", () => {
    expect(read([streamOf(chunks)], { trailers: "any" })).toMatchObject({ error: { code: "malformed-chunk" } });
    expect(read([streamOf(chunks, [])])).toMatchObject({ error: { code: "malformed-chunk" } });
  });
});

describe("framing", () => {
  const [head = Buffer.alloc(0), payload = Buffer.alloc(0)] = partsOf([Buffer.alloc(0xab, "x")]);
  const text = head.toString("latin1");
  const signature = text.slice(text.indexOf("=") + 1, -2);

  test("has sizes in either case", () => {
    expect(text).toBe(`ab;chunk-signature=${signature}\r\n`);
    expect(read([Buffer.from(text.replace("ab", "AB"), "latin1"), payload]).chunks).toBe(1);
  });

  test.each([
    ["a size in both cases", `aB;chunk-signature=${signature}\r\n`],
    ["a leading zero", `0ab;chunk-signature=${signature}\r\n`],
    ["a sign", `+ab;chunk-signature=${signature}\r\n`],
    ["a prefix", `0xab;chunk-signature=${signature}\r\n`],
    ["no size", `;chunk-signature=${signature}\r\n`],
    ["a space before the extension", `ab ;chunk-signature=${signature}\r\n`],
    ["a space in the extension", `ab; chunk-signature=${signature}\r\n`],
    ["a space behind it", `ab;chunk-signature=${signature} \r\n`],
    ["the name in upper case", `ab;Chunk-Signature=${signature}\r\n`],
    ["another name", `ab;signature=${signature}\r\n`],
    ["no signature", "ab\r\n"],
    ["an empty signature", "ab;chunk-signature=\r\n"],
    ["a quoted signature", `ab;chunk-signature="${signature}"\r\n`],
    ["a signature in upper case", `ab;chunk-signature=${signature.toUpperCase()}\r\n`],
    ["a shorter signature", `ab;chunk-signature=${signature.slice(1)}\r\n`],
    ["a longer signature", `ab;chunk-signature=${signature}0\r\n`],
    ["a second extension", `ab;chunk-signature=${signature};a=b\r\n`],
    ["an extension before", `ab;a=b;chunk-signature=${signature}\r\n`],
    ["a bare line feed", `ab;chunk-signature=${signature}\n`],
    ["a carriage return too many", `ab;chunk-signature=${signature}\r\r\n`],
    ["an empty line before", `\r\nab;chunk-signature=${signature}\r\n`],
    ["no end within reach", "a".repeat(1000)],
    ["nine digits", `123456789;chunk-signature=${signature}\r\n`],
  ])("is refused with %s", (_name, line) => {
    const bytes = Buffer.concat([Buffer.from(line, "latin1"), payload]);
    for (const pieces of [[bytes], bytesOf(bytes)]) {
      expect(read(pieces)).toMatchObject({ chunks: 0, error: { name: "SigV4Error", code: "malformed-chunk" } });
    }
  });

  test("never holds more than a line that has no end", () => {
    const reader = createChunkReader({ ...origin, decodedLength: -1, trailers: "none", onPayload: () => expect.unreachable() });
    for (let count = 0; count < 99; count++) reader.push(Buffer.from("a"));
    expect(() => reader.push(Buffer.from("a"))).toThrow(expect.objectContaining({ code: "malformed-chunk" }));
  });

  test("takes nothing more after an error", () => {
    const reader = createChunkReader({ ...origin, decodedLength: -1, trailers: "none", onPayload: () => expect.unreachable() });
    const [first = head] = partsOf(chunks);
    expect(() => reader.push(Buffer.from("x\n"))).toThrow(expect.objectContaining({ code: "malformed-chunk" }));
    expect(() => reader.push(first)).toThrow(expect.objectContaining({ code: "malformed-chunk" }));
    expect(() => reader.finish()).toThrow(expect.objectContaining({ code: "stream-truncated" }));
  });
});

test("after a chunk that did not hold, nothing is taken, not even the right one", () => {
  const reader = createChunkReader({ ...origin, decodedLength: -1, trailers: "none", onPayload: () => expect.unreachable() });
  const [head = whole, payload = whole, tail = whole] = partsOf(chunks);
  reader.push(head);
  expect(() => reader.push(Buffer.alloc(payload.length))).toThrow(expect.objectContaining({ code: "chunk-signature-mismatch" }));
  for (const part of [payload, tail, head]) {
    expect(() => reader.push(part)).toThrow(expect.objectContaining({ code: "malformed-chunk" }));
  }
});

describe("sizes", () => {
  test("a chunk may be as large as allowed, and is refused by its head when it is larger", () => {
    const largest = Buffer.alloc(1000);
    expect(read([streamOf([largest])], { maxChunkBytes: 1000 })).toMatchObject({ chunks: 1, error: undefined });
    const [head = largest] = partsOf([Buffer.alloc(1001)]);
    expect(read([head], { maxChunkBytes: 1000 })).toMatchObject({ chunks: 0, error: { code: "chunk-too-large" } });
    expect(read(partsOf([Buffer.alloc(256 * 1024)]))).toMatchObject({ chunks: 1, error: undefined });
    expect(read(partsOf([Buffer.alloc(256 * 1024 + 1)]))).toMatchObject({ chunks: 0, error: { code: "chunk-too-large" } });
  });

  test.each([
    [whole.length - 1, 2],
    [whole.length + 1, 3],
    [0, 0],
  ])("a body announced as %i bytes is refused after %i chunks", (decodedLength, count) => {
    expect(read([streamOf(chunks)], { decodedLength })).toMatchObject({ chunks: count, error: { code: "decoded-length-mismatch" } });
  });

  test("an empty body is its final chunk", () => {
    expect(read([streamOf([])], { decodedLength: 0 })).toMatchObject({ chunks: 0, error: undefined });
    expect(read([], { decodedLength: 0 })).toMatchObject({ error: { code: "stream-truncated" } });
  });
});

test("a chunk that lies whole in what is pushed is handed on where it is", () => {
  const stream = streamOf(chunks);
  const received: Buffer[] = [];
  createChunkReader({ ...origin, decodedLength: -1, trailers: "none", onPayload: (chunk) => received.push(chunk) }).push(stream);
  expect(received.map((chunk) => chunk.buffer === stream.buffer)).toEqual([true, true, true]);
});
