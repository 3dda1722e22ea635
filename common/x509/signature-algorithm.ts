/** The signature algorithms that certificates and CSRs may carry: ECDSA and RSA PKCS#1 v1.5 over SHA-2. */
import { verify } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { encodeOid, encodeSequence } from "./der-write.ts";
import { childrenOf, DerError, expectTag, oidOf, Tag } from "./der.ts";
import type { DerNode } from "./der.ts";
import { X509ProfileError } from "./error.ts";
import type { KeyKind } from "./public-key.ts";

export interface SignatureAlgorithm {
  readonly hash: "sha256" | "sha384" | "sha512";
  readonly family: "EC" | "RSA";
}

const ECDSA_WITH_SHA256 = "1.2.840.10045.4.3.2";
const ALGORITHMS = new Map<string, SignatureAlgorithm>([
  [ECDSA_WITH_SHA256, { hash: "sha256", family: "EC" }],
  ["1.2.840.10045.4.3.3", { hash: "sha384", family: "EC" }],
  ["1.2.840.10045.4.3.4", { hash: "sha512", family: "EC" }],
  ["1.2.840.113549.1.1.11", { hash: "sha256", family: "RSA" }],
  ["1.2.840.113549.1.1.12", { hash: "sha384", family: "RSA" }],
  ["1.2.840.113549.1.1.13", { hash: "sha512", family: "RSA" }],
]);

/** AlgorithmIdentifier of ECDSA with SHA-256 (RFC 5758 3.2), which everything made here is signed with. */
export const ecdsaWithSha256 = encodeSequence(encodeOid(ECDSA_WITH_SHA256));

/** Reads an AlgorithmIdentifier. Throws X509ProfileError `signature-algorithm`, or DerError. */
export function signatureAlgorithmOf(node: DerNode | undefined): SignatureAlgorithm {
  const [oid, parameters, ...rest] = childrenOf(node);
  const algorithm = ALGORITHMS.get(oidOf(oid));
  if (algorithm === undefined) throw new X509ProfileError("signature-algorithm", "signed with an algorithm that is not accepted");
  // RFC 5758 3.2: no parameters for ECDSA; RFC 4055 5: NULL for RSA.
  if (algorithm.family === "EC" ? parameters !== undefined : expectTag(parameters, Tag.NULL).content.length > 0 || rest.length > 0) {
    throw new DerError("value-encoding", "a signature algorithm has parameters it must not have");
  }
  return algorithm;
}

/** Whether `signature` over `signed` is that of `key`, whose kind must fit the algorithm. */
export function verifySignature(algorithm: SignatureAlgorithm, signed: Buffer, signature: Buffer, key: KeyObject, kind: KeyKind): boolean {
  if ((kind === "RSA") !== (algorithm.family === "RSA")) return false;
  return verify(algorithm.hash, signed, key, signature);
}
