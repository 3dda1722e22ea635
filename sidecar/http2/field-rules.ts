/**
 * What a field or pseudo-field may look like in HTTP/2 (RFC 9113 section 8.2 and 8.3, RFC 9110 section 5), as this codec
 * enforces it on what it reads and on what it writes. Where it is stricter than the RFCs it agrees with the HTTP/1.1 codec.
 */

/** How a name is treated in a message; a regular field is 0 so that the hot path asks one question. */
export const FieldRole = {
  REGULAR: 0,
  METHOD: 1,
  SCHEME: 2,
  AUTHORITY: 3,
  PATH: 4,
  PROTOCOL: 5,
  STATUS: 6,
  HOST: 7,
  CONTENT_LENGTH: 8,
  COOKIE: 9,
  /** Breaks a rule wherever it stands. */
  MALFORMED: 10,
} as const;
export type FieldRole = (typeof FieldRole)[keyof typeof FieldRole];

const roles = new Map<string, FieldRole>([
  [":method", FieldRole.METHOD],
  [":scheme", FieldRole.SCHEME],
  [":authority", FieldRole.AUTHORITY],
  [":path", FieldRole.PATH],
  [":protocol", FieldRole.PROTOCOL],
  [":status", FieldRole.STATUS],
  ["host", FieldRole.HOST],
  ["content-length", FieldRole.CONTENT_LENGTH],
  ["cookie", FieldRole.COOKIE],
  ["connection", FieldRole.MALFORMED],
  ["keep-alive", FieldRole.MALFORMED],
  ["proxy-connection", FieldRole.MALFORMED],
  ["transfer-encoding", FieldRole.MALFORMED],
  ["upgrade", FieldRole.MALFORMED],
  ["http2-settings", FieldRole.MALFORMED],
]);

const lowerCaseToken = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;
const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const outsideValue = /[^\t\x20-\x7e\x80-\xff]/;
const visible = /^[\x21-\x7e]+$/;
const authority = /^(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?$/;
const statusCode = /^[1-9][0-9][0-9]$/;
const plainNumber = /^(?:0|[1-9][0-9]{0,14})$/;

/** The role of a name; MALFORMED for what is no lower-case token, an unknown pseudo-field or a connection-specific field. */
export function roleOfName(name: string): FieldRole {
  return roles.get(name) ?? (lowerCaseToken.test(name) ? FieldRole.REGULAR : FieldRole.MALFORMED);
}

/** No control byte but HTAB, nothing beyond a byte, no white space at the edges. */
export function isFieldValue(value: string): boolean {
  return !outsideValue.test(value) && !hasEdgeSpace(value);
}

export function hasEdgeSpace(value: string): boolean {
  if (value.length === 0) return false;
  const first = value.charCodeAt(0);
  const last = value.charCodeAt(value.length - 1);
  return first === 32 || first === 9 || last === 32 || last === 9;
}

export const isMethod = (text: string): boolean => token.test(text);
export const isScheme = (text: string): boolean => text === "https" || text === "http";
/** `host[:port]`, without user information (RFC 9113 8.3.1). */
export const isAuthority = (text: string): boolean => authority.test(text);
/** `/…` or `*`, visible ASCII. Whether `*` goes with the method is for the whole message to say. */
export const isPath = (text: string): boolean => visible.test(text) && (text.charCodeAt(0) === 47 || text === "*");
export const isProtocol = (text: string): boolean => token.test(text);
export const isStatus = (text: string): boolean => statusCode.test(text);
export const isContentLength = (text: string): boolean => plainNumber.test(text);

/** Whether `value`, free of forbidden bytes, fits the role of its name. */
export function fitsRole(role: FieldRole, name: string, value: string): boolean {
  switch (role) {
    case FieldRole.REGULAR:
      return name !== "te" || value === "trailers";
    case FieldRole.METHOD:
      return isMethod(value);
    case FieldRole.SCHEME:
      return isScheme(value);
    case FieldRole.AUTHORITY:
    case FieldRole.HOST:
      return isAuthority(value);
    case FieldRole.PATH:
      return isPath(value);
    case FieldRole.PROTOCOL:
      return isProtocol(value);
    case FieldRole.STATUS:
      return isStatus(value);
    case FieldRole.CONTENT_LENGTH:
      return isContentLength(value);
    case FieldRole.COOKIE:
      return true;
    case FieldRole.MALFORMED:
      return false;
    default:
      return role satisfies never;
  }
}
