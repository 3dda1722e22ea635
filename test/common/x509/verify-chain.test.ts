import { beforeAll, describe, expect, test } from "vitest";
import { trustDomainFromString } from "../../../common/spiffe/trust-domain.ts";
import { createTrustBundle } from "../../../common/x509/bundle.ts";
import type { TrustBundles } from "../../../common/x509/bundle.ts";
import { X509ProfileError } from "../../../common/x509/error.ts";
import type { X509ProfileErrorCode } from "../../../common/x509/error.ts";
import { encode, encodeOid, encodeSequence } from "../../../common/x509/der-write.ts";
import { MAX_CHAIN_LENGTH, verifyPeer } from "../../../common/x509/verify-chain.ts";
import {
  dnsName,
  EMPTY,
  Ext,
  extension,
  hex,
  LEAF_ID,
  leafExtensions,
  makeAuthority,
  makeLeaf,
  newKeys,
  NOW,
  SERVER_AUTH,
  validity,
} from "./certificate-maker.ts";
import type { MadeAuthority } from "./certificate-maker.ts";

const failsWith = (code: X509ProfileErrorCode) => expect.objectContaining({ name: "X509ProfileError", code });
const home = trustDomainFromString("mesh.example");
const foreign = trustDomainFromString("other.example");

const bundlesOf = (...roots: MadeAuthority[]): TrustBundles =>
  new Map([
    [
      home,
      createTrustBundle(
        home,
        roots.map(({ der }) => der),
      ),
    ],
  ]);

