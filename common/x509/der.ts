/**
 * Reads DER (X.690), the strict subset of ASN.1's encodings that certificates are signed over.
 *
 * One value has exactly one encoding: definite lengths in their shortest form, low tag numbers, shortest integers, TRUE as
 * 0xFF. Whatever else decoders commonly forgive is refused, so two readers cannot disagree on what a certificate says.
 * Nothing is copied: nodes are views of the input, and no length is believed before it is checked against what is there.
 */

export type DerErrorCode = "truncated" | "trailing-bytes" | "length-encoding" | "tag-encoding" | "unexpected-tag" | "value-encoding";

/** What was found is not the one DER encoding of what was expected. */
export class DerError extends Error {
  override readonly name = "DerError";
  readonly code: DerErrorCode;

  constructor(code: DerErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** Identifier octets that X.509 uses. Context tags are `0x80 | n`, with 0x20 when constructed. */
export const Tag = {
  BOOLEAN: 0x01,
  INTEGER: 0x02,
  BIT_STRING: 0x03,
  OCTET_STRING: 0x04,
  NULL: 0x05,
  OID: 0x06,
  UTF8_STRING: 0x0c,
  PRINTABLE_STRING: 0x13,
  IA5_STRING: 0x16,
  UTC_TIME: 0x17,
  GENERALIZED_TIME: 0x18,
  SEQUENCE: 0x30,
  SET: 0x31,
} as const;

export interface DerNode {
  /** The identifier octet: class, constructed bit and number. */
  readonly tag: number;
  readonly content: Buffer;
  /** What the node was found in, and where. */
  readonly source: Buffer;
  readonly start: number;
  readonly end: number;
}

/** Header and content, as they stood in the input. */
export function encodedOf({ source, start, end }: DerNode): Buffer {
  return source.subarray(start, end);
}

function readNode(der: Buffer, start: number): DerNode {
  const tag = der[start];
  const first = der[start + 1];
  if (tag === undefined || first === undefined) throw new DerError("truncated", "a value ends within its header");
  if ((tag & 0x1f) === 0x1f) throw new DerError("tag-encoding", "tag numbers over 30 do not occur in certificates");
  let length = first;
  let contentStart = start + 2;
  if (first > 0x7f) {
    const octets = first & 0x7f;
    if (octets === 0 || octets > 3) throw new DerError("length-encoding", "a length is indefinite or over 16 MiB");
    length = 0;
    for (let index = 0; index < octets; index++) {
      const octet = der[contentStart++];
      if (octet === undefined) throw new DerError("truncated", "a value ends within its length");
      length = (length << 8) | octet;
    }
    if (length < 0x80 || length < 1 << (8 * (octets - 1))) throw new DerError("length-encoding", "a length is not in its shortest form");
  }
  const end = contentStart + length;
  if (end > der.length) throw new DerError("truncated", "a value is longer than what holds it");
  return { tag, content: der.subarray(contentStart, end), source: der, start, end };
}

/** The one value that `der` consists of. Throws DerError, `trailing-bytes` when something follows it. */
export function readDer(der: Buffer): DerNode {
  const node = readNode(der, 0);
  if (node.end !== der.length) throw new DerError("trailing-bytes", "bytes follow the value");
  return node;
}

/** All values within `content`, in order. Throws DerError. */
export function readAll(content: Buffer): DerNode[] {
  const nodes: DerNode[] = [];
  for (let offset = 0; offset < content.length;) {
    const node = readNode(content, offset);
    nodes.push(node);
    offset = node.end;
  }
  return nodes;
}

/** Checks that `node` is there and has this tag. Throws DerError `truncated` or `unexpected-tag`. */
export function expectTag(node: DerNode | undefined, tag: number): DerNode {
  if (node === undefined) throw new DerError("truncated", "a value is missing");
  if (node.tag !== tag) throw new DerError("unexpected-tag", `tag 0x${node.tag.toString(16)} stands where 0x${tag.toString(16)} belongs`);
  return node;
}

/** The values within a SEQUENCE (or whatever constructed `tag` says). Throws DerError. */
export function childrenOf(node: DerNode | undefined, tag: number = Tag.SEQUENCE): DerNode[] {
  return readAll(expectTag(node, tag).content);
}

/** Content octets of an INTEGER, two's complement, in its shortest form. Throws DerError. */
export function integerOf(node: DerNode | undefined): Buffer {
  const { content } = expectTag(node, Tag.INTEGER);
  const [first, second] = content;
  if (first === undefined) throw new DerError("value-encoding", "an integer has no octets");
  if (second !== undefined && ((first === 0 && second < 0x80) || (first === 0xff && second > 0x7f))) {
    throw new DerError("value-encoding", "an integer is not in its shortest form");
  }
  return content;
}

/** An INTEGER from 0 to 2^31-1. Throws DerError. */
export function smallIntegerOf(node: DerNode | undefined): number {
  const content = integerOf(node);
  if (content.length > 4 || content[0]! > 0x7f) throw new DerError("value-encoding", "an integer is negative or over 2^31-1");
  return content.readUIntBE(0, content.length);
}

/** Throws DerError; DER knows only 0x00 and 0xFF. */
export function booleanOf(node: DerNode | undefined): boolean {
  const { content } = expectTag(node, Tag.BOOLEAN);
  if (content.length !== 1 || (content[0] !== 0 && content[0] !== 0xff))
    throw new DerError("value-encoding", "a boolean is not 0x00 or 0xFF");
  return content[0] === 0xff;
}

/** An OBJECT IDENTIFIER in dotted decimals. Throws DerError. */
export function oidOf(node: DerNode | undefined): string {
  const { content } = expectTag(node, Tag.OID);
  let text = "";
  let arc = 0;
  let startsArc = true;
  for (const octet of content) {
    if (startsArc && octet === 0x80) throw new DerError("value-encoding", "an object identifier is not in its shortest form");
    if (arc > 0x1ffffff) throw new DerError("value-encoding", "an object identifier has an arc over 2^32");
    arc = arc * 128 + (octet & 0x7f);
    startsArc = octet < 0x80;
    if (!startsArc) continue;
    if (text === "") {
      const root = Math.min(Math.floor(arc / 40), 2);
      text = `${root}.${arc - root * 40}`;
    } else {
      text += `.${arc}`;
    }
    arc = 0;
  }
  if (text === "" || !startsArc) throw new DerError("value-encoding", "an object identifier is cut off");
  return text;
}

/** The octets of a BIT STRING that must hold whole octets (keys, signatures). Throws DerError. */
export function octetsOfBitString(node: DerNode | undefined): Buffer {
  const { content } = expectTag(node, Tag.BIT_STRING);
  if (content[0] !== 0) throw new DerError("value-encoding", "a bit string does not hold whole octets");
  return content.subarray(1);
}

/** The named bits of a BIT STRING as a number, bit 0 of the definition being 1, at most 16 of them. Throws DerError. */
export function namedBitsOf(node: DerNode | undefined): number {
  const { content } = expectTag(node, Tag.BIT_STRING);
  const unused = content[0];
  const last = content[content.length - 1];
  if (unused === undefined || last === undefined || unused > 7 || content.length > 3) {
    throw new DerError("value-encoding", "a list of named bits is malformed");
  }
  // X.690 11.2.2: trailing zero bits are dropped, so the last bit there is is a one.
  if (content.length === 1 ? unused !== 0 : (last & ((1 << unused) - 1)) !== 0 || ((last >> unused) & 1) === 0) {
    throw new DerError("value-encoding", "a list of named bits is not in its shortest form");
  }
  let bits = 0;
  for (let index = 1; index < content.length; index++) {
    for (let bit = 0; bit < 8; bit++) if ((content[index]! << bit) & 0x80) bits |= 1 << ((index - 1) * 8 + bit);
  }
  return bits;
}

const DIGIT_ZERO = 0x30;
const LETTER_Z = 0x5a;
const DAYS_BY_MONTH = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/** The number that two digits are, checked against bounds. */
function twoDigits(content: Buffer, offset: number, least: number, most: number): number {
  const [tens, ones] = [content[offset]! - DIGIT_ZERO, content[offset + 1]! - DIGIT_ZERO];
  const value = tens * 10 + ones;
  if (!(tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9 && value >= least && value <= most)) {
    throw new DerError("value-encoding", "a time is malformed or not on the calendar");
  }
  return value;
}

/**
 * A certificate's Time in seconds since 1970 (RFC 5280 4.1.2.5: UTCTime through 2049, GeneralizedTime from 2050 on, always
 * with seconds and `Z`). Throws DerError.
 */
export function timeOf(node: DerNode | undefined): number {
  const utc = node?.tag === Tag.UTC_TIME;
  const { content } = expectTag(node, utc ? Tag.UTC_TIME : Tag.GENERALIZED_TIME);
  const rest = utc ? 2 : 4;
  if (content.length !== rest + 11 || content[rest + 10] !== LETTER_Z) throw new DerError("value-encoding", "a time is malformed");
  const shortYear = twoDigits(content, rest - 2, 0, 99);
  const year = shortYear + (utc ? (shortYear < 50 ? 2000 : 1900) : twoDigits(content, 0, 0, 99) * 100);
  if (!utc && year < 2050) throw new DerError("value-encoding", "a time before 2050 is not a UTCTime");
  const month = twoDigits(content, rest, 1, 12);
  const leapDay = month === 2 && year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 1 : 0;
  const day = twoDigits(content, rest + 2, 1, DAYS_BY_MONTH[month - 1]! + leapDay);
  const hour = twoDigits(content, rest + 4, 0, 23);
  const minute = twoDigits(content, rest + 6, 0, 59);
  const second = twoDigits(content, rest + 8, 0, 59);
  return Date.UTC(year, month - 1, day, hour, minute, second) / 1000;
}
