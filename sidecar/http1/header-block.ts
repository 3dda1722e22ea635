/**
 * A whole block of header lines, read once: its fields and everything about framing and the connection that they say.
 * What that means for a request or a response is for request-parser.ts and response-parser.ts to say.
 *
 * Hot path: a block that repeats (clients send the same one on every request) costs one lookup and yields the identical
 * `fields` array.
 */
import { FieldKind, type Field } from "../../common/http/field.ts";
import { Http1Error } from "./error.ts";
import { readFieldLine } from "./field-line.ts";
import { createInterned } from "./interned.ts";
import { hashOfLines, lineIndex } from "./line-index.ts";
import type { Section } from "./section-reader.ts";

export interface HeaderBlock {
  /** In order of arrival, `host` left out. Those that `connection` nominates are of the kind HOP_BY_HOP here. */
  readonly fields: readonly Field[];
  readonly kinds: number;
  /** -1 when not declared. */
  readonly contentLength: number;
  readonly chunked: boolean;
  /** Empty when there is none. */
  readonly host: string;
  readonly close: boolean;
  readonly keepAlive: boolean;
  /** Protocols offered by an `upgrade` that `connection` announces; empty otherwise. */
  readonly upgrade: string;
  /** Lower case; empty when there is none. */
  readonly expect: string;
}

const blocks = createInterned<HeaderBlock>({ maxEntries: 1024, maxBytes: 512 * 1024, maxKeyBytes: 4096 });

/** Fields that no sender may make a matter of one connection: dropping them would change who calls, whom, or with what. */
const neverNominated = FieldKind.AUTHORIZATION | FieldKind.AMZ | FieldKind.IDENTITY | FieldKind.CONTENT_LENGTH;
const optionsWithoutField = new Set(["close", "keep-alive", "upgrade"]);

/** Marks the fields that `options` nominate (RFC 9110 7.6.1), so that none of them is forwarded. */
function markNominated(fields: Field[], options: readonly string[]): void {
  if (options.includes("host")) throw new Http1Error("bad-connection", "connection nominates host");
  for (const [index, field] of fields.entries()) {
    if ((field.kinds & FieldKind.HOP_BY_HOP) !== 0 || !options.includes(field.name)) continue;
    if ((field.kinds & neverNominated) !== 0) {
      throw new Http1Error("bad-connection", `connection nominates ${field.name}`);
    }
    fields[index] = { ...field, kinds: field.kinds | FieldKind.HOP_BY_HOP };
  }
}

function joinValues(fields: readonly Field[], kind: number): string {
  return fields
    .filter((field) => (field.kinds & kind) !== 0)
    .map((field) => field.value)
    .join(", ");
}

function parseBlock(section: Section, firstLine: number): HeaderBlock {
  const { buffer } = section;
  const { ends, hashes, count } = lineIndex;
  const fields: Field[] = [];
  let kinds = 0;
  let host = "";
  let contentLength = -1;
  let options: readonly string[] = [];
  let from = firstLine === 0 ? section.from : section.from + (ends[firstLine - 1] as number) + 2;
  for (let number = firstLine; number < count; number++) {
    const to = section.from + (ends[number] as number);
    const line = readFieldLine(buffer, from, to, hashes[number] as number);
    from = to + 2;
    const { field } = line;
    if ((field.kinds & FieldKind.HOST) !== 0) {
      if (host !== "") throw new Http1Error("duplicate-host", "more than one host");
      host = field.value;
      continue;
    }
    if (line.contentLength !== -1) {
      if (contentLength !== -1) throw new Http1Error("duplicate-content-length", "more than one content-length");
      contentLength = line.contentLength;
    }
    if ((field.kinds & kinds & FieldKind.TRANSFER_ENCODING) !== 0) {
      throw new Http1Error("bad-transfer-encoding", "more than one transfer-encoding");
    }
    if (line.options.length > 0) options = options.length === 0 ? line.options : [...options, ...line.options];
    kinds |= field.kinds;
    fields.push(field);
  }
  const chunked = (kinds & FieldKind.TRANSFER_ENCODING) !== 0;
  if (chunked && contentLength !== -1) {
    throw new Http1Error("conflicting-length", "both content-length and transfer-encoding");
  }
  if (!options.every((option) => optionsWithoutField.has(option))) markNominated(fields, options);
  return {
    fields,
    kinds,
    contentLength,
    chunked,
    host,
    close: options.includes("close"),
    keepAlive: options.includes("keep-alive"),
    upgrade: options.includes("upgrade") ? joinValues(fields, FieldKind.UPGRADE) : "",
    expect: (kinds & FieldKind.EXPECT) === 0 ? "" : joinValues(fields, FieldKind.EXPECT).toLowerCase(),
  };
}

/**
 * Reads the lines of `section`, which was indexed last, from number `firstLine` on. Throws Http1Error.
 */
export function readHeaderBlock(section: Section, firstLine: 0 | 1): HeaderBlock {
  const { buffer, to } = section;
  const from = firstLine === 0 ? section.from : section.from + (lineIndex.ends[0] as number) + 2;
  const hash = hashOfLines(firstLine);
  const known = blocks.find(buffer, from, to, hash);
  if (known !== undefined) return known;
  const block = parseBlock(section, firstLine);
  blocks.offer(buffer, from, to, hash, block);
  return block;
}
