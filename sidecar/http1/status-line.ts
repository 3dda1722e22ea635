/** Status lines (RFC 9112 4); the reason phrase is checked and dropped. Hot path: lines that repeat are interned. */
import { Http1Error } from "./error.ts";
import { createInterned } from "./interned.ts";
import { latin1 } from "./latin1.ts";

export interface StatusLine {
  readonly status: number;
  /** Minor version: HTTP/1.0 or HTTP/1.1. */
  readonly version: 0 | 1;
}

const lines = createInterned<StatusLine>({ maxEntries: 256, maxBytes: 16 * 1024, maxKeyBytes: 128 });

// Servers exist that leave out the space before an empty reason.
const syntax = /^HTTP\/1\.([01]) ([1-9][0-9]{2})(?: [\t -~\x80-\xff]*)?$/;

function parseLine(line: string): StatusLine {
  const [, minor, status] = syntax.exec(line) ?? [];
  if (minor !== undefined) return { status: Number(status), version: minor === "1" ? 1 : 0 };
  if (/^HTTP\/\d\.\d /.test(line) && !/^HTTP\/1\.[01] /.test(line)) {
    throw new Http1Error("bad-version", "not HTTP/1.0 or HTTP/1.1");
  }
  throw new Http1Error("bad-status-line", "not a version, a status and a reason");
}

/** Reads the line `buffer[from, to)`, its CRLF not counted, whose hash the line index has. Throws Http1Error. */
export function readStatusLine(buffer: Buffer, from: number, to: number, hash: number): StatusLine {
  const known = lines.find(buffer, from, to, hash);
  if (known !== undefined) return known;
  const line = parseLine(latin1(buffer, from, to));
  lines.offer(buffer, from, to, hash, line);
  return line;
}
