/**
 * Header lines to fields (RFC 9112 5, RFC 9110 5.5), stricter than both ask for: no obs-fold, no space before the
 * colon, no control bytes but HTAB in values. Hot path: most lines repeat, so parsed lines are interned.
 */
import { createField, type Field } from "../../common/http/field.ts";
import { Http1Error } from "./error.ts";
import { createInterned } from "./interned.ts";
import { latin1 } from "./latin1.ts";

export interface FieldLine {
  readonly key: string;
  readonly field: Field;
  /** Of the line's bytes; it only decides what is worth keeping. */
  readonly hash: number;
}

const SPACE = 0x20;
const TAB = 0x09;
const COLON = 0x3a;

const tokenBytes = new Uint8Array(256);
for (const character of "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") {
  tokenBytes[character.charCodeAt(0)] = 1;
}

const lines = createInterned<FieldLine>({ maxEntries: 4096, maxCharacters: 512 * 1024, maxKeyLength: 2048 });

const maxNames = 2048;
/** Names as received to lower case: one string for each name, however many fields have it. */
const names = new Map<string, string>();

function lowerName(text: string, from: number, to: number, buffer: Buffer, base: number): string {
  const known = names.get(text.slice(from, to));
  if (known !== undefined) return known;
  const raw = latin1(buffer, base + from, base + to);
  const name = raw.toLowerCase();
  if (names.size < maxNames && raw.length <= 64) names.set(raw, name);
  return name;
}

function parseLine(text: string, from: number, to: number, buffer: Buffer, base: number): FieldLine {
  let hash = 0x811c9dc5;
  let position = from;
  let byte = 0;
  for (; position < to; position++) {
    byte = text.charCodeAt(position);
    if (tokenBytes[byte] === 0) break;
    hash = Math.imul(hash ^ byte, 0x01000193);
  }
  if (position === from || position === to || byte !== COLON) {
    if (position === from && (byte === SPACE || byte === TAB)) {
      throw new Http1Error("obs-fold", "a header line starts with white space");
    }
    throw new Http1Error("bad-header", "a header name is not a token followed by a colon");
  }
  const nameEnd = position++;
  let valueEnd = to;
  while (position < valueEnd && isBlank(text.charCodeAt(position))) position++;
  while (valueEnd > position && isBlank(text.charCodeAt(valueEnd - 1))) valueEnd--;
  const valueStart = position;
  for (; position < valueEnd; position++) {
    byte = text.charCodeAt(position);
    if ((byte < SPACE && byte !== TAB) || byte === 0x7f) {
      throw new Http1Error("bad-header", "a header value has a control byte");
    }
    hash = Math.imul(hash ^ byte, 0x01000193);
  }
  // Decoded from the bytes again: slices of `text` would keep the whole head alive for as long as the field is.
  const name = lowerName(text, from, nameEnd, buffer, base);
  const field = createField(name, latin1(buffer, base + valueStart, base + valueEnd));
  const admitted = lines.admits(hash);
  const line = { key: admitted ? latin1(buffer, base + from, base + to) : "", field, hash };
  if (admitted) lines.put(line);
  return line;
}

function isBlank(byte: number): boolean {
  return byte === SPACE || byte === TAB;
}

/**
 * The field of the line `text[from, to)`, without its CRLF. `text` is the latin1 text of the bytes of `buffer` from
 * `base` on. Throws Http1Error `bad-header` or `obs-fold`.
 */
export function readFieldLine(text: string, from: number, to: number, buffer: Buffer, base: number): FieldLine {
  return lines.get(text.slice(from, to)) ?? parseLine(text, from, to, buffer, base);
}
