import { generateKeyPairSync, X509Certificate } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { assert, property, uint8Array } from "fast-check";
import { describe, expect, test } from "vitest";
import { X509ProfileError } from "../../../common/x509/error.ts";
import type { X509ProfileErrorCode } from "../../../common/x509/error.ts";
import { encode, encodeSequence, encodeTime } from "../../../common/x509/der-write.ts";
import { Tag } from "../../../common/x509/der.ts";
import { checkLeaf } from "../../../common/x509/svid-profile.ts";
import {
  CLIENT_AUTH,
  dnsName,
  EMPTY,
  Ext,
  extension,
  hex,
  LEAF_ID,
  leafExtensions,
  makeCertificate,
  name,
  NOW,
  SERVER_AUTH,
  validity,
} from "./certificate-maker.ts";
import type { Parts } from "./certificate-maker.ts";

const failsWith = (code: X509ProfileErrorCode) => expect.objectContaining({ name: "X509ProfileError", code });
const spki = ({ publicKey }: { readonly publicKey: KeyObject }) => publicKey.export({ format: "der", type: "spki" });

/** A good leaf but for these extensions. */
const withExtensions = (overrides: Record<string, Buffer | undefined>): Partial<Parts> => ({ extensions: leafExtensions(overrides) });

describe("a leaf of the profile", () => {
  test("is read", () => {
    const der = makeCertificate({ serial: hex("02021234") });
    const node = new X509Certificate(der);
    expect(checkLeaf(der)).toEqual({
      spiffeId: LEAF_ID,
      notBefore: NOW - 60,
      notAfter: NOW + 3600,
      serial: "1234",
      publicKey: node.publicKey.export({ format: "der", type: "spki" }),
      ski: "bb".repeat(20),
      aki: "aa".repeat(20),
    });
  });

  test.each<[string, Partial<Parts>]>([
    ["no basic constraints, which means none", withExtensions({ basic: undefined })],
    ["an unknown extension that is not critical", withExtensions({ other: extension("1.3.6.1.4.1.99999.1", false, EMPTY) })],
    ["a P-384 key", { publicKey: spki(generateKeyPairSync("ec", { namedCurve: "P-384" })) }],
    ["an RSA key of 2048 bits", { publicKey: spki(generateKeyPairSync("rsa", { modulusLength: 2048 })) }],
    ["a serial number of 20 octets", { serial: Buffer.concat([hex("02147f"), Buffer.alloc(19, 0xff)]) }],
    ["an end after 2050", { validity: validity(NOW, NOW + 40 * 365 * 86_400) }],
    ["an id of 2048 bytes", withExtensions({ san: Ext.uri(`spiffe://mesh.example/${"a".repeat(2048 - 22)}`) })],
    [
      "an authority key identifier with issuer and serial beside it",
      withExtensions({
        aki: extension("2.5.29.35", false, hex("301b 8014 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa a100 820101")),
      }),
    ],
  ])("may have %s", (_, parts) => {
    expect(checkLeaf(makeCertificate(parts)).notBefore).toBeGreaterThan(0);
  });
});

