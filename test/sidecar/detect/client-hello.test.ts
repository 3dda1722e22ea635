import { once } from "node:events";
import { connect as connectPlain, type AddressInfo } from "node:net";
import { createServer, type Server } from "node:tls";
import * as fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { longestClientHello, parseClientHello, type ClientHello } from "../../../sidecar/detect/client-hello.ts";
import {
  alpnExtension,
  fromNode,
  fromProgram,
  hello,
  helloBody,
  message,
  records,
  serverNameExtension,
  vector16,
  type Extension,
} from "./hellos.ts";

/** What is decided when the bytes come one at a time. */
function parsePiecewise(bytes: Buffer): ClientHello {
  for (let end = 0; end <= bytes.length; end++) {
    const parsed = parseClientHello(bytes.subarray(0, end));
    if (parsed.kind !== "need-more") return parsed;
  }
  return { kind: "need-more" };
}

const accepted = (serverName: string, alpn: readonly string[] = []) => ({ kind: "client-hello", serverName, alpn });
const named = (name: string | Buffer, type = 0) => hello({ extensions: [serverNameExtension(name, type)] });

describe("parseClientHello of real clients", () => {
  const nodeOptions = { servername: "Orders.Shop.example", ALPNProtocols: ["h2", "http/1.1"] };

  it.each([
    ["TLS 1.3", {}],
    ["TLS 1.2 alone", { maxVersion: "TLSv1.2" }],
    ["TLS 1.3 alone", { minVersion: "TLSv1.3" }],
    ["TLS 1.0", { minVersion: "TLSv1", maxVersion: "TLSv1", ciphers: "DEFAULT@SECLEVEL=0" }],
    ["post-quantum key shares", { ecdhCurve: "X25519MLKEM768:X25519" }],
  ] as const)("node:tls, %s", async (_name, options) => {
    const bytes = await fromNode({ ...nodeOptions, ...options });
    expect(parseClientHello(bytes)).toEqual(accepted("orders.shop.example", ["h2", "http/1.1"]));
    expect(parsePiecewise(bytes)).toEqual(accepted("orders.shop.example", ["h2", "http/1.1"]));
  });

  it("node:tls without a name", async () => {
    expect(parseClientHello(await fromNode({}))).toEqual(accepted(""));
  });

  it("openssl s_client", async ({ skip }) => {
    const args = ["s_client", "-connect", "127.0.0.1:{port}", "-servername", "a.example", "-alpn", "h2,spdy/3"];
    const bytes = await fromProgram("openssl", args).catch(() => skip("there is no openssl here"));
    expect(parsePiecewise(bytes)).toEqual(accepted("a.example", ["h2", "spdy/3"]));
  });

  it("curl", async ({ skip }) => {
    const args = ["-sk", "--resolve", "b.example:{port}:127.0.0.1", "https://b.example:{port}/"];
    const bytes = await fromProgram("curl", args).catch(() => skip("there is no curl here"));
    expect(parsePiecewise(bytes)).toEqual(accepted("b.example", ["h2", "http/1.1"]));
  });
});

