/** Requests that are accepted, with what they mean, and requests that are refused, with the code. */
import type { Http1ErrorCode } from "../../../sidecar/http1/error.ts";
import type { Heard } from "./recording.ts";

export interface GoodRequest {
  readonly name: string;
  readonly text: string;
  readonly heard: readonly Heard[];
}

interface Expected {
  readonly authority?: string;
  readonly scheme?: string;
  readonly fields?: [string, string][];
  readonly contentLength?: number;
  readonly flags?: string;
}

function request(line: string, expected: Expected = {}): Heard {
  return {
    request: line,
    authority: expected.authority ?? "a",
    scheme: expected.scheme ?? "",
    fields: expected.fields ?? [],
    contentLength: expected.contentLength ?? 0,
    flags: expected.flags ?? "keep",
  };
}

const end: Heard = { end: [] };

export const goodRequests: readonly GoodRequest[] = [
  {
    name: "the least there is",
    text: "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    heard: [request("GET / 1"), end],
  },
  {
    name: "names in any case, values as they are but for edge white space",
    text: "GET /a/b?c=%20&d HTTP/1.1\r\nHOST:\ta \r\nAccept:*/*\r\nX-Empty:\r\nX-Two:  a \t b\t\r\naccept: x\r\n\r\n",
    heard: [
      request("GET /a/b?c=%20&d 1", {
        fields: [
          ["accept", "*/*"],
          ["x-empty", ""],
          ["x-two", "a \t b"],
          ["accept", "x"],
        ],
      }),
      end,
    ],
  },
  {
    name: "bytes over 0x7F in a value",
    text: "GET / HTTP/1.1\r\nHost: a\r\nX-Name: caf\xe9 \xff\x80\r\n\r\n",
    heard: [request("GET / 1", { fields: [["x-name", "caf\xe9 \xff\x80"]] }), end],
  },
  {
    name: "names that are methods of every JavaScript object",
    text: "GET / HTTP/1.1\r\nHost: a\r\nconstructor: x\r\n__proto__: y\r\n\r\n",
    heard: [
      request("GET / 1", {
        fields: [
          ["constructor", "x"],
          ["__proto__", "y"],
        ],
      }),
      end,
    ],
  },
  {
    name: "an empty line before the request line",
    text: "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    heard: [request("GET / 1"), end],
  },
  {
    name: "content-length",
    text: "POST /x HTTP/1.1\r\nHost: a:80\r\nContent-Length: 5\r\n\r\nhe\0\r\n",
    heard: [request("POST /x 1", { authority: "a:80", fields: [["content-length", "5"]], contentLength: 5 }), { body: "he\0\r\n" }, end],
  },
  {
    name: "content-length 0",
    text: "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    heard: [request("POST /x 1", { fields: [["content-length", "0"]] }), end],
  },
  {
    name: "chunks",
    text: "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n00A\r\n0123456789\r\n0\r\n\r\n",
    heard: [request("POST /x 1", { fields: [["transfer-encoding", "Chunked"]], contentLength: -1 }), { body: "hello0123456789" }, end],
  },
  {
    name: "chunks with extensions and trailers",
    text:
      "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n" +
      '3;a\r\nabc\r\n2;b=c;d="e f"\r\nde\r\n0;last\r\nX-Sum: 1\r\nx-other:\r\n\r\n',
    heard: [
      request("POST /x 1", {
        fields: [
          ["transfer-encoding", "chunked"],
          ["trailer", "x-sum"],
        ],
        contentLength: -1,
      }),
      { body: "abcde" },
      {
        end: [
          ["x-sum", "1"],
          ["x-other", ""],
        ],
      },
    ],
  },
  {
    name: "no chunk but the last",
    text: "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    heard: [request("POST /x 1", { fields: [["transfer-encoding", "chunked"]], contentLength: -1 }), end],
  },
  {
    name: "four requests at once",
    text:
      "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: b\r\nContent-Length: 3\r\n\r\nabc" +
      "PUT /3 HTTP/1.1\r\nHost: c\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n\r\nGET /4 HTTP/1.1\r\nHost: d\r\n\r\n",
    heard: [
      request("GET /1 1"),
      end,
      request("POST /2 1", { authority: "b", fields: [["content-length", "3"]], contentLength: 3 }),
      { body: "abc" },
      end,
      request("PUT /3 1", { authority: "c", fields: [["transfer-encoding", "chunked"]], contentLength: -1 }),
      { body: "x" },
      end,
      request("GET /4 1", { authority: "d" }),
      end,
    ],
  },
  {
    name: "HTTP/1.0 without host",
    text: "GET / HTTP/1.0\r\n\r\n",
    heard: [request("GET / 0", { authority: "", flags: "close" }), end],
  },
  {
    name: "HTTP/1.0 that stays open",
    text: "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\nHost: a\r\n\r\n",
    heard: [request("GET / 0", { fields: [["connection", "Keep-Alive"]] }), end],
  },
  {
    name: "connection: close",
    text: "GET / HTTP/1.1\r\nHost: a\r\nConnection: te, Close\r\nTE: trailers\r\n\r\n",
    heard: [
      request("GET / 1", {
        flags: "close",
        fields: [
          ["connection", "te, Close"],
          ["te", "trailers"],
        ],
      }),
      end,
    ],
  },
  {
    name: "proxy-connection: close",
    text: "GET / HTTP/1.1\r\nHost: a\r\nProxy-Connection: upgrade, close\r\nUpgrade: x\r\n\r\n",
    heard: [
      request("GET / 1", {
        flags: "close",
        fields: [
          ["proxy-connection", "upgrade, close"],
          ["upgrade", "x"],
        ],
      }),
      end,
    ],
  },
  {
    name: "connection in two lines",
    text: "GET / HTTP/1.1\r\nHost: a\r\nConnection: x-a\r\nX-A: 1\r\nConnection: close\r\n\r\n",
    heard: [
      request("GET / 1", {
        flags: "close",
        fields: [
          ["connection", "x-a"],
          ["x-a", "1"],
          ["connection", "close"],
        ],
      }),
      end,
    ],
  },
  {
    name: "expect: 100-continue",
    text: "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\nx",
    heard: [
      request("POST / 1", {
        flags: "keep continue",
        fields: [
          ["expect", "100-Continue"],
          ["content-length", "1"],
        ],
        contentLength: 1,
      }),
      { body: "x" },
      end,
    ],
  },
  {
    name: "expect: 100-continue without a body",
    text: "GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n",
    heard: [request("GET / 1", { fields: [["expect", "100-continue"]] }), end],
  },
  {
    name: "an upgrade",
    text: "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n",
    heard: [
      request("GET /ws 1", {
        flags: "keep upgrade=websocket",
        fields: [
          ["connection", "keep-alive, Upgrade"],
          ["upgrade", "websocket"],
        ],
      }),
      end,
    ],
  },
  {
    name: "upgrade that connection does not announce",
    text: "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n",
    heard: [request("GET /ws 1", { fields: [["upgrade", "websocket"]] }), end],
  },
  {
    name: "absolute form",
    text: "GET http://Shop.internal:80/a?b HTTP/1.1\r\nHost: shop.internal:80\r\n\r\n",
    heard: [request("GET /a?b 1", { authority: "shop.internal:80", scheme: "http" }), end],
  },
  {
    name: "absolute form without a path",
    text: "GET HTTPS://a?b HTTP/1.1\r\nHost: a\r\n\r\nGET http://[::1]:8 HTTP/1.1\r\nHost: [::1]:8\r\n\r\n",
    heard: [request("GET /?b 1", { scheme: "https" }), end, request("GET / 1", { authority: "[::1]:8", scheme: "http" }), end],
  },
  {
    name: "absolute form of HTTP/1.0, whose authority is the only one",
    text: "GET http://a/ HTTP/1.0\r\n\r\n",
    heard: [request("GET / 0", { scheme: "http", flags: "close" }), end],
  },
  {
    name: "asterisk form, also through a proxy",
    text: "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\nOPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n",
    heard: [request("OPTIONS * 1"), end, request("OPTIONS * 1", { scheme: "http" }), end],
  },
  {
    name: "CONNECT",
    text: "CONNECT Db.internal:5432 HTTP/1.1\r\nHost: db.internal:5432\r\n\r\n",
    heard: [request("CONNECT Db.internal:5432 1", { authority: "db.internal:5432" }), end],
  },
  {
    name: "CONNECT whose host leaves the port out",
    text: "CONNECT db:5432 HTTP/1.1\r\nHost: db\r\n\r\n",
    heard: [request("CONNECT db:5432 1", { authority: "db" }), end],
  },
];

