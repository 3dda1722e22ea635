/**
 * The one normaliser: it makes the path that is signed, matched against policies and forwarded, so that no two of them can
 * disagree. What could mean two things to two programs is refused, not guessed at.
 *
 * Guarantees: a returned path starts with `/`, is visible ASCII, has no empty, `.` or `..` segment (one empty last segment,
 * the closing slash, apart), only well-formed upper-case escapes, and none of an unreserved character; normalising it again
 * changes nothing.
 * Does not take `*` or `host:port` (the callers of OPTIONS and CONNECT know those), and does not interpret the query.
 *
 * Hot path: once a request. A plain target is scanned once and sliced; the work done on others is kept for when they repeat.
 */
import { isIPv6 } from "node:net";
import { createRecentCache } from "./recent-cache.ts";

export type RequestTargetErrorCode =
  /** Does not start with `/`. */
  | "not-a-path"
  /** A byte that is not visible ASCII, a `#`, or a backslash in the path. */
  | "forbidden-character"
  /** A `%` that two hexadecimal digits do not follow. */
  | "malformed-escape"
  | "encoded-nul"
  | "encoded-slash"
  | "encoded-backslash"
  /** `..;x` or `..%2Fx`: some programs take it for a dot segment and some do not. */
  | "ambiguous-dot-segment"
  | "malformed-authority";

/** A target or authority that no request may have: status 400. */
export class RequestTargetError extends Error {
  override readonly name = "RequestTargetError";
  readonly code: RequestTargetErrorCode;

