/**
 * Field blocks of every representation, good and broken, decoded by ours and by nghttp2 (in node:http2): equal lists, and the
 * end of the connection at the same block. COUNTERSIGN_FUZZ_SECONDS and COUNTERSIGN_FUZZ_SEED make it longer and different.
 */
import { expect, it } from "vitest";
import { clientPreface } from "../../../../sidecar/http2/frames.ts";
import { huffmanLength, writeHuffman } from "../../../../sidecar/http2/hpack/huffman.ts";
import { writeInteger } from "../../../../sidecar/http2/hpack/integer.ts";
import { createRandom, type Random } from "../../http1/mutations.ts";
import { hear } from "../heard.ts";
import { askNodeServer } from "../node-peer.ts";
import { block, get, headers, settings, settingsAck } from "../wire.ts";

const milliseconds = 1000 * Number(process.env["COUNTERSIGN_FUZZ_SECONDS"] ?? 2);
const seed = Number(process.env["COUNTERSIGN_FUZZ_SEED"] ?? 1);
const fewest = 100;

const names = ["x-a", "x-b", "accept", "user-agent", "x-long-name-to-be-indexed", "te"];
const values = ["", "a", "trailers", "custom-value", "a=1; b=2", "caf\u00e9 \u00ff", "v".repeat(200), "~!@#$%^&*()_+"];

function integer(first: number, mask: number, value: number): Buffer {
  const bytes = Buffer.alloc(8);
  return bytes.subarray(0, writeInteger(bytes, 0, first, mask, value));
}

function string(text: string, random: Random): Buffer {
  if (random.below(2) === 0) return Buffer.concat([integer(0, 0x7f, text.length), Buffer.from(text, "latin1")]);
  const packed = Buffer.alloc(huffmanLength(text));
  writeHuffman(packed, 0, text);
  return Buffer.concat([integer(0x80, 0x7f, packed.length), packed]);
}

/** One representation; mostly of an index that may well be in the table. */
function representation(random: Random): Buffer {
  const index = random.below(4) === 0 ? 15 + random.below(47) : 62 + random.below(random.pick([1, 3, 8, 40]));
  const [first, mask] = random.pick([
    [0x40, 0x3f],
    [0x40, 0x3f],
    [0, 0x0f],
    [0x10, 0x0f],
  ] as const);
  const value = string(random.pick(values), random);
  return random.pick<() => Buffer>([
    () => integer(0x80, 0x7f, index),
    () => Buffer.concat([integer(first, mask, index), value]),
    () => Buffer.concat([Buffer.from([first]), string(random.pick(names), random), value]),
    () => Buffer.concat([Buffer.from([first]), string(random.pick(names), random), value]),
  ])();
}

/** How many table size updates a block begins with. */
function tableSizes(bytes: Buffer): number {
  let count = 0;
  for (let at = 0; ((bytes[at] ?? 0) & 0xe0) === 0x20; at++) {
    count++;
    if ((bytes[at]! & 0x1f) === 0x1f) while ((bytes[++at] ?? 0) >= 0x80);
  }
  return count;
}

function fieldBlock(random: Random): Buffer {
  const parts: Buffer[] = [];
  for (let updates = random.below(10) < 7 ? 0 : 1 + random.below(2); updates > 0; updates--) {
    parts.push(integer(0x20, 0x1f, random.pick([0, 40, 100, 500, 4096, 65_536, 65_536, random.below(300)])));
  }
  parts.push(block(...get));
  for (let count = random.below(8); count > 0; count--) parts.push(representation(random));
  const bytes = Buffer.concat(parts);
  // A broken one now and then.
  switch (random.below(12)) {
    case 0: {
      const at = random.below(bytes.length);
      const before = bytes[at]!;
      bytes[at] = random.below(256);
      // nghttp2 takes any number of table sizes, ours the two that an encoder has a use for (RFC 7541 section 4.2).
      if (tableSizes(bytes) > 2) bytes[at] = before;
      return bytes;
    }
    case 1:
      return bytes.subarray(0, random.below(bytes.length + 1));
    case 2:
      return Buffer.concat([bytes, integer(0x20, 0x1f, 100)]);
    default:
      return bytes;
  }
}

it("blocks mean the same to both, and what ends the one ends the other", async () => {
  const random = createRandom(seed);
  let messages = 0;
  for (const end = performance.now() + milliseconds; messages < fewest || performance.now() < end;) {
    const blocks = Array.from({ length: 1 + random.below(12) }, () => fieldBlock(random));
    const beginning = Buffer.concat([clientPreface, settings([1, 65_536]), settingsAck]);
    const parts = [beginning, ...blocks.map((bytes, i) => headers(2 * i + 1, bytes))];
    const theirs = await askNodeServer(parts);
    // In every comparison, so that a failure can be repeated.
    const hex = blocks.map((bytes) => bytes.toString("hex"));
    const ours = hear("server", Buffer.concat(parts.slice(0, theirs.survived)), []);
    expect({ hex, fatal: ours.fatal }).toEqual({ hex, fatal: undefined });
    for (const [id, { head, fields, reset }] of ours.streams) {
      if (reset !== undefined) continue;
      messages++;
      const other = theirs.streams.get(id);
      expect({ hex, head: other?.head, fields: other?.fields }).toEqual({ hex, head, fields });
    }
    if (theirs.survived === parts.length) continue;
    const last = hear("server", Buffer.concat(parts.slice(0, theirs.survived + 1)), []);
    const code = "COMPRESSION_ERROR";
    expect({ hex, theirs: theirs.fatal, ours: last.fatal }).toEqual({ hex, theirs: code, ours: code });
  }
  expect(messages).toBeGreaterThanOrEqual(fewest);
});
