/**
 * Which public keys may be certified or may certify: EC on P-256 or P-384 (uncompressed points), RSA of 2048 to 8192 bits.
 * Looks at the encoding alone; that a point is on its curve is found when the key is first used.
 */
import { hash } from "node:crypto";
import { childrenOf, DerError, expectTag, integerOf, octetsOfBitString, oidOf, readDer, Tag } from "./der.ts";
import type { DerNode } from "./der.ts";
import { X509ProfileError } from "./error.ts";

export type KeyKind = "P-256" | "P-384" | "RSA";

const EC_PUBLIC_KEY = "1.2.840.10045.2.1";
const RSA_ENCRYPTION = "1.2.840.113549.1.1.1";
const CURVES = new Map<string, { readonly kind: KeyKind; readonly pointBytes: number }>([
  ["1.2.840.10045.3.1.7", { kind: "P-256", pointBytes: 65 }],
  ["1.3.132.0.34", { kind: "P-384", pointBytes: 97 }],
]);

function refuse(message: string): never {
  throw new X509ProfileError("public-key", message);
}

function checkRsaKey(key: Buffer): void {
  const [modulusNode, exponentNode, ...rest] = childrenOf(readDer(key));
  const modulus = integerOf(modulusNode);
  const exponent = integerOf(exponentNode);
  if (rest.length > 0) refuse("an RSA key has more than a modulus and an exponent");
  if (modulus[0]! > 0x7f || exponent[0]! > 0x7f) refuse("an RSA key has a negative number");
  const magnitude = modulus[0] === 0 ? modulus.subarray(1) : modulus;
  const bits = magnitude.length === 0 ? 0 : magnitude.length * 8 - Math.clz32(magnitude[0]!) + 24;
  if (bits < 2048 || bits > 8192) refuse(`an RSA key has ${bits} bits: 2048 to 8192 are accepted`);
  const value = exponent.length > 5 ? 0 : exponent.readUIntBE(0, exponent.length);
  if (value < 65_537 || value % 2 === 0) refuse("an RSA key's exponent is not an odd number from 65537 to 2^32");
}

/**
 * Checks a SubjectPublicKeyInfo (RFC 5280 4.1.2.7, RFC 5480, RFC 8017) and says what it holds.
 * Throws X509ProfileError `public-key`, or DerError.
 */
export function checkPublicKey(spki: DerNode): { kind: KeyKind; keyBits: Buffer } {
  const [algorithm, bits, ...rest] = childrenOf(spki);
  const [oid, parameters, ...moreParameters] = childrenOf(algorithm);
  const keyBits = octetsOfBitString(bits);
  if (rest.length > 0 || moreParameters.length > 0) throw new DerError("trailing-bytes", "a public key has more members than its type");
  switch (oidOf(oid)) {
    case EC_PUBLIC_KEY: {
      const curve = CURVES.get(oidOf(parameters));
      if (curve === undefined) refuse("an EC key is on a curve other than P-256 and P-384");
      if (keyBits[0] !== 0x04 || keyBits.length !== curve.pointBytes) refuse("an EC key is not an uncompressed point of its curve");
      return { kind: curve.kind, keyBits };
    }
    case RSA_ENCRYPTION:
      if (expectTag(parameters, Tag.NULL).content.length > 0) throw new DerError("value-encoding", "a NULL is not empty");
      checkRsaKey(keyBits);
      return { kind: "RSA", keyBits };
    default:
      return refuse("a key is neither EC nor RSA");
  }
}

/** Key identifier of a key: the first 160 bits of the SHA-256 of its bits (RFC 7093 2, method 1), 20 octets. */
export function keyIdentifierOf(keyBits: Buffer): Buffer {
  return hash("sha256", keyBits, "buffer").subarray(0, 20);
}
