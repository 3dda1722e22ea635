/**
 * One header field, parsed once and then shared by every request that repeats it.
 *
 * Hot path: a field carries the texts that later steps need (the line SigV4 signs, the line HTTP/1.1 writes) and the
 * classes they ask for, so that none of them looks at the name again. Text is latin1: a character is a byte of the wire.
 */

/** Classes a field belongs to, as bits of `Field.kinds`. */
export const FieldKind = {
  /** Concerns one connection only (RFC 9110 7.6.1): never forwarded, never signed. */
  HOP_BY_HOP: 1,
  /** Proxies legitimately change it: forwarded, but outside the signature. */
  UNSIGNED: 2,
  /** Says who the caller is: taken off whatever an application or a client sends, set by sidecars alone. */
  IDENTITY: 4,
  CONTENT_LENGTH: 8,
  HOST: 16,
  AUTHORIZATION: 32,
  /** `x-amz-*`: has to be signed. */
  AMZ: 64,
  /** Has bytes over 0x7F, so that latin1 and UTF-8 disagree on it. */
  OBS_TEXT: 128,
  EXPECT: 256,
  CONNECTION: 512,
  TRANSFER_ENCODING: 1024,
  UPGRADE: 2048,
  TE: 4096,
  /** `x-countersign-sequence` and `x-countersign-audience`: made by a caller's sidecar for a receiver's. */
  REPLAY: 8192,
  /** The value is visible ASCII and single inner spaces, found so when the field was made: nobody has to look again. */
  PLAIN: 16384,
} as const;

export interface Field {
  /** Lower-case token. */
  readonly name: string;
  /** Without surrounding white space. */
  readonly value: string;
  /** `name:value\n`, runs of inner white space made one space: the line of SigV4's canonical request. */
  readonly canonical: string;
  /** `name: value\r\n`: the line of HTTP/1.1. */
  readonly line: string;
  readonly kinds: number;
}

const HOP = FieldKind.HOP_BY_HOP;
const kindsByName = new Map<string, number>([
  ["connection", HOP | FieldKind.CONNECTION],
  ["keep-alive", HOP],
  ["te", HOP | FieldKind.TE],
  ["trailer", HOP],
  ["transfer-encoding", HOP | FieldKind.TRANSFER_ENCODING],
  ["upgrade", HOP | FieldKind.UPGRADE],
  ["proxy-authenticate", HOP],
  ["proxy-authorization", HOP],
  ["proxy-connection", HOP],
  ["http2-settings", HOP],
  ["expect", FieldKind.UNSIGNED | FieldKind.EXPECT],
  ["user-agent", FieldKind.UNSIGNED],
  ["forwarded", FieldKind.UNSIGNED],
  ["via", FieldKind.UNSIGNED],
  ["traceparent", FieldKind.UNSIGNED],
  ["tracestate", FieldKind.UNSIGNED],
  ["baggage", FieldKind.UNSIGNED],
  ["x-request-id", FieldKind.UNSIGNED],
  ["x-forwarded-client-cert", FieldKind.IDENTITY | FieldKind.UNSIGNED],
  ["x-countersign-sequence", FieldKind.IDENTITY | FieldKind.REPLAY],
  ["x-countersign-audience", FieldKind.IDENTITY | FieldKind.REPLAY],
  ["content-length", FieldKind.CONTENT_LENGTH],
  ["host", FieldKind.HOST],
  ["authorization", FieldKind.AUTHORIZATION],
]);

function kindsOf(name: string): number {
  const known = kindsByName.get(name);
  if (known !== undefined) return known;
  if (name.startsWith("x-amz-")) return FieldKind.AMZ;
  if (name.startsWith("x-countersign-")) return FieldKind.IDENTITY;
  if (name.startsWith("x-forwarded-")) return FieldKind.UNSIGNED;
  if (name.startsWith("proxy-")) return HOP;
  return 0;
}

/** What makes a value differ from its signed form, or latin1 from UTF-8; most values have none of it. */
const unusual = /[^ -~]| {2}/;
const beyondAscii = /[\u0080-\uffff]/;
const whitespaceRuns = /[ \t]+/g;

function hasEdgeSpace(value: string): boolean {
  return value.charCodeAt(0) === 32 || value.charCodeAt(value.length - 1) === 32;
}

/** Builds a field. `name` must be a lower-case token and `value` free of CR, LF, NUL and edge white space: the codecs check. */
export function createField(name: string, value: string): Field {
  if (!unusual.test(value) && !hasEdgeSpace(value)) return createPlainField(name, value);
  const signed = value.replace(whitespaceRuns, " ");
  const kinds = kindsOf(name) | (beyondAscii.test(value) ? FieldKind.OBS_TEXT : 0);
  return { name, value, canonical: `${name}:${signed}\n`, line: `${name}: ${value}\r\n`, kinds };
}

/** As `createField`, of a value that the caller made itself of visible ASCII and single inner spaces. */
export function createPlainField(name: string, value: string): Field {
  return { name, value, canonical: `${name}:${value}\n`, line: `${name}: ${value}\r\n`, kinds: kindsOf(name) | FieldKind.PLAIN };
}

/** The first field of that name, or undefined. */
export function findField(fields: readonly Field[], name: string): Field | undefined {
  for (const field of fields) if (field.name === name) return field;
  return undefined;
}

/** All classes that occur in `fields`. */
export function kindsIn(fields: readonly Field[]): number {
  let kinds = 0;
  for (const field of fields) kinds |= field.kinds;
  return kinds;
}
