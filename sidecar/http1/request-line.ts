/**
 * Request lines (RFC 9112 3) and the forms of their targets. Stricter than the RFC: methods are those Node's own parser
 * knows, single spaces, visible ASCII. Paths are not normalised here.
 */
import { Http1Error } from "./error.ts";
import { latin1 } from "./latin1.ts";

export interface RequestLineReader {
  /** What the last successful `read` found. */
  readonly method: string;
  readonly target: string;
  /** Minor version: HTTP/1.0 or HTTP/1.1. */
  readonly version: 0 | 1;
  /** The position behind the line's CRLF in `buffer[from, to)`, or -1 when it is not a good line: ask `explain` why. */
  read(buffer: Buffer, from: number, to: number): number;
}

const SPACE = 0x20;

/** Methods by their text. A Map hands out one string for each, whose comparisons are by identity. */
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

const version = Buffer.from(" HTTP/1.1\r\n");

export function createRequestLineReader(): RequestLineReader {
  function readMethod(buffer: Buffer, from: number, to: number): number {
    // "GET " is most of what comes.
    if (buffer[from] === 0x47 && buffer[from + 1] === 0x45 && buffer[from + 2] === 0x54 && buffer[from + 3] === SPACE) {
      reader.method = "GET";
      return from + 3;
    }
    const until = Math.min(to, from + longestMethod);
    let position = from;
    while (position < until && buffer[position] !== SPACE) position++;
    const method = methods.get(latin1(buffer, from, position));
    if (method === undefined) return -1;
    reader.method = method;
    return position;
  }

  const reader = {
    method: "",
    target: "",
    version: 1 as 0 | 1,
    read(buffer: Buffer, from: number, to: number): number {
      let position = readMethod(buffer, from, to);
      if (position === -1) return -1;
      const targetFrom = ++position;
      for (; position < to; position++) {
        const byte = buffer[position] as number;
        if (byte <= SPACE || byte > 0x7e) break;
      }
      const targetTo = position;
      const end = targetTo + version.length;
      if (targetTo === targetFrom || end > to) return -1;
      const minor = (buffer[targetTo + 8] as number) - 0x30;
      if (minor !== 0 && minor !== 1) return -1;
      for (let index = 0; index < version.length; index++) {
        if (buffer[targetTo + index] !== version[index] && index !== 8) return -1;
      }
      reader.version = minor;
      reader.target = latin1(buffer, targetFrom, targetTo);
      return end;
    },
  };
  return reader;
}

/** Why the line at the start of `buffer[from, to)` is not accepted. */
export function explainRequestLine(buffer: Buffer, from: number, to: number): Http1Error {
  const head = latin1(buffer, from, to);
  const line = head.slice(0, head.indexOf("\r\n"));
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