export interface BadRequest {
  readonly name: string;
  readonly text: string;
  readonly code: Http1ErrorCode;
  readonly status: number;
}

function bad(code: Http1ErrorCode, name: string, text: string, status = 400): BadRequest {
  return { name, text, code, status };
}

/** A request that is good but for what is added to its head. */
const withLines = (added: string): string => `POST / HTTP/1.1\r\nHost: a\r\n${added}\r\n\r\n`;
const withLength = (value: string): string => withLines(`Content-Length:${value}`);
const withCoding = (value: string): string => `${withLines(`Transfer-Encoding:${value}`)}0\r\n\r\n`;
const withChunks = (chunks: string): string => withLines("Transfer-Encoding: chunked") + chunks;
const withTarget = (target: string): string => `GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`;

export const badRequests: readonly BadRequest[] = [
  // Request line
  bad("http2-preface", "the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
  bad("bad-version", "HTTP/2.0", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
  bad("bad-version", "HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505),
  bad("bad-version", "HTTP/0.9", "GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505),
  bad("bad-request-line", "no version", "GET /\r\nHost: a\r\n\r\n"),
  bad("bad-request-line", "lower-case version", "GET / http/1.1\r\nHost: a\r\n\r\n"),
  bad("bad-request-line", "a version of two digits", "GET / HTTP/1.10\r\nHost: a\r\n\r\n"),
  bad("bad-request-line", "two spaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
  bad("bad-request-line", "two spaces before the version", "GET /  HTTP/1.1\r\nHost: a\r\n\r\n"),
  bad("bad-request-line", "a space at the end", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n"),
  bad("bad-request-line", "a space at the start", " GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
  bad("bad-request-line", "a tab for a space", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"),
  bad("bad-request-line", "a space in the target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"),
  bad("bad-request-line", "a byte over 0x7E in the target", "GET /\xe9 HTTP/1.1\r\nHost: a\r\n\r\n"),
  bad("bad-request-line", "DEL in the target", "GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n"),
  bad("bad-header", "NUL in the target", "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n"),
  bad("bad-request-line", "two empty lines before it", "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
  bad("bad-request-line", "a lower-case method", "get / HTTP/1.1\r\nHost: a\r\n\r\n"),
  bad("bad-request-line", "no method", "/ HTTP/1.1\r\nHost: a\r\n\r\n"),
  bad("unknown-method", "a method Node does not know", "BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
  bad("bad-header", "a TLS hello", "\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\r\n\r\n"),
  // Targets
  bad("bad-target", "a path without a slash", withTarget("a")),
  bad("bad-target", "asterisk form of GET", withTarget("*")),
  bad("bad-target", "authority form of GET", withTarget("a:80")),
  bad("bad-target", "another scheme", withTarget("ftp://a/")),
  bad("bad-target", "user information", withTarget("http://u@a/")),
  bad("bad-target", "an absolute form without a host", withTarget("http:///a")),
  bad("bad-target", "a fragment after the host", withTarget("http://a#b")),
  bad("host-mismatch", "absolute form of another host", withTarget("http://b/")),
  bad("host-mismatch", "absolute form of another port", withTarget("http://a:80/")),
  bad("bad-target", "CONNECT to a path", "CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n"),
  bad("bad-target", "CONNECT without a port", "CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n"),
  bad("host-mismatch", "CONNECT to another host", "CONNECT b:1 HTTP/1.1\r\nHost: a:1\r\n\r\n"),
  bad("host-mismatch", "CONNECT to another port", "CONNECT a:2 HTTP/1.1\r\nHost: a:1\r\n\r\n"),
  bad("conflicting-length", "CONNECT with a body", "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 1\r\n\r\nx"),
  bad("conflicting-length", "CONNECT with chunks", "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nTransfer-Encoding: chunked\r\n\r\n"),
  // Host
  bad("missing-host", "no host", "GET / HTTP/1.1\r\n\r\n"),
  bad("missing-host", "no host in absolute form", "GET http://a/ HTTP/1.1\r\nAccept: x\r\n\r\n"),
  bad("duplicate-host", "two hosts", withLines("Host: b")),
  bad("duplicate-host", "two equal hosts", withLines("hOST: a")),
  bad("bad-host", "an empty host", "GET / HTTP/1.1\r\nHost: \r\n\r\n"),
  bad("bad-host", "an empty host and a good one", withLines("Host:")),
  bad("bad-host", "a list of hosts", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"),
  bad("bad-host", "a host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
  bad("bad-host", "a host with a user", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"),
  bad("bad-host", "a port without digits", "GET / HTTP/1.1\r\nHost: a:\r\n\r\n"),
  bad("bad-host", "a host with an escape", "GET / HTTP/1.1\r\nHost: a%2fb\r\n\r\n"),
  // Lines
  bad("bad-line-end", "bare LF", "GET / HTTP/1.1\nHost: a\n\n"),
  bad("bad-line-end", "bare LF after a header", "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n"),
  bad("bad-line-end", "bare LF at the end of the head", "GET / HTTP/1.1\r\nHost: a\r\n\nX"),
  bad("bad-line-end", "bare CR", "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n"),
  bad("bad-line-end", "CR CR LF", "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n"),
  bad("obs-fold", "a folded value", withLines("X: a\r\n b")),
  bad("obs-fold", "a value folded with a tab", withLines("X: a\r\n\tb")),
  bad("obs-fold", "white space before the first header", "GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
  bad("bad-header", "a space before the colon", withLines("X : a")),
  bad("bad-header", "a tab before the colon", withLines("X\t: a")),
  bad("bad-header", "a space before the colon of content-length", withLines("Content-Length : 1")),
  bad("bad-header", "no colon", withLines("X")),
  bad("bad-header", "no name", withLines(": a")),
  bad("bad-header", "NUL in a value", withLines("X: a\0b")),
  bad("bad-header", "NUL in a name", withLines("X\0: a")),
  bad("bad-header", "DEL in a value", withLines("X: a\x7fb")),
  bad("bad-header", "ESC in a value", withLines("X: a\x1bb")),
  bad("bad-header", "vertical tab around a value", withLines("Transfer-Encoding:\x0bchunked")),
  bad("bad-header", "a byte over 0x7E in a name", withLines("X\xe9: a")),
  bad("bad-header", "a delimiter in a name", withLines("X(y): a")),
  // Framing
  bad("conflicting-length", "both framings", withLines("Content-Length: 3\r\nTransfer-Encoding: chunked")),
  bad("conflicting-length", "both framings, in the other order", withLines("Transfer-Encoding: chunked\r\nContent-Length: 3")),
  bad("duplicate-content-length", "two lengths", withLines("Content-Length: 3\r\nContent-Length: 4")),
  bad("duplicate-content-length", "the same length twice", withLines("Content-Length: 3\r\nContent-Length: 3")),
  bad("bad-content-length", "a list of lengths", withLength("3, 3")),
  bad("bad-content-length", "a signed length", withLength("+3")),
  bad("bad-content-length", "a negative length", withLength("-1")),
  bad("bad-content-length", "an empty length", withLength("")),
  bad("bad-content-length", "a hexadecimal length", withLength("0x3")),
  bad("bad-content-length", "a fraction", withLength("3.0")),
  bad("bad-content-length", "a space inside", withLength("3 3")),
  bad("bad-content-length", "leading zeros", withLength("003")),
  bad("bad-content-length", "2^64 + 3", withLength("18446744073709551619")),
  bad("bad-content-length", "other digits", withLength("\xb2")),
  bad("bad-transfer-encoding", "another coding before chunked", withCoding("gzip, chunked")),
  bad("bad-transfer-encoding", "another coding after chunked", withCoding("chunked, gzip")),
  bad("bad-transfer-encoding", "an empty coding before chunked", withCoding(", chunked")),
  bad("bad-transfer-encoding", "an empty coding after chunked", withCoding("chunked,")),
  bad("bad-transfer-encoding", "chunked twice", withCoding("chunked, chunked")),
  bad("bad-transfer-encoding", "two lines", withCoding("chunked\r\nTransfer-Encoding: chunked")),
  bad("bad-transfer-encoding", "two lines of which one hides", withCoding("identity\r\nTransfer-Encoding: chunked")),
  bad("bad-transfer-encoding", "identity", withCoding("identity")),
  bad("bad-transfer-encoding", "quoted", withCoding('"chunked"')),
  bad("bad-transfer-encoding", "a parameter", withCoding("chunked;q=1")),
  bad("bad-transfer-encoding", "an empty one", withCoding("")),
  bad("bad-transfer-encoding", "a prefix of chunked", withCoding("chunke")),
  bad("bad-transfer-encoding", "in HTTP/1.0", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
  bad("bad-expectation", "an unknown expectation", withLines("Expect: 200-ok"), 417),
  bad("bad-expectation", "an empty expectation", withLines("Expect:"), 417),
  bad("bad-connection", "connection that takes the host off", withLines("Connection: close, Host")),
  bad("bad-connection", "connection that takes the caller off", withLines("Authorization: x\r\nConnection: authorization")),
  bad("bad-connection", "connection that takes a session off", withLines("X-Amz-Security-Token: x\r\nConnection: x-amz-security-token")),
  bad("bad-connection", "connection that takes the length off", withLines("Content-Length: 0\r\nConnection: content-length")),
  // Size
  bad("too-many-headers", "2,000 headers", withLines("x: y\r\n".repeat(2000).slice(0, -2)), 431),
  bad("too-many-headers", "101 headers", withLines("x: y\r\n".repeat(100).slice(0, -2)), 431),
  // Bodies
  bad("truncated", "half a request line", "GET / HT"),
  bad("truncated", "a head without its empty line", "GET / HTTP/1.1\r\nHost: a\r\n"),
  bad("truncated", "less than content-length", `${withLength("3")}ab`),
  bad("truncated", "chunks without the last one", withChunks("1\r\na\r\n")),
  bad("truncated", "a last chunk without the empty line", withChunks("1\r\na\r\n0\r\n")),
];

/** Refused after the head was handed over. */
export const badBodies: readonly BadRequest[] = [
  bad("bad-chunk", "no size", withChunks("\r\na\r\n0\r\n\r\n")),
  bad("bad-chunk", "a negative size", withChunks("-1\r\na\r\n0\r\n\r\n")),
  bad("bad-chunk", "0x", withChunks("0x1\r\na\r\n0\r\n\r\n")),
  bad("bad-chunk", "a space before the size", withChunks(" 1\r\na\r\n0\r\n\r\n")),
  bad("bad-chunk", "a space behind the size", withChunks("1 \r\na\r\n0\r\n\r\n")),
  bad("bad-chunk", "a tab before an extension", withChunks("1\t;a\r\na\r\n0\r\n\r\n")),
  bad("bad-chunk", "a size of 2^64", withChunks("10000000000000001\r\na\r\n0\r\n\r\n")),
  bad("bad-chunk", "LF behind the size", withChunks("1\na\r\n0\r\n\r\n")),
  bad("bad-chunk", "CR alone behind the size", withChunks("1\ra\r\n0\r\n\r\n")),
  bad("bad-chunk", "less data than its size", withChunks("3\r\na\r\n0\r\n\r\n")),
  bad("bad-chunk", "more data than its size", withChunks("1\r\nab\r\n0\r\n\r\n")),
  bad("bad-chunk", "LF behind the data", withChunks("1\r\na\n0\r\n\r\n")),
  bad("bad-chunk", "CR and something else behind the data", withChunks("1\r\na\rX0\r\n\r\n")),
  bad("bad-chunk", "an extension without a name", withChunks("1;\r\na\r\n0\r\n\r\n")),
  bad("bad-chunk", "LF in an extension", withChunks("1;a\nb\r\na\r\n0\r\n\r\n")),
  bad("bad-chunk", "NUL in an extension", withChunks("1;a\0\r\na\r\n0\r\n\r\n")),
  bad("bad-chunk", "an open quote in an extension", withChunks('1;a="\r\na\r\n0\r\n\r\n')),
  bad("chunk-extension-too-large", "an endless extension", withChunks(`1;${"a".repeat(1000)}\r\na\r\n0\r\n\r\n`)),
  bad("chunk-extension-too-large", "many long extensions", withChunks(`1;${"a".repeat(250)}\r\na\r\n`.repeat(20))),
  bad("bad-trailer", "content-length as a trailer", withChunks("0\r\nContent-Length: 1\r\n\r\n")),
  bad("bad-trailer", "transfer-encoding as a trailer", withChunks("0\r\nTransfer-Encoding: chunked\r\n\r\n")),
  bad("bad-trailer", "host as a trailer", withChunks("0\r\nHost: b\r\n\r\n")),
  bad("bad-trailer", "authorization as a trailer", withChunks("0\r\nAuthorization: x\r\n\r\n")),
  bad("bad-trailer", "a session as a trailer", withChunks("0\r\nX-Amz-Security-Token: x\r\n\r\n")),
  bad("bad-trailer", "an identity as a trailer", withChunks("0\r\nX-Countersign-Principal: x\r\n\r\n")),
  bad("bad-trailer", "connection as a trailer", withChunks("0\r\nConnection: close\r\n\r\n")),
  bad("bad-trailer", "a cookie as a trailer", withChunks("0\r\nx: y\r\nSet-Cookie: x\r\n\r\n")),
  bad("obs-fold", "a folded trailer", withChunks("0\r\nX: a\r\n b\r\n\r\n")),
  bad("bad-header", "a space before a trailer's colon", withChunks("0\r\nX : a\r\n\r\n")),
  bad("bad-line-end", "bare LF behind a trailer", withChunks("0\r\nX: a\n\r\n")),
  bad("bad-line-end", "bare LF at the end of the body", withChunks("0\r\n\n")),
  bad("too-many-headers", "101 trailers", withChunks(`0\r\n${"x: y\r\n".repeat(101)}\r\n`), 431),
];
