/**
 * Heads to text, written anew from parsed parts on every leg and never copied: fields of one connection, `host` and
 * framing are left out and made here. The text is latin1: a character is a byte.
 *
 * Guarantees that nothing given can end a line early or become what a parser would refuse: throws Http1Error
 * `unsafe-text` instead. Hot path.
 */
import { FieldKind, type Field } from "../../common/http/field.ts";
import { isForbiddenTrailer } from "./chunked.ts";
import { Http1Error } from "./error.ts";
import { reasonPhrase } from "./reason-phrase.ts";

/** Framing of a body: its length, or one of these. */
export const CHUNKED_BODY = -1;
/** No body and no word of one: GET and the like, 1xx, 204, 304; in a response also a body that the close ends. */
export const NO_FRAMING = -2;

/** What `connection` says: nothing, or one of these, or the protocol to upgrade to. */
export const CLOSE = "close";
export const KEEP_ALIVE = "keep-alive";

// Characters over 0xFF too: written as latin1, U+010A would become a line feed.
const unsafe = /[^\t -~\x80-\xff]/;
const unsafeTarget = /[^\x21-\x7e]/;
const token = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

const alwaysOmitted = FieldKind.HOP_BY_HOP | FieldKind.CONTENT_LENGTH | FieldKind.HOST;
const noFields: readonly Field[] = [];

/** Fields found safe. Those that repeat are the same objects, which the parsers intern. */
const safeFields = new WeakSet<Field>();

/** What was found safe last: connections repeat both. */
let safeMethod = "";
let safeAuthority = "";

function refuse(what: string): never {
  throw new Http1Error("unsafe-text", `${what} has bytes that do not belong there`);
}

function checkField(field: Field): void {
  const { name, value, line } = field;
  if (!token.test(name) || unsafe.test(value) || line !== `${name}: ${value}\r\n`) refuse("a field");
  safeFields.add(field);
}

function lines(fields: readonly Field[], omit: number): string {
  let text = "";
  for (const field of fields) {
    if ((field.kinds & omit) !== 0) continue;
    if (!safeFields.has(field)) checkField(field);
    text += field.line;
  }
  return text;
}

function framingLines(framing: number, connection: string): string {
  let text = "";
  if (!Number.isSafeInteger(framing) || framing < NO_FRAMING) refuse("the framing");
  if (framing >= 0) text = `content-length: ${framing}\r\n`;
  else if (framing === CHUNKED_BODY) text = "transfer-encoding: chunked\r\n";
  if (connection === "") return text;
  if (connection === CLOSE || connection === KEEP_ALIVE) return `${text}connection: ${connection}\r\n`;
  if (unsafe.test(connection)) refuse("upgrade");
  return `${text}connection: upgrade\r\nupgrade: ${connection}\r\n`;
}

/**
 * The head of a request. `authority` becomes `host`; `added` follows `fields`; fields of a kind in `omit` (bits of
 * FieldKind) are left out of `fields` but not of `added`, which belong to the sidecar; `connection` is empty, `close`,
 * `keep-alive` or a protocol to upgrade to. Throws Http1Error `unsafe-text`.
 */
export function writeRequestHead(
  method: string,
  target: string,
  authority: string,
  fields: readonly Field[],
  framing: number,
  added: readonly Field[] = noFields,
  omit = 0,
  connection = "",
): string {
  if (method !== safeMethod) {
    if (!token.test(method)) refuse("the method");
    safeMethod = method;
  }
  if (authority !== safeAuthority) {
    if (unsafeTarget.test(authority)) refuse("the authority");
    safeAuthority = authority;
  }
  if (target === "" || unsafeTarget.test(target)) refuse("the target");
  return (
    `${method} ${target} HTTP/1.1\r\nhost: ${authority}\r\n` +
    lines(fields, alwaysOmitted | omit) +
    lines(added, alwaysOmitted) +
    framingLines(framing, connection) +
    "\r\n"
  );
}

/** The head of a response, interim ones included. Parameters as of `writeRequestHead`. Throws Http1Error `unsafe-text`. */
export function writeResponseHead(
  status: number,
  fields: readonly Field[],
  framing: number,
  added: readonly Field[] = noFields,
  omit = 0,
  connection = "",
): string {
  if (!Number.isInteger(status) || status < 100 || status > 999) refuse("the status");
  return (
    `HTTP/1.1 ${status} ${reasonPhrase(status)}\r\n` +
    lines(fields, alwaysOmitted | omit) +
    lines(added, alwaysOmitted) +
    framingLines(framing, connection) +
    "\r\n"
  );
}

/** What precedes `length` bytes of a chunk, which may not be 0; CRLF follows them. */
export function writeChunkHead(length: number): string {
  if (!Number.isSafeInteger(length) || length <= 0) refuse("the chunk");
  return `${length.toString(16)}\r\n`;
}

/** What ends a chunked body. Trailers that may not be any are left out. Throws Http1Error `unsafe-text`. */
export function writeLastChunk(trailers: readonly Field[] = noFields): string {
  if (trailers.length === 0) return "0\r\n\r\n";
  const allowed = trailers.filter((field) => !isForbiddenTrailer(field));
  return `0\r\n${lines(allowed, 0)}\r\n`;
}
