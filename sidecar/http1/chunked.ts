/**
 * The chunked transfer coding, taken off (RFC 9112 7.1): sizes in plain hexadecimal, CRLF alone as a line end, small and
 * well-formed extensions (dropped), trailers held to the rules of header fields and to a list of names they may not have.
 */
import { FieldKind, type Field } from "../../common/http/field.ts";
import { Http1Error } from "./error.ts";
import { readHeaderBlock } from "./header-block.ts";
import type { Http1Limits } from "./limits.ts";
import { lineIndex } from "./line-index.ts";
import { createSectionReader } from "./section-reader.ts";

export interface ChunkedReader {
  /** After a `read`: the bytes of body in the chunk, none when equal. */
  readonly dataFrom: number;
  readonly dataTo: number;
  /** The whole body was read; `trailers` are known. */
  readonly done: boolean;
  readonly trailers: readonly Field[];
  /** Takes bytes of `chunk[from, to)`, at most up to the end of one piece of body; the position behind them. */
  read(chunk: Buffer, from: number, to: number): number;
  /** Ready for the next body. */
  reset(): void;
}

const CR = 0x0d;
const LF = 0x0a;
const SEMICOLON = 0x3b;

// 12 digits: 2^48 - 1, which is exact in a double and beyond any body.
const maxSizeDigits = 12;
const extensionsOfBody = 16;

const token = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const extensionSyntax = new RegExp(`^(?:;${token}(?:=(?:${token}|"[\\t !#-[\\]-~]*"))?)+$`);

/** Names that frame, route, authenticate or qualify a message (RFC 9110 6.5.1): behind the body they come too late. */
const forbiddenTrailers = new Set([
  "age",
  "cache-control",
  "content-encoding",
  "content-range",
  "content-type",
  "cookie",
  "date",
  "expires",
  "if-match",
  "if-modified-since",
  "if-none-match",
  "if-range",
  "if-unmodified-since",
  "location",
  "max-forwards",
  "pragma",
  "range",
  "retry-after",
  "set-cookie",
  "vary",
  "warning",
  "www-authenticate",
]);
const forbiddenTrailerKinds =
  FieldKind.HOP_BY_HOP |
  FieldKind.IDENTITY |
  FieldKind.CONTENT_LENGTH |
  FieldKind.HOST |
  FieldKind.AUTHORIZATION |
  FieldKind.EXPECT |
  FieldKind.AMZ;

/** Whether `field` may stand behind a body. */
export function isForbiddenTrailer(field: Field): boolean {
  return (field.kinds & forbiddenTrailerKinds) !== 0 || forbiddenTrailers.has(field.name);
}

const hexValues = new Int8Array(256).fill(-1);
for (let digit = 0; digit < 16; digit++) {
  const character = digit.toString(16);
  hexValues[character.charCodeAt(0)] = digit;
  hexValues[character.toUpperCase().charCodeAt(0)] = digit;
}

const noTrailers: readonly Field[] = [];

const SIZE = 0;
const EXTENSION = 1;
const SIZE_LF = 2;
const DATA = 3;
const DATA_CR = 4;
const DATA_LF = 5;
const TRAILERS = 6;

export function createChunkedReader(limits: Http1Limits): ChunkedReader {
  const section = createSectionReader(limits.maxHeadBytes, limits.maxHeaders);
  let state = SIZE;
  let size = 0;
  let sizeDigits = 0;
  let extension = "";
  let extensionBytes = 0;
  let bodyBytes = 0;

  function readSize(byte: number): void {
    const digit = hexValues[byte] as number;
    if (digit !== -1) {
      if (++sizeDigits > maxSizeDigits) throw new Http1Error("bad-chunk", "chunk size has too many digits");
      size = size * 16 + digit;
      return;
    }
    if (sizeDigits === 0) throw new Http1Error("bad-chunk", "chunk without a size");
    if (byte === CR) state = SIZE_LF;
    else if (byte === SEMICOLON) {
      state = EXTENSION;
      readExtension(byte);
    } else throw new Http1Error("bad-chunk", "chunk size is not a plain hexadecimal number");
  }

  function readExtension(byte: number): void {
    if (byte === CR) {
      if (!extensionSyntax.test(extension)) throw new Http1Error("bad-chunk", "malformed chunk extension");
      extension = "";
      state = SIZE_LF;
      return;
    }
    const limit = limits.maxChunkExtensionBytes;
    if (extension.length >= limit || ++extensionBytes > limit * extensionsOfBody) {
      throw new Http1Error("chunk-extension-too-large", `over ${limit} bytes of chunk extension`);
    }
    extension += String.fromCharCode(byte);
  }

  function endSizeLine(byte: number): void {
    if (byte !== LF) throw new Http1Error("bad-chunk", "chunk size line without CRLF");
    bodyBytes += size;
    if (bodyBytes > limits.maxBodyBytes) {
      throw new Http1Error("body-too-large", `body over ${limits.maxBodyBytes} bytes`);
    }
    state = size === 0 ? TRAILERS : DATA;
  }

  function expectByte(byte: number, wanted: number, next: number): void {
    if (byte !== wanted) throw new Http1Error("bad-chunk", "chunk is longer than its size says");
    state = next;
  }

  function readTrailers(chunk: Buffer, from: number, to: number): number {
    const position = section.read(chunk, from, to);
    if (!section.whole) return position;
    if (lineIndex.count > 0) {
      const block = readHeaderBlock(section, 0);
      if (block.host !== "") throw new Http1Error("bad-trailer", "host in a trailer");
      for (const field of block.fields) {
        if (isForbiddenTrailer(field)) throw new Http1Error("bad-trailer", `${field.name} in a trailer`);
      }
      reader.trailers = block.fields;
    }
    section.reset();
    reader.done = true;
    return position;
  }

  const reader = {
    dataFrom: 0,
    dataTo: 0,
    done: false,
    trailers: noTrailers,
    read(chunk: Buffer, from: number, to: number): number {
      reader.dataFrom = reader.dataTo = 0;
      let position = from;
      while (position < to) {
        switch (state) {
          case DATA: {
            const taken = Math.min(size, to - position);
            reader.dataFrom = position;
            reader.dataTo = position + taken;
            size -= taken;
            if (size === 0) state = DATA_CR;
            return position + taken;
          }
          case TRAILERS:
            return readTrailers(chunk, position, to);
          case SIZE:
            readSize(chunk[position++] as number);
            break;
          case EXTENSION:
            readExtension(chunk[position++] as number);
            break;
          case SIZE_LF:
            endSizeLine(chunk[position++] as number);
            break;
          case DATA_CR:
            expectByte(chunk[position++] as number, CR, DATA_LF);
            break;
          default:
            expectByte(chunk[position++] as number, LF, SIZE);
            size = sizeDigits = 0;
        }
      }
      return position;
    },
    reset(): void {
      section.reset();
      state = SIZE;
      size = sizeDigits = extensionBytes = bodyBytes = 0;
      extension = "";
      reader.done = false;
      reader.trailers = noTrailers;
    },
  };
  return reader;
}
