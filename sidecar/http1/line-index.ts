/**
 * Splits a section of lines (a head, or trailers) and hashes every line, in one pass over its bytes, four at a time.
 *
 * Hot path. The hashes lead to what was parsed from the same bytes before (interned.ts), so that nothing is decoded
 * that was seen already; whoever finds something by a hash compares the bytes too. One index serves all parsers, because
 * a section is indexed and parsed without a pause.
 */
import { Http1Error } from "./error.ts";
import { viewOf } from "./words.ts";

export interface LineIndex {
  readonly count: number;
  /** Where each line ends, its CRLF not counted, from the start of the section. */
  readonly ends: Int32Array;
  readonly hashes: Int32Array;
}

const CR = 0x0d;
const LF = 0x0a;
const TAB = 0x09;

const seed = Math.floor(Math.random() * 0x1_0000_0000) | 0;
const multiplier = 0x9e3779b1;

const index = { count: 0, ends: new Int32Array(128), hashes: new Int32Array(128) };

/** The lines of the last section that `indexLines` went through to its end. */
export const lineIndex: LineIndex = index;

/** Makes room for sections of so many lines. */
export function reserveLines(lines: number): void {
  if (lines < index.ends.length) return;
  index.ends = new Int32Array(lines + 1);
  index.hashes = new Int32Array(lines + 1);
}

export function controlByte(byte: number): Http1Error {
  return byte === LF ? new Http1Error("bad-line-end", "LF without CR") : new Http1Error("bad-header", "control byte in a head");
}

export function tooManyLines(): Http1Error {
  return new Http1Error("too-many-headers", "too many header lines");
}

/** Mixes four bytes, or a hash, into a hash. */
export function mix(hash: number, word: number): number {
  const mixed = Math.imul(hash ^ word, multiplier);
  return mixed ^ (mixed >>> 15);
}

/** The bits of a word that are set in bytes under 0x20; of those, the lowest is certain. */
function controlBits(word: number): number {
  return (word - 0x20202020) & ~word & 0x80808080;
}

/** The last one to three bytes before `to`, with spaces in place of those behind. */
function lastWord(buffer: Buffer, from: number, to: number): number {
  let word = 0x20202020;
  for (let position = to - 1; position >= from; position--) word = (word << 8) | (buffer[position] as number);
  return word;
}

/**
 * The position behind the first empty line of `buffer[from, to)`, or -1 when there is none yet. Throws Http1Error for
 * LF without CR, CR without LF, any other control byte but HTAB, and for more than `maxLines` lines.
 */
export function indexLines(buffer: Buffer, from: number, to: number, maxLines: number): number {
  const view = viewOf(buffer);
  const offset = buffer.byteOffset;
  let count = 0;
  let position = from;
  let lineStart = from;
  let hash = seed;
  let other = seed;
  while (position < to) {
    // Two hashes side by side, because each step of one waits for the step before it.
    while (position + 8 <= to) {
      const first = view.getInt32(offset + position, true);
      const second = view.getInt32(offset + position + 4, true);
      if ((controlBits(first) | controlBits(second)) !== 0) break;
      hash = mix(hash, first);
      other = mix(other, second);
      position += 8;
    }
    const word = position + 4 <= to ? view.getInt32(offset + position, true) : lastWord(buffer, position, to);
    const controls = controlBits(word);
    if (controls === 0) {
      hash = mix(hash, word);
      position += 4;
      continue;
    }
    const before = (31 - Math.clz32(controls & -controls)) >> 3;
    const end = position + before;
    const byte = buffer[end] as number;
    if (byte === TAB) {
      // Never aligned again within this line, which does not matter: equal lines have their tabs at equal places.
      hash = mix(hash, (word & ((1 << (8 * before)) - 1)) | (TAB << (8 * before)));
      position = end + 1;
      continue;
    }
    if (byte !== CR) throw controlByte(byte);
    if (end + 1 === to) return -1;
    if (buffer[end + 1] !== LF) throw new Http1Error("bad-line-end", "CR without LF");
    if (end === lineStart) {
      index.count = count;
      return end + 2;
    }
    if (count === maxLines) throw tooManyLines();
    index.ends[count] = end - from;
    index.hashes[count] = mix(mix(hash, word & ((1 << (8 * before)) - 1)) ^ other, end - lineStart);
    count++;
    hash = other = seed;
    position = lineStart = end + 2;
  }
  return -1;
}

/** The hash of the lines from number `first` on, in their order. */
export function hashOfLines(first: number): number {
  let hash = seed;
  for (let line = first; line < index.count; line++) hash = mix(hash, index.hashes[line] as number);
  return hash;
}
