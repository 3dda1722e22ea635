/**
 * Gathers a section of lines (a head, or trailers) up to its empty line. Refuses what is not a line of HTTP at the first
 * byte that shows it.
 *
 * Hot path. A section that arrives whole is left where it is; one that is cut is gathered in a buffer of its own, whose
 * size the limit bounds, and searched once however small the pieces are.
 */
import { Http1Error } from "./error.ts";
import { controlByte, indexLines, reserveLines, tooManyLines } from "./line-index.ts";

export interface Section {
  readonly buffer: Buffer;
  readonly from: number;
  /** Behind the empty line. */
  readonly to: number;
}

export interface SectionReader extends Section {
  /** Now `buffer`, `from`, `to` and the line index are those of the section, until the next call of anything here. */
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

export function createSectionReader(maxBytes: number, maxLines: number): SectionReader {
  reserveLines(maxLines);
  let kept = empty;
  let keptLength = 0;
  /** Where to look on in `kept`, where the line began that this is in, and how many lines were before it. */
  let scanned = 0;
  let lineStart = 0;
  let lines = 0;

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

  /** Whether `kept` has the empty line: what `indexLines` would say, without looking at old bytes again. */
  function findEnd(): boolean {
    while (scanned < keptLength) {
      const byte = kept[scanned] as number;
      if (byte >= SPACE || byte === TAB) {
        scanned++;
        continue;
      }
      if (byte !== CR) throw controlByte(byte);
      if (scanned + 1 === keptLength) return false;
      if (kept[scanned + 1] !== LF) throw new Http1Error("bad-line-end", "CR without LF");
      if (scanned === lineStart) return true;
      if (lines++ === maxLines) throw tooManyLines();
      scanned += 2;
      lineStart = scanned;
    }
    return false;
  }

  function tooLarge(): Http1Error {
    return new Http1Error("head-too-large", `no end of the head within ${maxBytes} bytes`);
  }

  function found(buffer: Buffer, from: number, to: number): number {
    reader.buffer = buffer;
    reader.from = from;
    reader.to = to;
    reader.whole = true;
    reader.partial = false;
    return to;
  }

  function readWhole(chunk: Buffer, from: number, to: number): number {
    const until = Math.min(to, from + maxBytes);
    const end = indexLines(chunk, from, until, maxLines);
    if (end !== -1) return found(chunk, from, end);
    if (until - from === maxBytes) throw tooLarge();
    keep(chunk, from, until);
    findEnd();
    reader.partial = true;
    return until;
  }

  function readMore(chunk: Buffer, from: number, to: number): number {
    const before = keptLength;
    const until = Math.min(to, from + maxBytes - before);
    keep(chunk, from, until);
    if (findEnd()) {
      found(kept, 0, indexLines(kept, 0, keptLength, maxLines));
      return from + reader.to - before;
    }
    if (keptLength === maxBytes) throw tooLarge();
    return until;
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
      keptLength = scanned = lineStart = lines = 0;
      reader.buffer = empty;
      reader.whole = false;
      reader.partial = false;
    },
  };
  return reader;
}