describe("what OpenSSL reads and the profile refuses", () => {
  test.each<[string, X509ProfileErrorCode, Partial<Parts>]>([
    ["two URIs", "subject-alternative-name", withExtensions({ san: Ext.uri(LEAF_ID, "spiffe://mesh.example/ns/shop/sa/admin") })],
    ["the same URI twice", "subject-alternative-name", withExtensions({ san: Ext.uri(LEAF_ID, LEAF_ID) })],
    [
      "a DNS name beside the URI",
      "subject-alternative-name",
      withExtensions({ san: Ext.names(true, dnsName("orders.example"), encode(0x86, Buffer.from(LEAF_ID))) }),
    ],
    ["a DNS name alone", "subject-alternative-name", withExtensions({ san: Ext.names(true, dnsName("orders.example")) })],
    ["no name in the subject alternative name", "subject-alternative-name", withExtensions({ san: Ext.names(true) })],
    ["no subject alternative name", "subject-alternative-name", withExtensions({ san: undefined })],
    ["one that is not critical", "subject-alternative-name", withExtensions({ san: Ext.names(false, encode(0x86, Buffer.from(LEAF_ID))) })],
    ["cA true", "basic-constraints", withExtensions({ basic: Ext.basic("30030101ff") })],
    ["a path length", "basic-constraints", withExtensions({ basic: Ext.basic("3003020100") })],
    ["keyCertSign", "key-usage", withExtensions({ keyUsage: Ext.keyUsage("03020284") })],
    ["cRLSign", "key-usage", withExtensions({ keyUsage: Ext.keyUsage("03020182") })],
    ["keyEncipherment", "key-usage", withExtensions({ keyUsage: Ext.keyUsage("030205a0") })],
    ["no digitalSignature", "key-usage", withExtensions({ keyUsage: Ext.keyUsage("03020520") })],
    ["key usage that is not critical", "key-usage", withExtensions({ keyUsage: Ext.keyUsage("03020780", false) })],
    ["no key usage", "key-usage", withExtensions({ keyUsage: undefined })],
    ["serverAuth alone", "extended-key-usage", withExtensions({ purposes: Ext.purposes(SERVER_AUTH) })],
    ["clientAuth alone", "extended-key-usage", withExtensions({ purposes: Ext.purposes(CLIENT_AUTH) })],
    ["clientAuth twice", "extended-key-usage", withExtensions({ purposes: Ext.purposes(CLIENT_AUTH, CLIENT_AUTH) })],
    [
      "any purpose beside the two",
      "extended-key-usage",
      withExtensions({ purposes: Ext.purposes(SERVER_AUTH, CLIENT_AUTH, "2.5.29.37.0") }),
    ],
    ["no extended key usage", "extended-key-usage", withExtensions({ purposes: undefined })],
    ["a subject", "subject", { subject: name("orders") }],
    ["an issuer without a name", "issuer", { issuer: EMPTY }],
    ["no subject key identifier", "key-identifier", withExtensions({ ski: undefined })],
    ["an empty subject key identifier", "key-identifier", withExtensions({ ski: Ext.ski(Buffer.alloc(0)) })],
    ["no authority key identifier", "key-identifier", withExtensions({ aki: undefined })],
    ["an authority key identifier without the key's", "key-identifier", withExtensions({ aki: extension("2.5.29.35", false, EMPTY) })],
    [
      "an unknown critical extension",
      "unknown-critical-extension",
      withExtensions({ other: extension("1.3.6.1.4.1.99999.1", true, EMPTY) }),
    ],
    ["critical name constraints", "unknown-critical-extension", withExtensions({ other: extension("2.5.29.30", true, EMPTY) })],
    ["an extension twice", "duplicate-extension", withExtensions({ again: Ext.uri(LEAF_ID) })],
    ["serial number 0", "serial", { serial: hex("020100") }],
    ["a negative serial number", "serial", { serial: hex("0201ff") }],
    ["a serial number of 21 octets", "serial", { serial: Buffer.concat([hex("021501"), Buffer.alloc(20)]) }],
    ["an end before the start", "validity", { validity: validity(NOW, NOW - 1) }],
    ["version 1", "version", { version: undefined, extensions: undefined }],
    ["version 2", "version", { version: hex("a003020101") }],
    ["two signature algorithms", "signature-algorithm", { outerAlgorithm: hex("300a06082a8648ce3d040303") }],
    ["ECDSA with SHA-1", "signature-algorithm", { algorithm: hex("300906072a8648ce3d0401") }],
    ["RSA with MD5", "signature-algorithm", { algorithm: hex("300d06092a864886f70d0101040500") }],
    ["an RSA key of 1024 bits", "public-key", { publicKey: spki(generateKeyPairSync("rsa", { modulusLength: 1024 })) }],
    [
      "an RSA key with exponent 3",
      "public-key",
      { publicKey: spki(generateKeyPairSync("rsa", { modulusLength: 2048, publicExponent: 3 })) },
    ],
    ["a key on P-521", "public-key", { publicKey: spki(generateKeyPairSync("ec", { namedCurve: "P-521" })) }],
    ["a key on secp256k1", "public-key", { publicKey: spki(generateKeyPairSync("ec", { namedCurve: "secp256k1" })) }],
    ["an Ed25519 key", "public-key", { publicKey: spki(generateKeyPairSync("ed25519")) }],
  ])("%s", (_, code, parts) => {
    const der = makeCertificate(parts);
    expect(() => new X509Certificate(der)).not.toThrow();
    expect(() => checkLeaf(der)).toThrow(failsWith(code));
  });

  test.each([
    "spiffe://mesh.example/ns/shop/sa/orders/",
    "spiffe://mesh.example/ns/../sa/orders",
    "spiffe://mesh.example/ns/./sa/orders",
    "spiffe://mesh.example//ns/shop",
    "spiffe://MESH.example/ns/shop/sa/orders",
    "SPIFFE://mesh.example/ns/shop/sa/orders",
    "spiffe://mesh.example/ns/shop/sa/orders\u0000",
    "spiffe://mesh.example\u0000.evil.example/ns/shop",
    "spiffe://mesh.example/ns/sh%6fp/sa/orders",
    "spiffe://mesh.example:443/ns/shop",
    "spiffe://user@mesh.example/ns/shop",
    "spiffe://mesh.example/ns/shop?a=b",
    "spiffe://mesh.example/ns/shop#a",
    "spiffe://mesh.example/ns/sh\u00f6p",
    "spiffe://mesh.example/ns/shop ",
    "spiffe://mesh.example",
    "spiffe:///ns/shop",
    "https://mesh.example/ns/shop",
    "",
    `spiffe://mesh.example/${"a".repeat(2048)}`,
  ])("the id %j", (uri) => {
    const der = makeCertificate(withExtensions({ san: Ext.uri(Buffer.from(uri, "latin1")) }));
    expect(() => checkLeaf(der)).toThrow(failsWith("spiffe-id"));
  });
});