describe("parseClientHello", () => {
  it("takes a message without extensions", () => {
    expect(parseClientHello(hello({ version: 0x0301, extensions: null }))).toEqual(accepted(""));
  });

  it("skips GREASE and an outer Encrypted ClientHello", () => {
    const extensions: Extension[] = [
      { type: 0x0a0a, data: Buffer.alloc(0) },
      serverNameExtension("public.example"),
      { type: 0xfe0d, data: Buffer.alloc(200, 1) },
      alpnExtension(["\x0a\x0a", "h2"]),
      { type: 0x1a1a, data: Buffer.of(0) },
    ];
    expect(parseClientHello(hello({ extensions }))).toEqual(accepted("public.example", ["\x0a\x0a", "h2"]));
  });

  it("puts records together, wherever the message is cut", () => {
    const whole = message(helloBody({ extensions: [serverNameExtension("a.example"), alpnExtension(["h2"])] }));
    for (let cut = 1; cut < whole.length; cut++) {
      const bytes = records(whole.subarray(0, cut), whole.subarray(cut));
      expect(parseClientHello(bytes)).toEqual(accepted("a.example", ["h2"]));
      expect(parseClientHello(bytes.subarray(0, -1))).toEqual({ kind: "need-more" });
    }
    const pieces = Array.from({ length: 64 }, (_, index) => whole.subarray(index, index === 63 ? undefined : index + 1));
    expect(parsePiecewise(records(...pieces))).toEqual(accepted("a.example", ["h2"]));
    const tooMany = Array.from({ length: 65 }, (_, index) => whole.subarray(index, index === 64 ? undefined : index + 1));
    expect(parsePiecewise(records(...tooMany))).toMatchObject({ kind: "malformed" });
  });

  it("leaves what follows the message alone", () => {
    const bytes = Buffer.concat([named("a.example"), Buffer.of(0x14, 3, 3, 0, 1, 1), Buffer.alloc(40)]);
    expect(parseClientHello(bytes)).toEqual(accepted("a.example"));
  });

  it.each([
    ["A.Example", "a.example"],
    ["localhost", "localhost"],
    ["_dmarc.a-b.example", "_dmarc.a-b.example"],
    ["xn--bcher-kva.example", "xn--bcher-kva.example"],
    ["1.2.3.4.example", "1.2.3.4.example"],
    [`${"a".repeat(63)}.${"b".repeat(63)}.${"c".repeat(63)}.${"d".repeat(61)}`, undefined],
  ])("takes the name %s", (name, expected) => {
    expect(parseClientHello(named(name))).toEqual(accepted(expected ?? name));
  });

  it.each([
    ["empty", ""],
    ["with NUL", "a.example\0.b.example"],
    ["with NUL at its end", "a.example\0"],
    ["with a trailing dot", "a.example."],
    ["with an empty label", "a..example"],
    ["with a leading dot", ".example"],
    ["a wildcard", "*.example"],
    ["with a port", "a.example:443"],
    ["with CR and LF", "a.example\r\nx: y"],
    ["with a space", "a example"],
    ["UTF-8", Buffer.from("bücher.example")],
    ["an IPv4 address", "127.0.0.1"],
    ["a short IPv4 address", "127.1"],
    ["an IPv4 address in hexadecimal", "0x7f000001"],
    ["an IPv4 address as a number", "2130706433"],
    ["an IPv6 address", "::1"],
    ["an IPv6 address in brackets", "[::1]"],
    ["with a label of 64", `${"a".repeat(64)}.example`],
    ["of 254", `${"a.".repeat(125)}abcd`],
    ["of 16,000", "a".repeat(16_000)],
  ])("refuses a name %s", (_name, name) => {
    expect(parsePiecewise(named(name))).toMatchObject({ kind: "malformed" });
  });

  const sni = serverNameExtension("a.example");
  const twoNames = Buffer.concat([Buffer.of(0), vector16(Buffer.from("a.example")), Buffer.of(0), vector16(Buffer.from("b.example"))]);
  const body = helloBody({ extensions: [sni] });

  it.each([
    ["two server name extensions", hello({ extensions: [sni, serverNameExtension("b.example")] })],
    ["two ALPN extensions", hello({ extensions: [alpnExtension(["h2"]), alpnExtension(["h2"])] })],
    ["two of any extension", hello({ extensions: [{ type: 43, data: Buffer.alloc(0) }, sni, { type: 43, data: Buffer.alloc(0) }] })],
    ["two names in one extension", hello({ extensions: [{ type: 0, data: vector16(twoNames) }] })],
    ["a name of another type", named("a.example", 1)],
    ["an empty server name extension", hello({ extensions: [{ type: 0, data: Buffer.alloc(0) }] })],
    ["an empty list of names", hello({ extensions: [{ type: 0, data: vector16(Buffer.alloc(0)) }] })],
    ["bytes behind the list of names", hello({ extensions: [{ type: 0, data: Buffer.concat([sni.data, Buffer.of(0)]) }] })],
    ["a list of names longer than it is", hello({ extensions: [{ type: 0, data: Buffer.of(0, 9, 0, 0, 1, 97) }] })],
    ["an empty list of protocols", hello({ extensions: [alpnExtension([])] })],
    ["an empty protocol", hello({ extensions: [alpnExtension(["h2", ""])] })],
    [
      "bytes behind the list of protocols",
      hello({ extensions: [{ type: 16, data: Buffer.concat([alpnExtension(["h2"]).data, Buffer.of(0)]) }] }),
    ],
    ["SSL 3.0", hello({ version: 0x0300 })],
    ["a version that there is not", hello({ version: 0x0304 })],
    ["a long session id", hello({ sessionId: Buffer.alloc(33) })],
    ["no cipher suites", hello({ suites: Buffer.alloc(0) })],
    ["half a cipher suite", hello({ suites: Buffer.alloc(3) })],
    ["no compression method", hello({ compression: Buffer.alloc(0) })],
    ["no null compression", hello({ compression: Buffer.of(1) })],
    ["an empty message", records(Buffer.of(1, 0, 0, 0))],
    ["a message cut short", records(message(body.subarray(0, -1)))],
    ["a byte behind the extensions", records(message(Buffer.concat([body, Buffer.of(0)])))],
    ["a byte where extensions would be", records(message(Buffer.concat([helloBody({ extensions: null }), Buffer.of(0)])))],
    ["another message in the record", records(Buffer.concat([message(body), Buffer.of(1)]))],
    ["a message that is too long", records(Buffer.of(1, 0, 0x40, 1))],
    ["an alert in its midst", Buffer.concat([records(message(body).subarray(0, 20)), Buffer.of(0x15, 3, 1, 0, 2, 1, 0)])],
    ["an empty record in its midst", Buffer.concat([records(message(body).subarray(0, 20)), Buffer.of(0x16, 3, 1, 0, 0)])],
  ])("refuses %s", (_name, bytes) => {
    expect(parsePiecewise(bytes)).toMatchObject({ kind: "malformed" });
    expect(parseClientHello(bytes)).toEqual(parsePiecewise(bytes));
  });

  it.each([
    ["HTTP", Buffer.from("GET / HTTP/1.1\r\n")],
    ["an alert", Buffer.of(0x15, 3, 1, 0, 2, 2, 40)],
    ["a ServerHello", Buffer.of(0x16, 3, 3, 0, 4, 2, 0, 0, 0)],
    ["SSL 2", Buffer.of(0x80, 0x2e, 1, 3, 1)],
    ["DTLS", Buffer.of(0x16, 0xfe, 0xfd, 0, 0)],
    ["a record over 2^14 bytes", Buffer.of(0x16, 3, 1, 0x40, 1)],
  ])("knows that %s is not TLS", (_name, bytes) => {
    expect(parsePiecewise(bytes)).toEqual({ kind: "not-tls" });
    expect(parseClientHello(bytes)).toEqual({ kind: "not-tls" });
  });

  it("is decided at its bound at the latest", () => {
    const whole = message(helloBody({ extensions: [{ type: 21, data: Buffer.alloc((1 << 14) - 47) }] }));
    expect(whole.length).toBe((1 << 14) + 4);
    const size = Math.ceil(whole.length / 64);
    const pieces = Array.from({ length: 64 }, (_, index) => whole.subarray(index * size, (index + 1) * size));
    const bytes = records(...pieces);
    expect(bytes.length).toBe(longestClientHello);
    expect(parseClientHello(bytes)).toEqual(accepted(""));
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 64, maxLength: 80 }), (sizes) => {
        const flood = records(...sizes.map((length, index) => (index === 0 ? whole.subarray(0, length) : Buffer.alloc(length))));
        const filled = Buffer.concat([flood, Buffer.alloc(longestClientHello)]);
        expect(parseClientHello(filled.subarray(0, longestClientHello)).kind).not.toBe("need-more");
      }),
      { numRuns: 200 },
    );
  });
});

