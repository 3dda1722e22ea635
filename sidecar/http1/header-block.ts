/**
 * A whole block of header lines, read once: its fields and everything about framing and the connection that they say.
 * Hot path: a block that repeats (clients send the same one on every request) costs one lookup and yields the identical
 * `fields` array. Blocks hold what was said; request-parser.ts and response-parser.ts hold what that means.
 */
import { FieldKind, type Field } from "../../common/http/field.ts";
import { Http1Error } from "./error.ts";
import { readFieldLine } from "./field-lines.ts";
import { createInterned } from "./interned.ts";
import { latin1 } from "./latin1.ts";

export interface HeaderBlock {
  readonly key: string;
  /** In order of arrival, `host` left out. Those that `connection` nominates are of the kind HOP_BY_HOP here. */
  readonly fields: readonly Field[];
  readonly kinds: number;
  /** Lines, `host` included. */
  readonly count: number;
  /** -1 when not declared. */
  readonly contentLength: number;
  readonly chunked: boolean;
  /** Empty when there is none. */
  readonly host: string;
  readonly close: boolean;
  readonly keepAlive: boolean;
  /** Protocols offered by a valid `upgrade` that `connection` announces; empty otherwise. */
  readonly upgrade: string;
  /** Lower case; empty when there is none. */
  readonly expect: string;
}

const blocks = createInterned<HeaderBlock>({ maxEntries: 1024, maxCharacters: 512 * 1024, maxKeyLength: 4096 });

const hostSyntax = /^(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?$/;
const digits = /^(?:0|[1-9][0-9]{0,14})$/;

/** Fields that no sender may make a matter of one connection: dropping them would change who calls, whom, or with what. */
const neverNominated = FieldKind.AUTHORIZATION | FieldKind.AMZ | FieldKind.IDENTITY | FieldKind.CONTENT_LENGTH | FieldKind.HOST;

function contentLengthOf(value: string): number {
  if (!digits.test(value)) throw new Http1Error("bad-content-length", "content-length is not a plain number");
  return Number(value);
}

function connectionOptions(fields: readonly Field[]): Set<string> {
  const options = new Set<string>();
  for (const field of fields) {
    if ((field.kinds & FieldKind.CONNECTION) === 0) continue;
    for (const option of field.value.split(",")) {
      const name = option.trim().toLowerCase();
      if (name !== "") options.add(name);
    }
  }
  return options;
}

function markNominated(fields: Field[], options: ReadonlySet<string>): void {
  if (options.has("host")) throw new Http1Error("bad-connection", "connection nominates host");
  for (const [index, field] of fields.entries()) {
    if (!options.has(field.name) || (field.kinds & FieldKind.HOP_BY_HOP) !== 0) continue;
    if ((field.kinds & neverNominated) !== 0) {
      throw new Http1Error("bad-connection", `connection nominates ${field.name}`);
    }
    fields[index] = { ...field, kinds: field.kinds | FieldKind.HOP_BY_HOP };
  }
}

function joinValues(fields: readonly Field[], kind: number): string {
  let joined = "";
  for (const field of fields) {
    if ((field.kinds & kind) !== 0) joined = joined === "" ? field.value : `${joined}, ${field.value}`;
  }
  return joined;
}

const noOptions: ReadonlySet<string> = new Set();

function parseBlock(text: string, buffer: Buffer, base: number, maxHeaders: number): HeaderBlock {
  const fields: Field[] = [];
  let kinds = 0;
  let count = 0;
  let hash = 0;
  let host = "";
  let hosts = 0;
  let contentLength = -1;
  let chunked = false;
  const end = text.length - 2;
  for (let from = 0; from < end;) {
    const to = text.indexOf("\r\n", from);
    if (++count > maxHeaders) throw new Http1Error("too-many-headers", `more than ${maxHeaders} header lines`);
    const line = readFieldLine(text, from, to, buffer, base);
    from = to + 2;
    hash = Math.imul(hash ^ line.hash, 0x01000193);
    const field = line.field;
    if ((field.kinds & FieldKind.HOST) !== 0) {
      if (++hosts > 1) throw new Http1Error("duplicate-host", "more than one host");
      if (!hostSyntax.test(field.value)) throw new Http1Error("bad-host", "host is not a name or address");
      host = field.value;
      continue;
    }
    if ((field.kinds & FieldKind.CONTENT_LENGTH) !== 0) {
      if (contentLength !== -1) throw new Http1Error("duplicate-content-length", "more than one content-length");
      contentLength = contentLengthOf(field.value);
    }
    if ((field.kinds & FieldKind.TRANSFER_ENCODING) !== 0) {
      if (chunked || field.value.toLowerCase() !== "chunked") {
        throw new Http1Error("bad-transfer-encoding", "transfer-encoding is not exactly chunked");
      }
      chunked = true;
    }
    kinds |= field.kinds;
    fields.push(field);
  }
  if (chunked && contentLength !== -1) {
    throw new Http1Error("conflicting-length", "both content-length and transfer-encoding");
  }
  const options = (kinds & FieldKind.CONNECTION) === 0 ? noOptions : connectionOptions(fields);
  if (options.size > 0) markNominated(fields, options);
  const admitted = blocks.admits(hash);
  const block: HeaderBlock = {
    key: admitted ? text : "",
    fields,
    kinds,
    count,
    contentLength,
    chunked,
    host,
    close: options.has("close"),
    keepAlive: options.has("keep-alive"),
    upgrade: options.has("upgrade") ? joinValues(fields, FieldKind.UPGRADE) : "",
    expect: (kinds & FieldKind.EXPECT) === 0 ? "" : joinValues(fields, FieldKind.EXPECT).toLowerCase(),
  };
  if (admitted) blocks.put(block);
  return block;
}

function withinLimit(block: HeaderBlock, maxHeaders: number): HeaderBlock {
  if (block.count > maxHeaders) throw new Http1Error("too-many-headers", `more than ${maxHeaders} header lines`);
  return block;
}

/** The block whose text, closing empty line included, is `text`, if it was seen before; nothing is parsed. */
export function recallHeaderBlock(text: string): HeaderBlock | undefined {
  return blocks.get(text);
}

/**
 * Reads the block `buffer[from, to)`: lines that end in CRLF, then the empty line. The caller has made sure that there
 * is no other CR or LF. Throws Http1Error.
 */
export function readHeaderBlock(buffer: Buffer, from: number, to: number, maxHeaders: number): HeaderBlock {
  const text = latin1(buffer, from, to);
  const known = blocks.get(text);
  return known === undefined ? parseBlock(text, buffer, from, maxHeaders) : withinLimit(known, maxHeaders);
}