describe("what is not the one encoding", () => {
  const time = (tag: number, text: string) => encode(tag, Buffer.from(text));
  test.each<[string, Partial<Parts>]>([
    ["cA false spelt out", withExtensions({ basic: Ext.basic("3003010100") })],
    ["critical false spelt out", withExtensions({ other: hex("300d 0603551d 20 0101 00 0403 020100") })],
    ["TRUE as 1", withExtensions({ basic: hex("300f 0603551d13 010101 0405 30030101ff") })],
    ["key usage with a trailing zero bit", withExtensions({ keyUsage: Ext.keyUsage("03020080") })],
    ["GeneralizedTime before 2050", { validity: encodeSequence(time(Tag.GENERALIZED_TIME, "20260101000000Z"), encodeTime(NOW)) }],
    ["a time without seconds", { validity: encodeSequence(time(Tag.UTC_TIME, "2601010000Z"), encodeTime(NOW)) }],
    ["a third time", { validity: encodeSequence(encodeTime(NOW), encodeTime(NOW), encodeTime(NOW)) }],
    ["a serial number with a leading zero", { serial: hex("02020001") }],
    ["ECDSA with NULL parameters", { algorithm: hex("300c06082a8648ce3d0403020500") }],
    ["unique ids", { uniqueIds: hex("81020001") }],
    ["no extensions", { extensions: undefined }],
    ["an empty list of extensions", { extensions: [] }],
    ["octets after an extension's value", withExtensions({ basic: Ext.basic("30000500") })],
    ["an empty part of a name", { issuer: hex("30023100") }],
    ["an attribute that is no text", { issuer: hex("300c 310a 3008 0603550403 020101") }],
    ["an attribute that is not UTF-8", { issuer: hex("300c 310a 3008 0603550403 0c01ff") }],
    ["an attribute of three members", { issuer: hex("300d 310b 3009 0603550403 0500 0500") }],
  ])("%s is malformed", (_, parts) => {
    expect(() => checkLeaf(makeCertificate(parts))).toThrow(expect.objectContaining({ name: "X509ProfileError" }));
    expect(() => checkLeaf(makeCertificate(parts))).toThrow(/malformed|well-formed|validity/);
  });

  test("octets after the certificate, and a certificate over 16 KiB", () => {
    const der = makeCertificate();
    expect(() => checkLeaf(Buffer.concat([der, hex("00")]))).toThrow(failsWith("malformed"));
    const large = makeCertificate(withExtensions({ other: extension("1.3.6.1.4.1.99999.1", false, Buffer.alloc(16_384)) }));
    expect(() => checkLeaf(large)).toThrow(failsWith("malformed"));
  });

  test("cut at every octet", () => {
    const der = makeCertificate();
    for (let length = 0; length < der.length; length++) {
      expect(() => checkLeaf(der.subarray(0, length))).toThrow(failsWith("malformed"));
    }
  });

  test("any octet changed is refused, or leaves a certificate that OpenSSL reads alike", () => {
    const der = makeCertificate();
    const opinions = (altered: Buffer): [string, string] => {
      try {
        const { serial, notAfter } = checkLeaf(altered);
        const node = new X509Certificate(altered);
        return [`${BigInt(`0x${serial}`)} ${notAfter}`, `${BigInt(`0x${node.serialNumber}`)} ${node.validToDate.getTime() / 1000}`];
      } catch (error) {
        return error instanceof X509ProfileError ? ["refused", "refused"] : ["read", String(error)];
      }
    };
    let refused = 0;
    for (let index = 0; index < der.length; index++) {
      for (const mask of [0x01, 0x02, 0x20, 0x80, 0xff]) {
        const altered = Buffer.from(der);
        altered[index]! ^= mask;
        const [ours, openssl] = opinions(altered);
        expect(ours).toBe(openssl);
        if (ours === "refused") refused++;
      }
    }
    expect(refused).toBeGreaterThan(der.length);
  });

  test("any octets at all are refused", () => {
    assert(
      property(uint8Array({ maxLength: 200 }), (octets) => {
        expect(() => checkLeaf(Buffer.from(octets))).toThrow(expect.objectContaining({ name: "X509ProfileError" }));
      }),
    );
  });
});
