/** What the writers write is what the parsers read, however it is cut. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createField, FieldKind, type Field } from "../../../common/http/field.ts";
import {
  CHUNKED_BODY,
  NO_FRAMING,
  writeChunkHead,
  writeLastChunk,
  writeRequestHead,
  writeResponseHead,
} from "../../../sidecar/http1/write-head.ts";
import { bytes, recordRequests, recordResponses, type Heard, type Lines } from "./recording.ts";

const token = fc.stringMatching(/^[!#$%&'*+.^_`|~0-9a-z-]{1,24}$/);
const value = fc.stringMatching(/^[\t -~\x80-\xff]{0,80}$/).map((text) => text.replace(/^[\t ]+|[\t ]+$/g, ""));
const special = FieldKind.HOP_BY_HOP | FieldKind.CONTENT_LENGTH | FieldKind.HOST | FieldKind.EXPECT | FieldKind.AUTHORIZATION;
const fields = fc
  .array(fc.tuple(fc.oneof(token, fc.constantFrom("accept", "cookie", "constructor", "x-amz-date")), value), { maxLength: 20 })
  .map((pairs) => pairs.map(([name, text]) => createField(name, text)).filter(({ kinds }) => (kinds & special) === 0));
const trailers = fc
  .array(fc.tuple(fc.constantFrom("x-sum", "x-a", "x-b", "etag"), value), { maxLength: 3 })
  .map((pairs) => pairs.map(([name, text]) => createField(name, text)));
const body = fc.uint8Array({ maxLength: 300 }).map((content) => Buffer.from(content));
const target = fc.stringMatching(/^\/[!-~]{0,60}$/);
const authority = fc.constantFrom("a", "shop.internal", "shop.internal:8080", "[::1]:80", "A_b-c.d");
const method = fc.constantFrom("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "M-SEARCH");

const lines = (list: readonly Field[]): Lines => list.map((field) => [field.name, field.value] as const);

/** Cuts of `length` bytes, by fractions. */
function cut(whole: Buffer, at: readonly number[]): Buffer[] {
  const positions = [0, ...at.map((fraction) => Math.floor(fraction * whole.length)), whole.length].sort((a, b) => a - b);
  return positions.slice(1).map((end, index) => whole.subarray(positions[index], end));
}
const cutsAt = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 6 });

interface Written {
  readonly text: string;
  readonly framing: Lines;
  readonly contentLength: number;
  readonly heard: readonly Heard[];
}

function writeBody(content: Buffer, chunkLength: number, behind: readonly Field[]): Written {
  const text = content.toString("latin1");
  const heard: Heard[] = text === "" ? [] : [{ body: text }];
  if (chunkLength === 0) {
    const framing: Lines = [["content-length", String(content.length)]];
    return { text, framing, contentLength: content.length, heard: [...heard, { end: [] }] };
  }
  let chunks = "";
  for (let from = 0; from < text.length; from += chunkLength) {
    const chunk = text.slice(from, from + chunkLength);
    chunks += `${writeChunkHead(chunk.length)}${chunk}\r\n`;
  }
  return {
    text: chunks + writeLastChunk(behind),
    framing: [["transfer-encoding", "chunked"]],
    contentLength: -1,
    heard: [...heard, { end: lines(behind) }],
  };
}

describe("round trip", () => {
  test("requests, several on one connection", () => {
    const one = fc.tuple(method, target, authority, fields, body, fc.nat(40), trailers);
    fc.assert(
      fc.property(fc.array(one, { minLength: 1, maxLength: 4 }), cutsAt, (requests, at) => {
        let text = "";
        const expected: Heard[] = [];
        for (const [verb, path, host, list, content, chunkLength, behind] of requests) {
          const written = writeBody(content, chunkLength, behind);
          text += writeRequestHead(verb, path, host, list, chunkLength === 0 ? content.length : CHUNKED_BODY);
          text += written.text;
          expected.push({
            request: `${verb} ${path} 1`,
            authority: host,
            scheme: "",
            fields: [...lines(list), ...written.framing],
            contentLength: written.contentLength,
            flags: "keep",
          });
          expected.push(...written.heard);
        }
        expect(recordRequests(cut(bytes(text), at))).toEqual(expected);
      }),
    );
  });

  test("responses, interim ones before them", () => {
    const status = fc.integer({ min: 200, max: 999 }).filter((code) => code !== 204 && code !== 304);
    const interim = fc.constantFrom(100, 102, 103);
    fc.assert(
      fc.property(interim, status, fields, body, fc.nat(40), trailers, cutsAt, (first, code, list, content, chunkLength, behind, at) => {
        const written = writeBody(content, chunkLength, behind);
        const text =
          writeResponseHead(first, list, NO_FRAMING) +
          writeResponseHead(code, list, chunkLength === 0 ? content.length : CHUNKED_BODY) +
          written.text;
        expect(recordResponses(cut(bytes(text), at))).toEqual([
          { status: first, fields: lines(list), contentLength: 0, flags: "1 keep" },
          {
            status: code,
            fields: [...lines(list), ...written.framing],
            contentLength: written.contentLength,
            flags: "1 keep",
          },
          ...written.heard,
        ]);
      }),
    );
  });

  test("any bytes, cut anywhere, mean the same to fresh and to used parsers", () => {
    const soup = fc
      .array(
        fc.constantFrom(
          "GET / HTTP/1.1\r\n",
          "POST / HTTP/1.0\r\n",
          "Host: a\r\n",
          "Content-Length: 3\r\n",
          "Transfer-Encoding: chunked\r\n",
          "X:\ty\r\n",
          "\r\n",
          "abc",
          "3\r\n",
          "0\r\n",
          "\n",
          "\r",
          " ",
          "\0",
          "\x7f",
        ),
        { maxLength: 12 },
      )
      .map((parts) => bytes(parts.join("")));
    fc.assert(
      fc.property(soup, cutsAt, (whole, at) => {
        expect(recordRequests(cut(whole, at))).toEqual(recordRequests([whole]));
      }),
      { numRuns: 1000 },
    );
  });
});
