import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { detectProtocol, longestDetection } from "../../../sidecar/detect/protocol.ts";
import { parseClientHello } from "../../../sidecar/detect/client-hello.ts";
import { hello, serverNameExtension } from "./hellos.ts";

const text = (value: string) => Buffer.from(value, "latin1");

/** What is decided when the bytes come one at a time, and after how many of them. */
function detectPiecewise(bytes: Buffer): string {
  for (let end = 0; end <= bytes.length; end++) {
    const detected = detectProtocol(bytes.subarray(0, end));
    if (detected !== "need-more") return detected;
  }
  return "need-more";
}

const cases: readonly (readonly [string, Buffer, string])[] = [
  ["an ordinary request", text("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), "http1"],
  ["HTTP/1.0", text("POST /x?y=1 HTTP/1.0\r\n\r\n"), "http1"],
  ["absolute form", text("GET http://a.example/ HTTP/1.1\r\n"), "http1"],
  ["CONNECT", text("CONNECT a.example:443 HTTP/1.1\r\n"), "http1"],
  ["OPTIONS *", text("OPTIONS * HTTP/1.1\r\n"), "http1"],
  ["PROPFIND, which shares two letters with the preface", text("PROPFIND / HTTP/1.1\r\n"), "http1"],
  ["PRI in HTTP/1.1", text("PRI * HTTP/1.1\r\n"), "http1"],
  ["an unknown method, for the parser to refuse", text("frobnicate / HTTP/1.1\r\n"), "http1"],
  ["raw UTF-8 in the target, likewise", Buffer.from("GET /ü HTTP/1.1\r\n"), "http1"],
  ["a target without end", text(`GET /${"a".repeat(9000)}`), "http1"],
  ["the preface of HTTP/2", text("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), "h2"],
  ["half a preface", text("PRI * HTTP/2.0\r\n\r\nSX\r\n\r\n"), "tcp"],
  ["a preface that ends early", text("PRI * HTTP/2.0\r\n\r\nSM"), "need-more"],
  ["TLS", hello({ extensions: [serverNameExtension("a.example")] }), "tls"],
  ["an alert instead of a handshake", Buffer.of(0x15, 3, 1, 0, 2, 2, 40), "tcp"],
  ["a handshake record with a ServerHello", Buffer.of(0x16, 3, 3, 0, 80, 2), "tcp"],
  ["an empty record", Buffer.of(0x16, 3, 3, 0, 0), "tcp"],
  ["a record over 2^14 bytes", Buffer.of(0x16, 3, 3, 0x40, 1), "tcp"],
  ["SSL 2", Buffer.of(0x80, 0x2e, 1, 3, 1), "tcp"],
  ["Redis", text("*1\r\n$4\r\nPING\r\n"), "tcp"],
  ["Redis, inline", text("PING\r\n"), "tcp"],
  ["Redis, inline, with a key like a path", text("GET /items/1\r\n"), "tcp"],
  ["memcached", text("get key\r\n"), "tcp"],
  ["memcached's set", text("set key 0 900 5\r\n"), "tcp"],
  ["SMTP", text("EHLO mail.example\r\n"), "tcp"],
  ["NATS", text('CONNECT {"verbose":false}\r\n'), "tcp"],
  ["STOMP", text("CONNECT\naccept-version:1.2\n\n\0"), "tcp"],
  ["FTP", text("USER anonymous\r\n"), "tcp"],
  ["SSH", text("SSH-2.0-OpenSSH_9.6p1 Debian-4\r\n"), "tcp"],
  ["HTTP/0.9", text("GET /\r\n"), "tcp"],
  ["a status line", text("HTTP/1.1 200 OK\r\n"), "tcp"],
  ["RTSP", text("DESCRIBE rtsp://a.example/x RTSP/1.0\r\n"), "tcp"],
  ["SIP", text("INVITE sip:b@a.example SIP/2.0\r\n"), "tcp"],
  ["two spaces", text("GET  / HTTP/1.1\r\n"), "tcp"],
  ["an empty line first", text("\r\nGET / HTTP/1.1\r\n"), "tcp"],
  ["PostgreSQL's SSLRequest", Buffer.of(0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f), "tcp"],
  ["MQTT", Buffer.of(0x10, 0x0c, 0, 4, 0x4d, 0x51, 0x54, 0x54), "tcp"],
  ["a word without end", text("A".repeat(100)), "tcp"],
  ["a word that goes on", text("HELLO"), "need-more"],
  ["nothing", text(""), "need-more"],
];

describe("detectProtocol", () => {
  it.each(cases)("%s", (_name, bytes, expected) => {
    expect(detectProtocol(bytes)).toBe(expected);
    expect(detectPiecewise(bytes)).toBe(expected);
  });

  it("decides once and for all: more bytes change nothing", () => {
    const starts = ["GET ", "PRI * HTTP/2.0", "PRI * HTTP/2.0\r\n\r\nSM\r\n", "P", "\x16", "\x16\x03\x01", "POST /x HTTP/", "A", ""];
    const bytes = fc
      .tuple(fc.constantFrom(...starts), fc.uint8Array({ maxLength: 40 }), fc.constantFrom("", " HTTP/1.1\r\n", " / HTTP/1.1\r\n"))
      .map(([start, middle, end]) => Buffer.concat([text(start), middle, text(end)]));
    fc.assert(
      fc.property(bytes, fc.uint8Array({ maxLength: 8 }), (whole, more) => {
        const decided = detectProtocol(whole);
        expect(detectPiecewise(whole)).toBe(decided);
        const further = decided === "need-more" ? whole : Buffer.concat([whole, more]);
        expect(detectProtocol(further)).toBe(decided);
      }),
      { numRuns: 3000 },
    );
  });

  it("is decided at its bound at the latest", () => {
    const tokens = fc.integer({ min: 1, max: 40 });
    const targets = fc.integer({ min: 0, max: 9000 });
    fc.assert(
      fc.property(tokens, targets, fc.constantFrom("", " ", " HTTP/", "\0"), (method, target, rest) => {
        const line = text(`${"M".repeat(method)} ${"t".repeat(target)}${rest}`);
        const filled = Buffer.concat([line, Buffer.alloc(Math.max(0, longestDetection - line.length), 0x61)]);
        expect(detectProtocol(filled)).not.toBe("need-more");
      }),
      { numRuns: 300 },
    );
  });

  it("says tls of exactly what parseClientHello does not say not-tls of", () => {
    const bytes = fc.tuple(
      fc.constantFrom(0x16, 0x17, 0x50),
      fc.constantFrom(3, 2),
      fc.integer({ min: 0, max: 6 }),
      fc.constantFrom(0, 1, 0x40, 0x41),
      fc.constantFrom(0, 1, 200),
      fc.constantFrom(1, 2),
    );
    fc.assert(
      fc.property(bytes, fc.integer({ min: 1, max: 6 }), (start, cut) => {
        const prefix = Buffer.from(start).subarray(0, cut);
        const detected = detectProtocol(prefix);
        const { kind } = parseClientHello(prefix);
        expect(kind === "not-tls" ? ["tcp", "need-more"] : ["tls", "need-more"]).toContain(detected);
      }),
      { numRuns: 2000 },
    );
  });
});
