import { spawnSync } from "node:child_process";
import { generateKeyPairSync, sign, webcrypto } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { assert, integer, property, uint8Array } from "fast-check";
import { describe, expect, test } from "vitest";
import { createCsr } from "../../../common/x509/csr.ts";
import { encode, encodeBitString, encodeOid, encodeSequence } from "../../../common/x509/der-write.ts";
import { Tag } from "../../../common/x509/der.ts";
import { checkCsr, MAX_CSR_BYTES } from "../../../control-plane/ca/csr.ts";
import { CaError } from "../../../control-plane/ca/error.ts";
import type { CaErrorCode } from "../../../control-plane/ca/error.ts";
import { ECDSA_SHA256, EMPTY, Ext, extension, hex, name, newKeys } from "../../common/x509/certificate-maker.ts";
import { peculiar } from "../../common/x509/peculiar.ts";

const failsWith = (code: CaErrorCode) => expect.objectContaining({ name: "CaError", code });
const spkiOf = (key: KeyObject) => key.export({ format: "der", type: "spki" });
const keys = newKeys();

interface Shape {
  readonly version?: Buffer;
  readonly subject?: Buffer;
  readonly publicKey?: Buffer;
  readonly attributes?: Buffer;
  readonly algorithm?: Buffer;
  readonly signingKey?: KeyObject;
  readonly hash?: string;
}

/** A good request but for `shape`. */
function makeCsr(shape: Shape = {}): Buffer {
  const info = encodeSequence(
    shape.version ?? hex("020100"),
    shape.subject ?? EMPTY,
    shape.publicKey ?? spkiOf(keys.publicKey),
    shape.attributes ?? hex("a000"),
  );
  const signature = sign(shape.hash ?? "sha256", info, shape.signingKey ?? keys.privateKey);
  return encodeSequence(info, shape.algorithm ?? ECDSA_SHA256, encodeBitString(signature));
}

const extensionRequest = (...extensions: Buffer[]) =>
  encode(0xa0, encodeSequence(encodeOid("1.2.840.113549.1.9.14"), encode(Tag.SET, encodeSequence(...extensions))));
const openssl = (input: Buffer, ...arguments_: string[]) => spawnSync("openssl", arguments_, { input });
const SHA256_WITH_RSA = hex("300d06092a864886f70d01010b0500");

describe("createCsr", () => {
  test("makes a request that the authority, OpenSSL and @peculiar/x509 accept alike", async () => {
    const csr = createCsr(keys);
    expect(checkCsr(csr)).toMatchObject({ publicKey: spkiOf(keys.publicKey), kind: "P-256" });
    const verified = openssl(csr, "req", "-inform", "DER", "-verify", "-noout", "-subject");
    expect([verified.status, verified.stdout.toString().trim()]).toEqual([0, "subject="]);
    const read = new peculiar.Pkcs10CertificateRequest(csr);
    expect(await read.verify()).toBe(true);
    expect([read.subject, read.attributes.length, read.extensions.length]).toEqual(["", 0, 0]);
  });
});

