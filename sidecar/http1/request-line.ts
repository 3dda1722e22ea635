/**
 * Request lines (RFC 9112 3). Stricter than the RFC: methods are those Node's own parser knows, single spaces, visible
 * ASCII. Paths are not normalised here. Hot path: lines that repeat are interned.
 */
import { Http1Error } from "./error.ts";
import { createInterned } from "./interned.ts";
import { latin1 } from "./latin1.ts";

export interface RequestLine {
  readonly method: string;
  /** As received. */
  readonly target: string;
  /** `target` is the common form, `/path?query`: request-target.ts reads the others. */
  readonly originForm: boolean;
  /** Minor version: HTTP/1.0 or HTTP/1.1. */
  readonly version: 0 | 1;
}

const SPACE = 0x20;
const SLASH = 0x2f;

/** Methods by their text: one string for each. */
const methods = new Map(
  (
    "GET POST PUT DELETE HEAD OPTIONS PATCH CONNECT TRACE ACL BIND CHECKOUT COPY LINK LOCK M-SEARCH MERGE MKACTIVITY " +
    "MKCALENDAR MKCOL MOVE NOTIFY PROPFIND PROPPATCH PURGE QUERY REBIND REPORT SEARCH SOURCE SUBSCRIBE UNBIND UNLINK " +
    "UNLOCK UNSUBSCRIBE"
  )
    .split(" ")
    .map((method) => [method, method]),
);
const longestMethod = 16;
const version = Buffer.from(" HTTP/1.1");

const lines = createInterned<RequestLine>({ maxEntries: 2048, maxBytes: 256 * 1024, maxKeyBytes: 512 });

function readMethod(buffer: Buffer, from: number, to: number): string | undefined {
  // "GET " is most of what comes.
  if (buffer[from] === 0x47 && buffer[from + 1] === 0x45 && buffer[from + 2] === 0x54 && buffer[from + 3] === SPACE) {
    return "GET";
  }
  const until = Math.min(to, from + longestMethod);
  let position = from;
  while (position < until && buffer[position] !== SPACE) position++;
  return methods.get(latin1(buffer, from, position));
}

function parseLine(buffer: Buffer, from: number, to: number): RequestLine {
  const method = readMethod(buffer, from, to);
  const targetTo = to - version.length;
  const minor = (buffer[to - 1] as number) - 0x30;
  let good = minor === 0 || minor === 1;
  for (let index = 0; index < version.length - 1; index++) {
    if (buffer[targetTo + index] !== version[index]) good = false;
  }
  if (!good || method === undefined) throw explainLine(latin1(buffer, from, to));
  const targetFrom = from + method.length + 1;
  if (targetFrom >= targetTo) throw explainLine(latin1(buffer, from, to));
  for (let position = targetFrom; position < targetTo; position++) {
    const byte = buffer[position] as number;
    if (byte <= SPACE || byte > 0x7e) throw explainLine(latin1(buffer, from, to));
  }
  return {
    method,
    target: latin1(buffer, targetFrom, targetTo),
    originForm: buffer[targetFrom] === SLASH && method !== "CONNECT",
    version: minor as 0 | 1,
  };
}

/** Why a line is not accepted. */
function explainLine(line: string): Http1Error {
  if (line === "PRI * HTTP/2.0") return new Http1Error("http2-preface", "the peer speaks HTTP/2");
  const parts = line.split(" ");
  const [method = "", target = "", protocol = ""] = parts;
  if (parts.length !== 3 || method === "" || target === "") {
    return new Http1Error("bad-request-line", "not a method, a target and a version");
  }
  if (/^HTTP\/\d\.\d$/.test(protocol) && !/^HTTP\/1\.[01]$/.test(protocol)) {
    return new Http1Error("bad-version", "not HTTP/1.0 or HTTP/1.1");
  }
  if (/^[A-Z-]+$/.test(method) && !methods.has(method)) {
    return new Http1Error("unknown-method", "unknown method");
  }
  return new Http1Error("bad-request-line", "malformed request line");
}

/** Reads the line `buffer[from, to)`, its CRLF not counted, whose hash the line index has. Throws Http1Error. */
export function readRequestLine(buffer: Buffer, from: number, to: number, hash: number): RequestLine {
  const known = lines.find(buffer, from, to, hash);
  if (known !== undefined) return known;
  const line = parseLine(buffer, from, to);
  lines.offer(buffer, from, to, hash, line);
  return line;
}