describe("parseClientHello against OpenSSL", () => {
  let server: Server;
  let port: number;
  let lastName: string | undefined;

  beforeAll(async () => {
    server = createServer({
      minVersion: "TLSv1",
      ciphers: "DEFAULT@SECLEVEL=0",
      // Node calls this for a hello that it has read to its end and that names a server.
      SNICallback(servername, done) {
        lastName = servername;
        done(new Error("seen"));
      },
    });
    server.on("tlsClientError", () => {
      // Each connection ends like this.
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    ({ port } = server.address() as AddressInfo);
  });
  afterAll(() => {
    server.close();
  });

  /** The name that node:tls takes out of `bytes`; undefined if it refuses them or finds none. */
  async function nameByNode(bytes: Buffer): Promise<string | undefined> {
    lastName = undefined;
    const socket = connectPlain(port, "127.0.0.1");
    socket.on("error", () => {
      // A reset is an answer too.
    });
    socket.resume();
    socket.end(bytes);
    await once(socket, "close");
    return lastName;
  }

  it("reads no other name than OpenSSL does", async () => {
    const names = ["a.example", "b.example", "A.b", "a.example.", "127.0.0.1", "a\0b", "", "x".repeat(70)];
    const base = await fromNode({ servername: "orders.example", ALPNProtocols: ["h2"] });
    const old = await fromNode({ servername: "orders.example", maxVersion: "TLSv1.2" });
    const mutation = fc.oneof(
      fc.record({ kind: fc.constant("byte" as const), at: fc.nat(), value: fc.integer({ min: 0, max: 255 }) }),
      // The interesting place: around the name.
      fc.record({ kind: fc.constant("near" as const), at: fc.integer({ min: -12, max: 20 }), value: fc.integer({ min: 0, max: 255 }) }),
      fc.record({ kind: fc.constant("insert" as const), at: fc.nat(), value: fc.constantFrom(...names) }),
      fc.record({ kind: fc.constant("rename" as const), at: fc.nat(), value: fc.constantFrom(...names) }),
    );
    const outcomes = { same: 0, refused: 0, onlyNode: 0, onlyUs: 0 };
    await fc.assert(
      fc.asyncProperty(fc.boolean(), fc.array(mutation, { minLength: 0, maxLength: 2 }), fc.nat(), async (modern, mutations, cut) => {
        let body = (modern ? base : old).subarray(5);
        for (const { kind, at, value } of mutations) {
          if (kind === "byte" || kind === "near") {
            const copy = Buffer.from(body);
            copy[kind === "byte" ? at % copy.length : Math.max(0, copy.indexOf("orders.example") + at)] = value;
            body = copy;
          } else {
            body = kind === "rename" ? renamed(body, value) : withExtension(body, serverNameExtension(value));
          }
        }
        const at = 1 + (cut % (body.length - 1));
        const bytes = cut % 3 === 0 ? records(body.subarray(0, at), body.subarray(at)) : records(body);
        const ours = parsePiecewise(bytes);
        const theirs = (await nameByNode(bytes))?.toLowerCase();
        if (ours.kind !== "client-hello" || ours.serverName === "") outcomes[theirs === undefined ? "refused" : "onlyNode"]++;
        else if (theirs === undefined) outcomes.onlyUs++;
        else outcomes.same++;
        const both = ours.kind === "client-hello" && theirs !== undefined;
        expect(both ? ours.serverName : theirs).toBe(theirs);
      }),
      { numRuns: 700 },
    );
    // That the comparison took place.
    expect(outcomes.same).toBeGreaterThan(100);
    expect(outcomes.refused).toBeGreaterThan(50);
  });

  it("gives the same answer for random bytes, cut or whole, and never throws", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 120 }), fc.uint8Array({ maxLength: 60 }), (middle, extensions) => {
        const body = Buffer.concat([helloBody({ extensions: null }), vector16(Buffer.from(extensions))]);
        for (const bytes of [records(message(body)), Buffer.concat([Buffer.of(0x16, 3, 1, 0, 120, 1, 0, 0), middle])]) {
          expect(parsePiecewise(bytes)).toEqual(parseClientHello(bytes));
        }
      }),
      { numRuns: 1000 },
    );
  });
});

