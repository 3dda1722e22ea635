/**
 * Header lines to fields (RFC 9112 5, RFC 9110 5.5), stricter than both ask for: no obs-fold, no space before the
 * colon, no control bytes but HTAB in values. What a line says about framing, host and connection is checked with it.
 *
 * Hot path: most lines repeat, so parsed lines are interned.
 */
import { createField, FieldKind, type Field } from "../../common/http/field.ts";
import { Http1Error } from "./error.ts";
import { createInterned } from "./interned.ts";
import { latin1 } from "./latin1.ts";
import { mix } from "./line-index.ts";

export interface FieldLine {
  readonly field: Field;
  /** Value of a `content-length`; -1 for other fields. */
  readonly contentLength: number;
  /** Options of a `connection` or `proxy-connection`, lower case; none for other fields. */
  readonly options: readonly string[];
}

const SPACE = 0x20;
const TAB = 0x09;
const COLON = 0x3a;

const lines = createInterned<FieldLine>({ maxEntries: 4096, maxBytes: 512 * 1024, maxKeyBytes: 2048 });
/** Names as received to lower case. */
const names = createInterned<string>({ maxEntries: 1024, maxBytes: 32 * 1024, maxKeyBytes: 64 });

const token = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const hostSyntax = /^(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?$/;
const plainNumber = /^(?:0|[1-9][0-9]{0,14})$/;
const noOptions: readonly string[] = [];

function isBlank(byte: number | undefined): boolean {
  return byte === SPACE || byte === TAB;
}

function readName(buffer: Buffer, from: number, to: number): string {
  let hash = 0;
  for (let position = from; position < to; position++) hash = mix(hash, buffer[position] as number);
  const known = names.find(buffer, from, to, hash);
  if (known !== undefined) return known;
  const received = latin1(buffer, from, to);
  if (!token.test(received)) throw new Http1Error("bad-header", "a header name is not a token");
  const name = received.toLowerCase();
  names.offer(buffer, from, to, hash, name);
  return name;
}

function contentLengthOf(value: string): number {
  if (!plainNumber.test(value)) throw new Http1Error("bad-content-length", "content-length is not a plain number");
  return Number(value);
}

function optionsOf(field: Field): readonly string[] {
  const old = field.name === "proxy-connection";
  if ((field.kinds & FieldKind.CONNECTION) === 0 && !old) return noOptions;
  const options = field.value.split(",").map((option) => option.trim().toLowerCase());
  // What clients of proxies send in place of `connection`, and what Node heeds of it.
  return options.filter((option) => (old ? option === "close" || option === "keep-alive" : option !== ""));
}

function checkValue(field: Field): void {
  if ((field.kinds & FieldKind.HOST) !== 0 && !hostSyntax.test(field.value)) {
    throw new Http1Error("bad-host", "host is not a name or address");
  }
  if ((field.kinds & FieldKind.TRANSFER_ENCODING) !== 0 && field.value.toLowerCase() !== "chunked") {
    throw new Http1Error("bad-transfer-encoding", "transfer-encoding is not exactly chunked");
  }
}

function parseLine(buffer: Buffer, from: number, to: number): FieldLine {
  let nameEnd = from;
  while (nameEnd < to && buffer[nameEnd] !== COLON) nameEnd++;
  if (isBlank(buffer[from])) throw new Http1Error("obs-fold", "a header line starts with white space");
  if (nameEnd === to) throw new Http1Error("bad-header", "a header line has no colon");
  const name = readName(buffer, from, nameEnd);
  let valueFrom = nameEnd + 1;
  let valueTo = to;
  while (valueFrom < valueTo && isBlank(buffer[valueFrom])) valueFrom++;
  while (valueTo > valueFrom && isBlank(buffer[valueTo - 1])) valueTo--;
  const value = latin1(buffer, valueFrom, valueTo);
  if (value.includes("\x7f")) throw new Http1Error("bad-header", "a header value has a control byte");
  const field = createField(name, value);
  checkValue(field);
  return {
    field,
    contentLength: (field.kinds & FieldKind.CONTENT_LENGTH) === 0 ? -1 : contentLengthOf(value),
    options: optionsOf(field),
  };
}

/**
 * The field of the line `buffer[from, to)`, whose CRLF is not counted, whose hash the line index has, and which has no
 * control bytes but HTAB and DEL. Throws Http1Error.
 */
export function readFieldLine(buffer: Buffer, from: number, to: number, hash: number): FieldLine {
  const known = lines.find(buffer, from, to, hash);
  if (known !== undefined) return known;
  const line = parseLine(buffer, from, to);
  lines.offer(buffer, from, to, hash, line);
  return line;
}
