/** Responses that are accepted, with what they mean, and responses that are refused, with the code. */
import type { Http1ErrorCode } from "../../../sidecar/http1/error.ts";
import type { Heard, Lines, ResponseOptions } from "./recording.ts";

export interface GoodResponse {
  readonly name: string;
  readonly text: string;
  readonly heard: readonly Heard[];
  readonly options?: ResponseOptions;
}

function response(status: number, fields: Lines = [], contentLength = 0, flags = "1 keep"): Heard {
  return { status, fields, contentLength, flags };
}

const end: Heard = { end: [] };
const five: Lines = [["content-length", "5"]];
const inChunks: Lines = [["transfer-encoding", "chunked"]];

export const goodResponses: readonly GoodResponse[] = [
  {
    name: "content-length",
    text: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    heard: [response(200, five, 5), { body: "hello" }, end],
  },
  {
    name: "no reason, with and without the space",
    text: "HTTP/1.1 103 \r\n\r\nHTTP/1.1 103\r\n\r\nHTTP/1.1 404 \r\nContent-Length: 0\r\n\r\n",
    heard: [response(103), response(103), response(404, [["content-length", "0"]]), end],
  },
  {
    name: "any reason",
    text: "HTTP/1.1 599 \t It's ~caf\xe9~\r\nContent-Length: 0\r\n\r\n",
    heard: [response(599, [["content-length", "0"]]), end],
  },
  {
    name: "a host, which means nothing here",
    text: "HTTP/1.1 200 OK\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    heard: [response(200, [["content-length", "0"]]), end],
  },
  {
    name: "chunks and trailers",
    text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n",
    heard: [response(200, inChunks, -1), { body: "hello" }, { end: [["x-sum", "1"]] }],
  },
  {
    name: "a body that the close ends",
    text: "HTTP/1.1 200 OK\r\n\r\nhello\r\n\r\n",
    heard: [response(200, [], -1, "1 close"), { body: "hello\r\n\r\n" }, end],
  },
  {
    name: "an empty body that the close ends",
    text: "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n",
    heard: [response(200, [["connection", "keep-alive"]], -1, "0 close"), end],
  },
  {
    name: "HTTP/1.0",
    text: "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    heard: [response(200, five, 5, "0 close"), { body: "hello" }, end],
  },
  {
    name: "HTTP/1.0 that stays open",
    text: "HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\nhello",
    heard: [response(200, [...five, ["connection", "keep-alive"]], 5, "0 keep"), { body: "hello" }, end],
  },
  {
    name: "connection: close",
    text: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
    heard: [response(200, [...five, ["connection", "close"]], 5, "1 close"), { body: "hello" }, end],
  },
  {
    name: "100, 103, then the response",
    text: "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    heard: [response(100), response(103, [["link", "</a>"]]), response(200, five, 5), { body: "hello" }, end],
  },
  {
    name: "HEAD with a length",
    text: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
    heard: [response(200, five), end],
    options: { method: "HEAD" },
  },
  {
    name: "HEAD with chunks",
    text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    heard: [response(200, inChunks), end],
    options: { method: "HEAD" },
  },
  { name: "204", text: "HTTP/1.1 204 No Content\r\n\r\n", heard: [response(204), end] },
  {
    name: "204 that says 0",
    text: "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
    heard: [response(204, [["content-length", "0"]]), end],
  },
  {
    name: "304 with the length of what is not sent",
    text: "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    heard: [response(304, five), end],
  },
  {
    name: "a refused upgrade",
    text: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    heard: [response(200, five, 5), { body: "hello" }, end],
    options: { upgrade: true },
  },
  {
    name: "a refused CONNECT",
    text: "HTTP/1.1 407 No\r\nContent-Length: 5\r\n\r\nhello",
    heard: [response(407, five, 5), { body: "hello" }, end],
    options: { method: "CONNECT" },
  },
];

export interface BadResponse {
  readonly name: string;
  readonly text: string;
  readonly code: Http1ErrorCode;
  readonly options?: ResponseOptions;
}

function bad(code: Http1ErrorCode, name: string, text: string, options: ResponseOptions = {}): BadResponse {
  return { name, text, code, options };
}

const ok = (added: string): string => `HTTP/1.1 200 OK\r\n${added}\r\n\r\n`;

