/**
 * Fields as the HPACK decoder keeps them: checked once, when they first arrive, and shared by every message that names
 * them again.
 *
 * Hot path: a literal costs one pass over its bytes.
 */
import { createField, type Field } from "../../../common/http/field.ts";
import { FieldRole, fitsRole, hasEdgeSpace, roleOfName } from "../field-rules.ts";

/** A field name with what follows from it. */
export interface FieldName {
  readonly text: string;
  /** `Field.kinds` of the name alone. */
  readonly kinds: number;
  readonly role: FieldRole;
  /** How well caching literal values of this name has paid lately; see literal-cache.ts. */
  reuse: number;
}

export interface Entry {
  readonly name: FieldName;
  readonly field: Field;
  /** Size by RFC 7541 section 4.1. */
  readonly size: number;
  /** The name's role, or MALFORMED where the value breaks a rule. */
  readonly role: FieldRole;
}

/** What RFC 7541 section 4.1 adds to the lengths of name and value. */
export const ENTRY_OVERHEAD = 32;

export function createFieldName(text: string): FieldName {
  return { text, kinds: createField(text, "").kinds, role: roleOfName(text), reuse: 8 };
}

// Classes of value bytes; two blanks in a row add up to RUN.
const FORBIDDEN = 1;
const OBS_TEXT = 2;
const BLANK = 4;
const RUN = 8;
const valueClasses = new Uint8Array(256);
for (let byte = 0; byte < 256; byte++) {
  if (byte === 9) valueClasses[byte] = BLANK | RUN;
  else if (byte === 32) valueClasses[byte] = BLANK;
  else if (byte < 32 || byte === 127) valueClasses[byte] = FORBIDDEN;
  else if (byte > 127) valueClasses[byte] = OBS_TEXT;
}

function classesOf(bytes: Buffer, start: number, end: number): number {
  let classes = 0;
  let previous = 0;
  for (let i = start; i < end; i++) {
    const current = valueClasses[bytes[i]!]!;
    classes |= current | ((current & previous & BLANK) << 1);
    previous = current;
  }
  return classes;
}

/** From this length on values are looked through four bytes at a time. */
const LONG = 48;
let viewed: ArrayBufferLike = new ArrayBuffer(0);
let view: DataView = new DataView(viewed);

/** Whether `bytes[start..end)`, `LONG` at least, is visible ASCII and spaces alone. */
function isPlain(bytes: Buffer, start: number, end: number): boolean {
  if (bytes.buffer !== viewed) {
    viewed = bytes.buffer;
    view = new DataView(viewed);
  }
  const offset = bytes.byteOffset;
  const last = offset + end - 4;
  // A byte shows in its highest bit if that is set, if it is under 0x20, or if one more sets it (0x7F).
  let odd = 0;
  for (let i = offset + start; i < last; i += 4) {
    const word = view.getInt32(i, true);
    odd |= word | (word - 0x20202020) | (word + 0x01010101);
  }
  const word = view.getInt32(last, true);
  return ((odd | word | (word - 0x20202020) | (word + 0x01010101)) & 0x80808080) === 0;
}

/** Builds the entry of a name and the value in `bytes[start..end)`. */
export function createEntry(name: FieldName, bytes: Buffer, start: number, end: number): Entry {
  const value = end === start ? "" : bytes.toString("latin1", start, end);
  const plain = end - start >= LONG && isPlain(bytes, start, end);
  const classes = plain ? (value.includes("  ") ? BLANK | RUN : BLANK) : classesOf(bytes, start, end);
  let role = name.role;
  if ((classes & FORBIDDEN) !== 0 || ((classes & BLANK) !== 0 && hasEdgeSpace(value))) role = FieldRole.MALFORMED;
  else if ((role !== FieldRole.REGULAR || name.text === "te") && !fitsRole(role, name.text, value)) role = FieldRole.MALFORMED;
  const text = name.text;
  // Most values have neither runs of blanks nor bytes beyond ASCII; createField would look for both again.
  const field =
    (classes & (RUN | OBS_TEXT)) === 0 && role !== FieldRole.MALFORMED
      ? { name: text, value, canonical: `${text}:${value}\n`, line: `${text}: ${value}\r\n`, kinds: name.kinds }
      : createField(text, value);
  return { name, field, size: text.length + value.length + ENTRY_OVERHEAD, role };
}
