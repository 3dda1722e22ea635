import { createHash, generateKeyPairSync, randomBytes, webcrypto, X509Certificate } from "node:crypto";
import { array, assert, asyncProperty, constantFrom, integer, stringMatching, tuple, uint8Array } from "fast-check";
import { expect, test } from "vitest";
import { fromString } from "../../../common/spiffe/id.ts";
import { trustDomainFromString } from "../../../common/spiffe/trust-domain.ts";
import { readDer } from "../../../common/x509/der.ts";
import { checkPublicKey, keyIdentifierOf } from "../../../common/x509/public-key.ts";
import { checkLeaf } from "../../../common/x509/svid-profile.ts";
import { createSigningAuthority } from "../../../control-plane/ca/authority-certificate.ts";
import { createLeafTemplate } from "../../../control-plane/ca/leaf-template.ts";
import { NOW } from "../../common/x509/certificate-maker.ts";
import { peculiar } from "../../common/x509/peculiar.ts";

const trustDomain = trustDomainFromString("mesh.example");
const issuer = createSigningAuthority({ trustDomain, name: "Issuer", notBefore: NOW, notAfter: NOW + 86_400, pathLength: 0 });
const signLeaf = createLeafTemplate(issuer);
const publicKeys = [
  generateKeyPairSync("ec", { namedCurve: "P-256" }),
  generateKeyPairSync("ec", { namedCurve: "P-384" }),
  generateKeyPairSync("rsa", { modulusLength: 2048 }),
].map(({ publicKey }) => publicKey.export({ format: "der", type: "spki" }));

const segment = stringMatching(/^[A-Za-z0-9_-][A-Za-z0-9._-]{0,40}$/);
const leaf = tuple(
  array(segment, { minLength: 1, maxLength: 12 }),
  uint8Array({ minLength: 16, maxLength: 16 }),
  integer({ min: 0, max: Date.UTC(2100, 0, 1) / 1000 }),
  integer({ min: 300, max: 86_400 }),
  constantFrom(...publicKeys),
).map(([path, random, notBefore, lifetime, publicKey]) => ({
  spiffeId: fromString(`spiffe://mesh.example/${path.join("/")}`),
  serial: Buffer.from([1, ...random]),
  notBefore,
  notAfter: notBefore + lifetime,
  publicKey,
  keyIdentifier: keyIdentifierOf(checkPublicKey(readDer(publicKey)).keyBits),
}));

test("a leaf is to the octet what @peculiar/x509 makes of the same contents, but for the signature", async () => {
  const pkcs8 = issuer.privateKey.export({ format: "der", type: "pkcs8" });
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const signingKey = await webcrypto.subtle.importKey("pkcs8", new Uint8Array(pkcs8), algorithm, true, ["sign"]);
  const issuerName = new peculiar.X509Certificate(issuer.certificate.der).issuerName;
  await assert(
    asyncProperty(leaf, async (contents) => {
      const ours = new peculiar.X509Certificate(signLeaf(contents));
      const theirs = await peculiar.X509CertificateGenerator.create({
        serialNumber: contents.serial.toString("hex"),
        issuer: issuerName,
        notBefore: new Date(contents.notBefore * 1000),
        notAfter: new Date(contents.notAfter * 1000),
        publicKey: new peculiar.PublicKey(contents.publicKey),
        signingKey,
        signingAlgorithm: algorithm,
        extensions: [
          new peculiar.BasicConstraintsExtension(false, undefined, true),
          new peculiar.KeyUsagesExtension(peculiar.KeyUsageFlags.digitalSignature, true),
          new peculiar.ExtendedKeyUsageExtension([peculiar.ExtendedKeyUsage.serverAuth, peculiar.ExtendedKeyUsage.clientAuth]),
          new peculiar.AuthorityKeyIdentifierExtension(issuer.certificate.ski),
          new peculiar.SubjectKeyIdentifierExtension(contents.keyIdentifier.toString("hex")),
          new peculiar.SubjectAlternativeNameExtension([{ type: "url", value: contents.spiffeId }], true),
        ],
      });
      const signedOf = (certificate: { readonly rawData: ArrayBuffer }) => {
        const signed = readDer(Buffer.from(certificate.rawData)).content;
        return signed.subarray(0, 4 + signed.readUInt16BE(2)).toString("hex");
      };
      expect(signedOf(ours)).toBe(signedOf(theirs));
      expect(await ours.verify({ publicKey: new peculiar.X509Certificate(issuer.certificate.der), signatureOnly: true })).toBe(true);
    }),
    { numRuns: 60 },
  );
});

test("a leaf reads alike to us and to OpenSSL, whatever its contents", async () => {
  const issuerKey = new X509Certificate(issuer.certificate.der).publicKey;
  await assert(
    asyncProperty(leaf, async (contents) => {
      const der = signLeaf(contents);
      const node = new X509Certificate(der);
      const ours = checkLeaf(der);
      expect(ours).toMatchObject({ spiffeId: contents.spiffeId, serial: contents.serial.toString("hex"), notAfter: contents.notAfter });
      expect(node.serialNumber.toLowerCase()).toBe(contents.serial.toString("hex"));
      expect([node.validFromDate.getTime() / 1000, node.validToDate.getTime() / 1000]).toEqual([contents.notBefore, contents.notAfter]);
      expect(node.subjectAltName).toBe(`URI:${contents.spiffeId}`);
      expect([node.subject, node.ca, node.verify(issuerKey)]).toEqual([undefined, false, true]);
      expect(node.publicKey.export({ format: "der", type: "spki" })).toEqual(contents.publicKey);
      expect(node.checkIssued(new X509Certificate(issuer.certificate.der))).toBe(true);
    }),
    { numRuns: 60 },
  );
});

test("a key identifier is the first 160 bits of the key's SHA-256 (RFC 7093 2, method 1)", () => {
  const keyBits = randomBytes(65);
  expect(keyIdentifierOf(keyBits)).toEqual(createHash("sha256").update(keyBits).digest().subarray(0, 20));
});