/** A whole hello message with the lengths around its name made to fit another. */
function renamed(body: Buffer, name: string): Buffer {
  const at = body.indexOf("orders.example");
  if (at < 0) return body;
  // type 2, length 2, list 2, kind 1, name length 2
  const from = at - 9;
  const { type, data } = serverNameExtension(name);
  const extension = Buffer.concat([Buffer.of(type >> 8, type), vector16(data)]);
  const grown = extension.length - (9 + "orders.example".length);
  return fitted(Buffer.concat([body.subarray(0, from), extension, body.subarray(at + "orders.example".length)]), grown);
}

function withExtension(body: Buffer, { type, data }: Extension): Buffer {
  const extension = Buffer.concat([Buffer.of(type >> 8, type), vector16(data)]);
  return fitted(Buffer.concat([body, extension]), extension.length);
}

/** With the lengths of the message and of its extensions grown by that much. */
function fitted(body: Buffer, grown: number): Buffer {
  const copy = Buffer.from(body);
  let at = 4 + 2 + 32;
  at += 1 + (copy[at] ?? 0);
  at += 2 + copy.readUInt16BE(at);
  at += 1 + (copy[at] ?? 0);
  if (at + 2 > copy.length) return copy;
  copy.writeUInt16BE((copy.readUInt16BE(at) + grown) & 0xffff, at);
  copy.writeUIntBE((copy.readUIntBE(1, 3) + grown) & 0xffffff, 1, 3);
  return copy;
}
