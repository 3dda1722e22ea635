/** Status lines (RFC 9112 4). Hot path: the reason phrase is checked and dropped. */
import { Http1Error } from "./error.ts";
import { latin1 } from "./latin1.ts";

export interface StatusLineReader {
  /** What the last successful `read` found. */
  readonly status: number;
  /** Minor version: HTTP/1.0 or HTTP/1.1. */
  readonly version: 0 | 1;
  /** The position behind the line's CRLF in `buffer[from, to)`, or -1 when it is not a good line: ask `explain` why. */
  read(buffer: Buffer, from: number, to: number): number;
}

const CR = 0x0d;
const LF = 0x0a;
const SPACE = 0x20;
const TAB = 0x09;
const ZERO = 0x30;
const protocol = Buffer.from("HTTP/1.");

/** The value of three digits at `position`; NaN or out of range when they are none. */
function readStatus(buffer: Buffer, position: number): number {
  let status = 0;
  for (let index = 0; index < 3; index++) {
    const digit = (buffer[position + index] as number) - ZERO;
    if (!(digit >= 0 && digit <= 9)) return -1;
    status = status * 10 + digit;
  }
  return status;
}

export function createStatusLineReader(): StatusLineReader {
  const reader = {
    status: 0,
    version: 1 as 0 | 1,
    read(buffer: Buffer, from: number, to: number): number {
      for (let index = 0; index < protocol.length; index++) {
        if (buffer[from + index] !== protocol[index]) return -1;
      }
      const minor = (buffer[from + 7] as number) - ZERO;
      const status = readStatus(buffer, from + 9);
      if ((minor !== 0 && minor !== 1) || buffer[from + 8] !== SPACE || status < 100) return -1;
      let position = from + 12;
      // Servers exist that leave out the space before an empty reason.
      if (buffer[position] !== SPACE && buffer[position] !== CR) return -1;
      for (; position < to; position++) {
        const byte = buffer[position] as number;
        if ((byte < SPACE && byte !== TAB) || byte === 0x7f) break;
      }
      if (position + 2 > to || buffer[position] !== CR || buffer[position + 1] !== LF) return -1;
      reader.status = status;
      reader.version = minor;
      return position + 2;
    },
  };
  return reader;
}

/** Why the line at the start of `buffer[from, to)` is not accepted. */
export function explainStatusLine(buffer: Buffer, from: number, to: number): Http1Error {
  const head = latin1(buffer, from, Math.min(to, from + 64));
  if (/^HTTP\/\d\.\d /.test(head) && !/^HTTP\/1\.[01] /.test(head)) {
    return new Http1Error("bad-version", "not HTTP/1.0 or HTTP/1.1");
  }
  return new Http1Error("bad-status-line", "not a version, a status and a reason");
}