describe("a chain", () => {
  let root: MadeAuthority;
  let issuer: MadeAuthority;
  let bundles: TrustBundles;
  beforeAll(() => {
    root = makeAuthority();
    issuer = makeAuthority({ issuer: root, constraints: "30060101ff020100" });
    bundles = bundlesOf(root);
  });

  test("to an authority of the bundle proves the id", () => {
    const leaf = makeLeaf(issuer);
    expect(verifyPeer([leaf, issuer.der], bundles, NOW)).toMatchObject({ spiffeId: LEAF_ID, notAfter: NOW + 3600 });
    expect(verifyPeer([makeLeaf(root)], bundles, NOW).spiffeId).toBe(LEAF_ID);
  });

  test("may bring the root along, and intermediates in any order, and some that lead nowhere", () => {
    const [a, b] = [makeAuthority({ issuer: root }), makeAuthority()];
    const c = makeAuthority({ issuer: a });
    const leaf = makeLeaf(c);
    expect(verifyPeer([leaf, c.der, a.der, root.der], bundles, NOW).spiffeId).toBe(LEAF_ID);
    expect(verifyPeer([leaf, root.der, b.der, a.der, c.der], bundles, NOW).spiffeId).toBe(LEAF_ID);
  });

  test("may end at an intermediate that the bundle itself holds", () => {
    expect(verifyPeer([makeLeaf(issuer)], bundlesOf(issuer), NOW).spiffeId).toBe(LEAF_ID);
  });

  test("is good by either root while they rotate, also where both have one name", () => {
    const [old, next] = [makeAuthority({ commonName: "Root" }), makeAuthority({ commonName: "Root" })];
    for (const signer of [old, next]) expect(verifyPeer([makeLeaf(signer)], bundlesOf(old, next), NOW).spiffeId).toBe(LEAF_ID);
  });

  test("is good by an authority that has another certificate with the same key", () => {
    const keys = newKeys();
    const expired = makeAuthority({ commonName: "Issuer", issuer: root, keys, notAfter: NOW - 1 });
    const renewed = makeAuthority({ commonName: "Issuer", issuer: root, keys, extensions: { ski: Ext.ski(expired.keyId) } });
    const leaf = makeLeaf(expired);
    expect(verifyPeer([leaf, expired.der, renewed.der], bundles, NOW).spiffeId).toBe(LEAF_ID);
    expect(() => verifyPeer([leaf, expired.der], bundles, NOW)).toThrow(failsWith("expired"));
  });

  test("is good from its first second to its last", () => {
    const leaf = makeLeaf(root, { validity: validity(NOW - 10, NOW + 10) });
    for (const now of [NOW - 10, NOW + 10]) expect(verifyPeer([leaf], bundles, now).spiffeId).toBe(LEAF_ID);
    expect(() => verifyPeer([leaf], bundles, NOW - 11)).toThrow(failsWith("not-yet-valid"));
    expect(() => verifyPeer([leaf], bundles, NOW + 11)).toThrow(failsWith("expired"));
  });

  test("with a leaf that is revoked is refused, after everything else was found good", () => {
    const leaf = makeLeaf(root);
    const asked: string[] = [];
    const isRevoked = ({ spiffeId, serial }: { spiffeId: string; serial: string }) => asked.push(`${spiffeId} ${serial}`) > 0;
    expect(() => verifyPeer([leaf], bundles, NOW, { isRevoked })).toThrow(failsWith("revoked"));
    expect(() => verifyPeer([makeLeaf(makeAuthority())], bundles, NOW, { isRevoked })).toThrow(failsWith("unknown-issuer"));
    expect(asked).toEqual([`${LEAF_ID} 01`]);
    expect(verifyPeer([leaf], bundles, NOW, { isRevoked: () => false }).spiffeId).toBe(LEAF_ID);
  });

  describe("is refused:", () => {
    const codeOf = (chain: readonly Buffer[], by: TrustBundles = bundles, now = NOW): X509ProfileErrorCode | undefined => {
      try {
        verifyPeer(chain, by, now);
        return undefined;
      } catch (error) {
        if (error instanceof X509ProfileError) return error.code;
        throw error;
      }
    };

    test("no certificate, or too many", () => {
      expect(codeOf([])).toBe("chain-length");
      expect(codeOf(Array.from({ length: MAX_CHAIN_LENGTH + 1 }, () => makeLeaf(root)))).toBe("chain-length");
    });

    test("an authority nobody knows, by name or by key", () => {
      expect(codeOf([makeLeaf(makeAuthority())])).toBe("unknown-issuer");
      expect(codeOf([makeLeaf(issuer)])).toBe("unknown-issuer");
      const namesake = makeAuthority({ commonName: "Twin" });
      expect(codeOf([makeLeaf(makeAuthority({ commonName: "Twin" }))], bundlesOf(namesake))).toBe("unknown-issuer");
    });

    test("an impostor that takes name and key identifier of the root", () => {
      expect(codeOf([makeLeaf({ ...root, privateKey: newKeys().privateKey })])).toBe("bad-signature");
      const impostor = { ...issuer, privateKey: newKeys().privateKey };
      expect(codeOf([makeLeaf(impostor), issuer.der])).toBe("bad-signature");
    });

    test("an intermediate that the root did not sign", () => {
      const forged = makeAuthority({ issuer: { ...root, privateKey: newKeys().privateKey } });
      expect(codeOf([makeLeaf(forged), forged.der])).toBe("bad-signature");
    });

    test("a leaf or an intermediate altered after it was signed", () => {
      const leaf = makeLeaf(root);
      leaf[leaf.indexOf("orders")]! ^= 1;
      expect(codeOf([leaf])).toBe("bad-signature");
    });

    test("a leaf that signs a leaf", () => {
      const holder = newKeys();
      const middle = makeLeaf(root, { publicKey: holder.publicKey.export({ format: "der", type: "spki" }) });
      const made = { der: middle, subject: EMPTY, keyId: Buffer.alloc(20, 0xbb), privateKey: holder.privateKey };
      expect(codeOf([makeLeaf(made), middle])).toBe("issuer");
      expect(codeOf([makeLeaf({ ...made, subject: root.subject }), middle])).toBe("subject");
    });

    test("an intermediate that is no authority", () => {
      for (const [code, extensions] of [
        ["basic-constraints", { basic: Ext.basic("3000") }],
        ["basic-constraints", { basic: undefined }],
        ["basic-constraints", { basic: Ext.basic("30030101ff", false) }],
        ["key-usage", { keyUsage: Ext.keyUsage("03020780") }],
        ["key-usage", { keyUsage: Ext.keyUsage("03020106", false) }],
        ["key-usage", { keyUsage: undefined }],
        ["key-identifier", { ski: undefined }],
        ["extended-key-usage", { purposes: Ext.purposes(SERVER_AUTH) }],
        ["unknown-critical-extension", { other: extension("2.5.29.30", true, EMPTY) }],
        ["spiffe-id", { san: Ext.uri("spiffe://other.example") }],
        ["spiffe-id", { san: Ext.uri(LEAF_ID) }],
        ["subject-alternative-name", { san: Ext.names(false, dnsName("mesh.example")) }],
      ] as const) {
        const middle = makeAuthority({ issuer: root, extensions });
        expect(codeOf([makeLeaf(middle), middle.der])).toBe(code);
      }
    });

    test("more intermediates than an authority allows", () => {
      const below = makeAuthority({ issuer });
      expect(codeOf([makeLeaf(below), below.der, issuer.der])).toBe("path-length");
      const strictRoot = makeAuthority({ constraints: "30060101ff020100" });
      const middle = makeAuthority({ issuer: strictRoot });
      expect(codeOf([makeLeaf(middle), middle.der], bundlesOf(strictRoot))).toBe("path-length");
    });

    test("an authority out of its time, although the leaf is in its own", () => {
      expect(codeOf([makeLeaf(root)], bundlesOf(root), NOW + 86_401)).toBe("expired");
      const wide = validity(NOW - 86_400, NOW + 10 * 86_400);
      expect(codeOf([makeLeaf(root, { validity: wide })], bundlesOf(root), NOW + 86_401)).toBe("expired");
      expect(codeOf([makeLeaf(root, { validity: wide })], bundlesOf(root), NOW - 3601)).toBe("not-yet-valid");
      const late = makeAuthority({ issuer: root, notBefore: NOW + 60 });
      expect(codeOf([makeLeaf(late), late.der])).toBe("not-yet-valid");
    });

    test("another trust domain's id, whoever signed it", () => {
      expect(codeOf([makeLeaf(root, { id: "spiffe://other.example/ns/shop/sa/orders" })])).toBe("unknown-trust-domain");
      const foreignRoot = makeAuthority();
      const both = new Map([...bundles, [foreign, createTrustBundle(foreign, [foreignRoot.der])]]);
      expect(codeOf([makeLeaf(root, { id: "spiffe://other.example/ns/shop/sa/orders" })], both)).toBe("unknown-issuer");
      expect(codeOf([makeLeaf(foreignRoot)], both)).toBe("unknown-issuer");
      expect(verifyPeer([makeLeaf(foreignRoot, { id: "spiffe://other.example/x" })], both, NOW).spiffeId).toBe("spiffe://other.example/x");
    });

    test("two authorities that certify each other, in the end", () => {
      const keys = [newKeys(), newKeys()] as const;
      const first = makeAuthority({ commonName: "A", keys: keys[0] });
      const second = makeAuthority({ commonName: "B", keys: keys[1], issuer: first });
      const crossed = makeAuthority({ commonName: "A", keys: keys[0], issuer: second, extensions: { ski: Ext.ski(first.keyId) } });
      expect(codeOf([makeLeaf(second), second.der, crossed.der, second.der, crossed.der])).toBe("unknown-issuer");
    });

    test("an RSA signature where the issuer has an EC key", () => {
      const rsa = hex("300d06092a864886f70d01010b0500");
      expect(codeOf([makeLeaf(root, { algorithm: rsa })])).toBe("bad-signature");
    });

    test("a leaf beyond the profile, before any signature is looked at", () => {
      const san = Ext.names(true, dnsName("orders"), encode(0x86, Buffer.from(LEAF_ID)));
      expect(codeOf([makeLeaf(root, { extensions: leafExtensions({ san }) })])).toBe("subject-alternative-name");
    });

    test("an intermediate whose key is not on its curve", () => {
      const point = Buffer.concat([hex("000401"), Buffer.alloc(63, 7)]);
      const offCurve = encodeSequence(
        encodeSequence(encodeOid("1.2.840.10045.2.1"), encodeOid("1.2.840.10045.3.1.7")),
        encode(0x03, point),
      );
      const bent = makeAuthority({ issuer: root });
      const extensions = [Ext.basic("30030101ff"), Ext.keyUsage("03020106"), Ext.ski(bent.keyId)];
      const der = makeLeaf(root, { subject: bent.subject, publicKey: offCurve, extensions });
      expect(codeOf([makeLeaf(bent), der])).toBe("public-key");
    });
  });
});