describe("a request that is accepted", () => {
  test.each<[string, string[], string]>([
    ["P-256", ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"], "P-256"],
    ["P-384 with SHA-384", ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384", "-sha384"], "P-384"],
    ["RSA 2048", ["-newkey", "rsa:2048"], "RSA"],
    ["RSA 3072 with SHA-512", ["-newkey", "rsa:3072", "-sha512"], "RSA"],
  ])("of OpenSSL with %s, with names and extensions that are ignored", (_, options, kind) => {
    const names = ["-subj", "/C=XX/O=Somebody Else/CN=admin", "-addext", "subjectAltName=URI:spiffe://mesh.example/operator/root"];
    const made = openssl(Buffer.alloc(0), "req", "-new", "-nodes", "-keyout", "/dev/null", "-outform", "DER", ...options, ...names);
    expect(checkCsr(made.stdout).kind).toBe(kind);
  });

  test("of @peculiar/x509", async () => {
    const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
    const pair = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
    const extensions = [new peculiar.KeyUsagesExtension(peculiar.KeyUsageFlags.digitalSignature, true)];
    const request = await peculiar.Pkcs10CertificateRequestGenerator.create({
      name: "CN=x",
      keys: pair as never,
      signingAlgorithm: algorithm,
      extensions,
      attributes: [new peculiar.ChallengePasswordAttribute("secret")],
    });
    expect(checkCsr(Buffer.from(request.rawData)).kind).toBe("P-256");
  });

  test("asks, at most, not to be an authority", () => {
    expect(checkCsr(makeCsr({ attributes: extensionRequest(Ext.basic("3000"), Ext.keyUsage("03020780")) })).kind).toBe("P-256");
  });
});

describe("a request that is refused", () => {
  const rsa1024 = generateKeyPairSync("rsa", { modulusLength: 1024 });
  const p521 = generateKeyPairSync("ec", { namedCurve: "P-521" });
  const ed25519 = generateKeyPairSync("ed25519");

  test.each<[string, CaErrorCode, Buffer]>([
    ["nothing", "csr-malformed", Buffer.alloc(0)],
    ["octets after it", "csr-malformed", Buffer.concat([makeCsr(), hex("00")])],
    ["more than 8 KiB", "csr-too-large", Buffer.alloc(MAX_CSR_BYTES + 1, 0x30)],
    ["version 2", "csr-malformed", makeCsr({ version: hex("020101") })],
    ["a subject that is no name", "csr-malformed", makeCsr({ subject: hex("0500") })],
    ["attributes that are no set", "csr-malformed", makeCsr({ attributes: hex("3000") })],
    ["no attributes", "csr-malformed", makeCsr({ attributes: Buffer.alloc(0) })],
    ["a member too many", "csr-malformed", makeCsr({ attributes: hex("a0000500") })],
    [
      "RSA of 1024 bits",
      "csr-key",
      makeCsr({ publicKey: spkiOf(rsa1024.publicKey), signingKey: rsa1024.privateKey, algorithm: SHA256_WITH_RSA }),
    ],
    ["P-521", "csr-key", makeCsr({ publicKey: spkiOf(p521.publicKey), signingKey: p521.privateKey })],
    ["Ed25519", "csr-key", makeCsr({ publicKey: spkiOf(ed25519.publicKey) })],
    [
      "a compressed point",
      "csr-key",
      makeCsr({ publicKey: hex("3039301306072a8648ce3d020106082a8648ce3d030107032200 02".concat("11".repeat(32))) }),
    ],
    [
      "a point off its curve",
      "csr-key",
      makeCsr({ publicKey: hex("3059301306072a8648ce3d020106082a8648ce3d030107034200 04".concat("11".repeat(64))) }),
    ],
    ["the signature of another key", "csr-signature", makeCsr({ signingKey: newKeys().privateKey })],
    ["a signature over another hash", "csr-signature", makeCsr({ hash: "sha384" })],
    ["an algorithm of another kind of key", "csr-signature", makeCsr({ algorithm: SHA256_WITH_RSA })],
    ["ECDSA with SHA-1", "csr-algorithm", makeCsr({ algorithm: hex("300906072a8648ce3d0401"), hash: "sha1" })],
    ["cA true", "csr-asks-for-authority", makeCsr({ attributes: extensionRequest(Ext.basic("30030101ff")) })],
    ["cA true, not critical", "csr-asks-for-authority", makeCsr({ attributes: extensionRequest(Ext.basic("30030101ff", false)) })],
    ["keyCertSign", "csr-asks-for-authority", makeCsr({ attributes: extensionRequest(Ext.keyUsage("03020204", false)) })],
    ["cRLSign", "csr-asks-for-authority", makeCsr({ attributes: extensionRequest(Ext.keyUsage("03020102")) })],
    ["an extension twice", "csr-malformed", makeCsr({ attributes: extensionRequest(Ext.basic("3000"), Ext.basic("3000")) })],
    ["malformed extensions", "csr-malformed", makeCsr({ attributes: extensionRequest(extension("2.5.29.19", true, hex("ff"))) })],
    ["a certificate instead", "csr-malformed", encodeSequence(EMPTY, ECDSA_SHA256, encodeBitString(name("x")))],
  ])("%s", (_, code, der) => {
    expect(() => checkCsr(der)).toThrow(failsWith(code));
  });

  test("cut at any octet, or with any octet changed", () => {
    const der = makeCsr();
    for (let length = 0; length < der.length; length++) expect(() => checkCsr(der.subarray(0, length))).toThrow(failsWith("csr-malformed"));
    assert(
      property(integer({ min: 0, max: der.length - 1 }), integer({ min: 1, max: 255 }), (index, mask) => {
        const altered = Buffer.from(der);
        altered[index]! ^= mask;
        expect(() => checkCsr(altered)).toThrow(CaError);
      }),
      { numRuns: 500 },
    );
  });

  test("any octets at all", () => {
    assert(
      property(uint8Array({ maxLength: 300 }), (octets) => {
        expect(() => checkCsr(Buffer.from(octets))).toThrow(CaError);
      }),
    );
  });
});