  constructor(code: RequestTargetErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

export interface NormalizedTarget {
  readonly path: string;
  /** As sent, without its question mark; empty when there was none or nothing after it. */
  readonly query: string;
}

export interface TargetOptions {
  /** Lets `%2F` stand in a path. It stays escaped: it is never taken for a slash. */
  readonly allowEncodedSlashes: boolean;
}

const slash = 0x2f;
const dot = 0x2e;
const percent = 0x25;
const questionMark = 0x3f;
const hash = 0x23;
const backslash = 0x5c;

/**
 * Normalises a target in origin form, `/path?query`.
 *
 * Percent-decodes unreserved characters (RFC 3986 2.3) and no others, makes escapes upper-case, merges slashes and resolves
 * dot segments, in this order. Dot segments are resolved as AWS's signers do it, `/a/b/..` is `/a` (RFC 3986 5.2.4 says
 * `/a/`), because this is also the path of the canonical request; above the root is the root.
 *
 * Throws RequestTargetError.
 */
export function normalizeTarget(target: string, options: TargetOptions): NormalizedTarget {
  if (target.charCodeAt(0) !== slash) throw new RequestTargetError("not-a-path", "a request target starts with a slash");
  let plain = true;
  let end = target.length;
  for (let index = 0; index < target.length; index++) {
    const code = target.charCodeAt(index);
    if (code === slash) {
      const next = target.charCodeAt(index + 1);
      if (next === slash || next === dot) plain = false;
    } else if (code === percent) {
      plain = false;
    } else if (code === questionMark) {
      end = index;
      break;
    } else if (code <= 0x20 || code >= 0x7f || code === hash || code === backslash) {
      throw forbidden(code);
    }
  }
  checkQuery(target, end + 1);
  const path = target.slice(0, end);
  return { path: plain ? path : normalizePath(path, options.allowEncodedSlashes), query: target.slice(end + 1) };
}

function checkQuery(target: string, start: number): void {
  for (let index = start; index < target.length; index++) {
    const code = target.charCodeAt(index);
    if (code <= 0x20 || code >= 0x7f || code === hash) throw forbidden(code);
    if (code === percent) {
      if (!isHexDigit(target.charCodeAt(index + 1)) || !isHexDigit(target.charCodeAt(index + 2))) throw malformedEscape();
      index += 2;
    }
  }
}

function isHexDigit(code: number): boolean {
  return (code >= 0x30 && code <= 0x39) || (code >= 0x41 && code <= 0x46) || (code >= 0x61 && code <= 0x66);
}

const escapes = /%([0-9A-Fa-f]{2})?/g;
const unreserved = /[A-Za-z0-9\-._~]/;
/** A dot segment to whoever decodes `%2F`, or cuts off `;` parameters before resolving dots, as Java's servlets do. */
const hiddenDotSegment = /(?:^|%2F)\.\.?(?:;|%2F|$)/;

/** By path that is not plain already; those that are cost less to scan than to look up. */
const withEncodedSlashes = createRecentCache<string>(1024, 512);
const withoutEncodedSlashes = createRecentCache<string>(1024, 512);

function normalizePath(path: string, allowEncodedSlashes: boolean): string {
  const cache = allowEncodedSlashes ? withEncodedSlashes : withoutEncodedSlashes;
  let normalized = cache.get(path);
  if (normalized === undefined) {
    normalized = parsePath(path, allowEncodedSlashes);
    cache.set(path, normalized);
  }
  return normalized;
}

function parsePath(path: string, allowEncodedSlashes: boolean): string {
  const decoded = path.replace(escapes, (escape: string, digits: string | undefined) => {
    if (digits === undefined) throw malformedEscape();
    const character = String.fromCharCode(Number.parseInt(digits, 16));
    if (unreserved.test(character)) return character;
    if (character === "\0") throw new RequestTargetError("encoded-nul", "the path has an escaped NUL");
    if (character === "\\") throw new RequestTargetError("encoded-backslash", "the path has an escaped backslash");
    if (character === "/" && !allowEncodedSlashes) throw new RequestTargetError("encoded-slash", "the path has an escaped slash");
    return escape.toUpperCase();
  });
  const kept: string[] = [];
  for (const segment of decoded.split("/")) {
    if (segment === "" || segment === ".") continue;
    if (segment === "..") kept.pop();
    else if (hiddenDotSegment.test(segment)) throw new RequestTargetError("ambiguous-dot-segment", "the path hides a dot segment");
    else kept.push(segment);
  }
  const closing = kept.length > 0 && decoded.endsWith("/") ? "/" : "";
  return `/${kept.join("/")}${closing}`;
}

function forbidden(code: number): RequestTargetError {
  const character = code > 0x20 && code < 0x7f ? String.fromCharCode(code) : `0x${code.toString(16)}`;
  return new RequestTargetError("forbidden-character", `the request target has a raw ${character}`);
}

function malformedEscape(): RequestTargetError {
  return new RequestTargetError("malformed-escape", "the request target has a % without two hexadecimal digits after it");
}

export interface NormalizedAuthority {
  /** Lower-case, without a trailing dot; an IPv6 address in brackets, in its shortest form. */
  readonly host: string;
  /** Undefined when none was given. */
  readonly port: number | undefined;
}

const authorities = createRecentCache<NormalizedAuthority>(1024, 270);
const authorityParts = /^(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9._-]{1,254}))(?::([1-9][0-9]{0,4}))?$/;
/** Host names by the characters in use (underscores occur inside clusters), without an empty label. */
const hostName = /^[a-z0-9_-]+(?:\.[a-z0-9_-]+)*$/;

/**
 * Parses `Host`, `:authority` or the authority of an absolute-form target (RFC 9110 7.2): `host`, `host:port`. Takes no user
 * information, no escapes, no IPv6 zone, no empty port. Throws RequestTargetError `malformed-authority`.
 */
export function normalizeAuthority(authority: string): NormalizedAuthority {
  let normalized = authorities.get(authority);
  if (normalized === undefined) {
    normalized = parseAuthority(authority);
    authorities.set(authority, normalized);
  }
  return normalized;
}

function parseAuthority(authority: string): NormalizedAuthority {
  const parts = authorityParts.exec(authority);
  if (parts === null) throw malformedAuthority();
  const [, address, name = "", portDigits] = parts;
  const port = portDigits === undefined ? undefined : Number(portDigits);
  if (port !== undefined && port > 65_535) throw malformedAuthority();
  if (address !== undefined) {
    if (!isIPv6(address)) throw malformedAuthority();
    return { host: new URL(`http://[${address}]/`).hostname, port };
  }
  const lowerCase = name.toLowerCase();
  const host = lowerCase.endsWith(".") ? lowerCase.slice(0, -1) : lowerCase;
  if (host.length > 253 || !hostName.test(host)) throw malformedAuthority();
  return { host, port };
}

function malformedAuthority(): RequestTargetError {
  return new RequestTargetError("malformed-authority", "the authority is neither a host name nor an address, with or without a port");
}
