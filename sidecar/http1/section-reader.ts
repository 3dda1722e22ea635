/**
 * Finds the end of a section of lines (a head, or trailers): the first empty line. Refuses what is not a line of HTTP
 * at the first byte that shows it: LF without CR, CR without LF, other control bytes.
 *
 * Hot path. A section that arrives whole is left where it is; one that is cut is gathered in a buffer of its own, whose
 * size the limit bounds, and every byte is looked at once however small the pieces are.
 */
import { Http1Error } from "./error.ts";

export interface SectionReader {
  /** Where the section is once it is whole; valid until the next call. */
  readonly buffer: Buffer;
  readonly from: number;
  readonly to: number;
  readonly whole: boolean;
  /** Bytes are kept that are not a whole section. */
  readonly partial: boolean;
  /** Takes bytes of `chunk[from, to)` up to the end of the section; the position behind them. Throws Http1Error. */
  read(chunk: Buffer, from: number, to: number): number;
  /** Forgets the section, so that the next one can be read. */
  reset(): void;
}

const CR = 0x0d;
const LF = 0x0a;
const TAB = 0x09;
const SPACE = 0x20;
const empty: Buffer = Buffer.alloc(0);

export function createSectionReader(maxBytes: number): SectionReader {
  let kept = empty;
  let keptLength = 0;
  /** Where to look on, and where the line that this is in began. */
  let scanned = 0;
  let lineStart = 0;

  /** The position behind the empty line in `buffer[.., to)`, or -1. */
  function scan(buffer: Buffer, to: number): number {
    let position = scanned;
    let start = lineStart;
    for (; position < to; position++) {
      const byte = buffer[position] as number;
      if (byte >= SPACE || byte === TAB) continue;
      if (byte !== CR) {
        throw byte === LF ? new Http1Error("bad-line-end", "LF without CR") : new Http1Error("bad-header", "control byte in a head");
      }
      if (position + 1 === to) break;
      if (buffer[position + 1] !== LF) throw new Http1Error("bad-line-end", "CR without LF");
      if (position === start) return position + 2;
      position++;
      start = position + 1;
    }
    scanned = position;
    lineStart = start;
    return -1;
  }

  function keep(chunk: Buffer, from: number, to: number): void {
    const needed = keptLength + to - from;
    if (needed > kept.length) {
      const grown = Buffer.allocUnsafeSlow(Math.min(maxBytes, Math.max(1024, needed, 2 * kept.length)));
      kept.copy(grown, 0, 0, keptLength);
      kept = grown;
    }
    chunk.copy(kept, keptLength, from, to);
    keptLength = needed;
  }

  function tooLarge(): Http1Error {
    return new Http1Error("head-too-large", `no end of the head within ${maxBytes} bytes`);
  }

  function found(buffer: Buffer, from: number, to: number): void {
    reader.buffer = buffer;
    reader.from = from;
    reader.to = to;
    reader.whole = true;
    reader.partial = false;
  }

  function readWhole(chunk: Buffer, from: number, to: number): number {
    const until = Math.min(to, from + maxBytes);
    scanned = lineStart = from;
    const end = scan(chunk, until);
    if (end !== -1) {
      found(chunk, from, end);
      return end;
    }
    if (until - from === maxBytes) throw tooLarge();
    keep(chunk, from, to);
    scanned -= from;
    lineStart -= from;
    reader.partial = true;
    return to;
  }

  function readMore(chunk: Buffer, from: number, to: number): number {
    const before = keptLength;
    const until = Math.min(to, from + maxBytes - before);
    keep(chunk, from, until);
    const end = scan(kept, keptLength);
    if (end !== -1) {
      found(kept, 0, end);
      return from + end - before;
    }
    if (keptLength === maxBytes) throw tooLarge();
    return to;
  }

  const reader = {
    buffer: empty,
    from: 0,
    to: 0,
    whole: false,
    partial: false,
    read(chunk: Buffer, from: number, to: number): number {
      return keptLength === 0 ? readWhole(chunk, from, to) : readMore(chunk, from, to);
    },
    reset(): void {
      kept = empty;
      keptLength = 0;
      reader.buffer = empty;
      reader.whole = false;
      reader.partial = false;
    },
  };
  return reader;
}
