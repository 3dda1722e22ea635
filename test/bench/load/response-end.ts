/** Just enough HTTP/1.1 to know where the answer of an open loop's request ends. */
import { BenchError } from "../errors.ts";

const blankLine = Buffer.from("\r\n\r\n");

/**
 * Bytes of the response that `bytes` begins with; undefined while its head is not whole. Throws BenchError `bad-response` for
 * anything but a 200 with a content-length.
 */
export function responseLength(bytes: Buffer): number | undefined {
  const end = bytes.indexOf(blankLine);
  if (end < 0) return undefined;
  const head = bytes.toString("latin1", 0, end + 2);
  const length = /\r\ncontent-length: *(\d+)\r\n/i.exec(head)?.[1];
  if (!head.startsWith("HTTP/1.1 200 ") || length === undefined) throw new BenchError("bad-response", head.slice(0, 300).trim());
  return end + blankLine.length + Number(length);
}
