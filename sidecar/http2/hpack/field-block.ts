/**
 * One decoded field block: pseudo-fields taken apart, regular fields in order, and whatever makes the message malformed.
 *
 * Hot path: one block object serves a connection; only its `fields` array is new for every message.
 */
import { createField, type Field } from "../../../common/http/field.ts";
import { FieldRole } from "../field-rules.ts";
import type { Entry } from "./entry.ts";

/** Bits of `FieldBlock.pseudo`, one a pseudo-field: 1 shifted by its role. */
export const Pseudo = {
  METHOD: 1 << FieldRole.METHOD,
  SCHEME: 1 << FieldRole.SCHEME,
  AUTHORITY: 1 << FieldRole.AUTHORITY,
  PATH: 1 << FieldRole.PATH,
  PROTOCOL: 1 << FieldRole.PROTOCOL,
  STATUS: 1 << FieldRole.STATUS,
} as const;

export interface FieldBlock {
  fields: Field[];
  /** Union of the fields' kinds. */
  kinds: number;
  /** Which pseudo-fields came; their values follow. */
  pseudo: number;
  method: string;
  scheme: string;
  authority: string;
  path: string;
  protocol: string;
  status: string;
  /** Empty when absent. It stands among `fields` too in a block that is no request. */
  host: string;
  /** -1 when absent. */
  contentLength: number;
  cookies: number;
  /** A regular field has been seen, so that no pseudo-field may follow. */
  regular: boolean;
  /** Size by RFC 9113 section 6.5.2. */
  size: number;
  /** Larger than the limit: `fields` is not whole. */
  tooLarge: boolean;
  /** Why the message is malformed, or empty. */
  flaw: string;
}

export function createFieldBlock(): FieldBlock {
  return {
    fields: [],
    kinds: 0,
    pseudo: 0,
    method: "",
    scheme: "",
    authority: "",
    path: "",
    protocol: "",
    status: "",
    host: "",
    contentLength: -1,
    cookies: 0,
    regular: false,
    size: 0,
    tooLarge: false,
    flaw: "",
  };
}

export function resetFieldBlock(block: FieldBlock): void {
  block.fields = [];
  block.kinds = 0;
  block.pseudo = 0;
  block.host = "";
  block.contentLength = -1;
  block.cookies = 0;
  block.regular = false;
  block.size = 0;
  block.tooLarge = false;
  block.flaw = "";
}

/** Adds an entry whose role is not REGULAR. `request` leaves `host` out of the fields. */
export function addSpecial(block: FieldBlock, entry: Entry, request: boolean): void {
  const value = entry.field.value;
  switch (entry.role) {
    case FieldRole.METHOD:
      addPseudo(block, Pseudo.METHOD);
      block.method = value;
      return;
    case FieldRole.SCHEME:
      addPseudo(block, Pseudo.SCHEME);
      block.scheme = value;
      return;
    case FieldRole.AUTHORITY:
      addPseudo(block, Pseudo.AUTHORITY);
      block.authority = value;
      return;
    case FieldRole.PATH:
      addPseudo(block, Pseudo.PATH);
      block.path = value;
      return;
    case FieldRole.PROTOCOL:
      addPseudo(block, Pseudo.PROTOCOL);
      block.protocol = value;
      return;
    case FieldRole.STATUS:
      addPseudo(block, Pseudo.STATUS);
      block.status = value;
      return;
    case FieldRole.HOST:
      if (block.host !== "") block.flaw = "host is given twice";
      block.host = value;
      block.regular = true;
      if (!request) addField(block, entry);
      return;
    case FieldRole.CONTENT_LENGTH:
      if (block.contentLength !== -1) block.flaw = "content-length is given twice";
      block.contentLength = Number(value);
      addField(block, entry);
      return;
    case FieldRole.COOKIE:
      block.cookies++;
      addField(block, entry);
      return;
    case FieldRole.REGULAR:
      addField(block, entry);
      return;
    case FieldRole.MALFORMED:
      block.flaw = "a field's name or value is not allowed";
  }
}

function addPseudo(block: FieldBlock, bit: number): void {
  if ((block.pseudo & bit) !== 0) block.flaw = "a pseudo-field is given twice";
  else if (block.regular || block.fields.length > 0) block.flaw = "a pseudo-field follows a field";
  block.pseudo |= bit;
}

function addField(block: FieldBlock, entry: Entry): void {
  block.fields.push(entry.field);
  block.kinds |= entry.field.kinds;
}

/** Makes one field of several cookie fields, as any hop that is not HTTP/2 needs it (RFC 9113 section 8.2.3). */
export function joinCookies(fields: readonly Field[]): Field[] {
  const crumbs = fields.filter((field) => field.name === "cookie");
  const joined = createField("cookie", crumbs.map((field) => field.value).join("; "));
  const place = fields.findIndex((field) => field.name === "cookie");
  return fields.map((field, index) => (index === place ? joined : field)).filter((field) => field === joined || field.name !== "cookie");
}
