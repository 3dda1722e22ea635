/**
 * What a connection speaks, told by its first bytes. Only what is certain is called by a name: a TLS record that begins a
 * ClientHello, the whole preface of HTTP/2, a request line of HTTP/1 up to its version. Everything else is `tcp`, however much
 * it looks like text: Redis' inline `GET key`, NATS' `CONNECT {…}` and SMTP's `EHLO x` begin as requests do.
 *
 * It does not validate: a message of HTTP/1 that no parser should accept (an unknown method, a strange target) is HTTP/1 all
 * the same, and refused as such, not let through as bytes that nobody looks at.
 */

export type Protocol = "http1" | "h2" | "tls" | "tcp";

/** RFC 9113 3.4. */
const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");
const version = Buffer.from("HTTP/1.", "latin1");

/** The longest registered method, UPDATEREDIRECTREF, has 17 characters. */
const longestMethod = 32;
/** A word this long behind a method is a target. */
const longestTarget = 8192;

/** Nothing is undecided beyond this many bytes. */
export const longestDetection = longestMethod + 1 + longestTarget + version.length;

const space = 0x20;

/** Bytes of a token (RFC 9110 5.6.2). */
const tokenBytes = new Set(Buffer.from("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", "latin1"));

/**
 * `bytes` are all that have come, from the first. What is once decided stays the same however many more come. A protocol
 * whose client waits for the server's answer before it has sent enough stays `need-more`: the caller waits no longer than it
 * has to, and takes it for `tcp`.
 */
export function detectProtocol(bytes: Uint8Array): Protocol | "need-more" {
  if (bytes.length === 0) return "need-more";
  if (bytes[0] === handshake) return detectTls(bytes);
  const shared = sharedLength(bytes, preface);
  if (shared === preface.length) return "h2";
  if (shared === bytes.length) return "need-more";
  return detectRequestLine(bytes);
}

const handshake = 0x16;
const clientHello = 1;
const longestRecord = 1 << 14;

/** RFC 8446 5.1: type, legacy version (3, 0) to (3, 4), length, and the type of the first handshake message. */
function detectTls(bytes: Uint8Array): "tls" | "tcp" | "need-more" {
  const [, major, minor, high, low, message] = bytes;
  if (major !== undefined && major !== 3) return "tcp";
  if (minor !== undefined && minor > 4) return "tcp";
  if (high !== undefined && low !== undefined) {
    const length = high * 256 + low;
    if (length === 0 || length > longestRecord) return "tcp";
  }
  if (message === undefined) return "need-more";
  return message === clientHello ? "tls" : "tcp";
}

function detectRequestLine(bytes: Uint8Array): "http1" | "tcp" | "need-more" {
  let position = 0;
  while (position < bytes.length && bytes[position] !== space) {
    if (position === longestMethod || !tokenBytes.has(bytes[position] ?? 0)) return "tcp";
    position++;
  }
  if (position === 0) return "tcp";
  const targetFrom = position + 1;
  position = targetFrom;
  while (position < bytes.length && bytes[position] !== space) {
    if (!isVisible(bytes[position] ?? 0)) return "tcp";
    position++;
    if (position - targetFrom === longestTarget) return "http1";
  }
  if (position === targetFrom && position < bytes.length) return "tcp";
  if (position >= bytes.length) return "need-more";
  const rest = bytes.subarray(position + 1);
  const shared = sharedLength(rest, version);
  if (shared === version.length) return "http1";
  return shared === rest.length ? "need-more" : "tcp";
}

/** Also of bytes over 0x7F, which belong to no target, but which some clients send. */
function isVisible(byte: number): boolean {
  return byte > space && byte !== 0x7f;
}

function sharedLength(bytes: Uint8Array, other: Uint8Array): number {
  const end = Math.min(bytes.length, other.length);
  let length = 0;
  while (length < end && bytes[length] === other[length]) length++;
  return length;
}