export const badResponses: readonly BadResponse[] = [
  bad("bad-status-line", "no status", "HTTP/1.1\r\n\r\n"),
  bad("bad-status-line", "a status of two digits", "HTTP/1.1 20 OK\r\n\r\n"),
  bad("bad-status-line", "a status of four digits", "HTTP/1.1 2000 OK\r\n\r\n"),
  bad("bad-status-line", "a status under 100", "HTTP/1.1 099 OK\r\n\r\n"),
  bad("bad-status-line", "two spaces", "HTTP/1.1  200 OK\r\n\r\n"),
  bad("bad-status-line", "an empty line before it", "\r\nHTTP/1.1 200 OK\r\n\r\n"),
  bad("bad-status-line", "DEL in the reason", "HTTP/1.1 200 O\x7fK\r\n\r\n"),
  bad("bad-header", "NUL in the reason", "HTTP/1.1 200 O\0K\r\n\r\n"),
  bad("bad-line-end", "bare LF", "HTTP/1.1 200 OK\nContent-Length: 0\n\n"),
  bad("bad-status-line", "a request", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
  bad("bad-version", "HTTP/2.0", "HTTP/2.0 200 OK\r\n\r\n"),
  bad("bad-version", "HTTP/1.2", "HTTP/1.2 200 OK\r\n\r\n"),
  bad("bad-status-line", "1xx in HTTP/1.0", "HTTP/1.0 100 Continue\r\n\r\n"),
  bad("bad-connection", "1xx that closes", `HTTP/1.1 100 C\r\nConnection: close\r\n\r\n${ok("Content-Length: 0")}`),
  bad("obs-fold", "a folded value", ok("X: a\r\n b")),
  bad("bad-header", "a space before the colon", ok("Content-Length : 0")),
  bad("conflicting-length", "both framings", ok("Content-Length: 3\r\nTransfer-Encoding: chunked")),
  bad("duplicate-content-length", "two lengths", ok("Content-Length: 3\r\nContent-Length: 3")),
  bad("bad-content-length", "a list of lengths", ok("Content-Length: 3, 3")),
  bad("bad-content-length", "a signed length", ok("Content-Length: +3")),
  bad("bad-content-length", "a bad length to HEAD", ok("Content-Length: x"), { method: "HEAD" }),
  bad("bad-transfer-encoding", "another coding", ok("Transfer-Encoding: gzip, chunked")),
  bad("bad-transfer-encoding", "in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
  bad("conflicting-length", "204 with a body", "HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\nabc"),
  bad("conflicting-length", "204 with chunks", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
  bad("conflicting-length", "100 with a body", "HTTP/1.1 100 Continue\r\nContent-Length: 3\r\n\r\nabc"),
  bad("conflicting-length", "101 with chunks", "HTTP/1.1 101 S\r\nTransfer-Encoding: chunked\r\n\r\n", { upgrade: true }),
  bad("conflicting-length", "a tunnel with a length", ok("Content-Length: 3"), { method: "CONNECT" }),
  bad("unexpected-switch", "101 that nobody asked for", "HTTP/1.1 101 Switching Protocols\r\n\r\n"),
  bad("unexpected-switch", "101 that does not say to what", "HTTP/1.1 101 S\r\nUpgrade: x\r\n\r\n", { upgrade: true }),
  bad("too-many-headers", "101 headers", ok("x: y\r\n".repeat(101).slice(0, -2))),
  bad("unexpected-bytes", "bytes behind a length", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab"),
  bad("unexpected-bytes", "a second response", `${ok("Content-Length: 0")}${ok("Content-Length: 0")}`),
  bad("unexpected-bytes", "bytes behind chunks", `${ok("Transfer-Encoding: chunked")}0\r\n\r\n\r\n`),
  bad("unexpected-bytes", "a body to HEAD", `${ok("Content-Length: 3")}abc`, { method: "HEAD" }),
  bad("unexpected-bytes", "a body of 304", "HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\nabc"),
  bad("bad-trailer", "content-length as a trailer", `${ok("Transfer-Encoding: chunked")}0\r\nContent-Length: 1\r\n\r\n`),
  bad("no-response", "nothing", ""),
  bad("truncated", "half a status line", "HTTP/1.1 2"),
  bad("truncated", "100 and no more", "HTTP/1.1 100 Continue\r\n\r\n"),
  bad("truncated", "less than content-length", `${ok("Content-Length: 3")}ab`),
  bad("truncated", "chunks without the last one", `${ok("Transfer-Encoding: chunked")}1\r\na\r\n`),
];
