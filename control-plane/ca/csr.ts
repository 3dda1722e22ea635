/**
 * Checks a PKCS#10 certification request (RFC 2986). It gives a public key and the proof that the caller holds the private one, and
 * nothing else: its names and attributes are ignored, but for one that asks for a certificate authority, which nobody gets by mistake.
 */
import { createPublicKey } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { readExtensions } from "../../common/x509/certificate.ts";
import {
  childrenOf,
  DerError,
  encodedOf,
  expectTag,
  namedBitsOf,
  octetsOfBitString,
  oidOf,
  readDer,
  smallIntegerOf,
  Tag,
} from "../../common/x509/der.ts";
import type { DerNode } from "../../common/x509/der.ts";
import { X509ProfileError } from "../../common/x509/error.ts";
import { basicConstraintsOf, ExtensionOid, KeyUsage } from "../../common/x509/extension.ts";
import { checkPublicKey, keyIdentifierOf } from "../../common/x509/public-key.ts";
import type { KeyKind } from "../../common/x509/public-key.ts";
import { signatureAlgorithmOf, verifySignature } from "../../common/x509/signature-algorithm.ts";
import { CaError } from "./error.ts";

/** A key that its holder proved to hold. */
export interface ProvenKey {
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKey: Buffer;
  readonly kind: KeyKind;
  /** Its key identifier, 20 octets. */
  readonly identifier: Buffer;
}

export const MAX_CSR_BYTES = 8192;
const ATTRIBUTES_TAG = 0xa0;
const EXTENSION_REQUEST = "1.2.840.113549.1.9.14";

/** RFC 2985 5.4.2. */
function refuseAuthority(attributes: DerNode | undefined): void {
  for (const attribute of childrenOf(attributes, ATTRIBUTES_TAG)) {
    const [type, values] = childrenOf(attribute);
    if (oidOf(type) !== EXTENSION_REQUEST) continue;
    for (const list of childrenOf(values, Tag.SET)) {
      const extensions = readExtensions(list);
      const keyUsage = extensions.get(ExtensionOid.KEY_USAGE);
      const usages = keyUsage === undefined ? 0 : namedBitsOf(readDer(keyUsage.value));
      if (basicConstraintsOf({ extensions })?.ca === true || (usages & (KeyUsage.KEY_CERT_SIGN | KeyUsage.CRL_SIGN)) !== 0) {
        throw new CaError("csr-asks-for-authority", "the request asks for the certificate of an authority");
      }
    }
  }
}

function importKey(publicKey: Buffer): KeyObject {
  try {
    return createPublicKey({ key: publicKey, format: "der", type: "spki" });
  } catch (error) {
    throw new CaError("csr-key", "the request's key is not on its curve", { cause: error });
  }
}

function readRequest(der: Buffer): ProvenKey {
  const [info, algorithmNode, signature, ...rest] = childrenOf(readDer(der));
  const [version, subject, publicKeyNode, attributes, ...infoRest] = childrenOf(info);
  if (rest.length > 0 || infoRest.length > 0) throw new DerError("trailing-bytes", "the request has more members than its type");
  if (smallIntegerOf(version) !== 0) throw new DerError("value-encoding", "the request is not of version 1");
  expectTag(subject, Tag.SEQUENCE);
  const keyNode = expectTag(publicKeyNode, Tag.SEQUENCE);
  const { kind, keyBits } = checkPublicKey(keyNode);
  const publicKey = encodedOf(keyNode);
  refuseAuthority(attributes);
  const algorithm = signatureAlgorithmOf(algorithmNode);
  if (!verifySignature(algorithm, encodedOf(info!), octetsOfBitString(signature), importKey(publicKey), kind)) {
    throw new CaError("csr-signature", "the request is not signed with its own key");
  }
  return { publicKey, kind, identifier: keyIdentifierOf(keyBits) };
}

/**
 * `der` is one request and nothing after it, at most 8 KiB, with an EC key on P-256 or P-384 or an RSA key of 2048 to 8192 bits, signed with it.
 * Throws CaError: `csr-too-large`, `csr-malformed`, `csr-key`, `csr-algorithm`, `csr-signature`, `csr-asks-for-authority`.
 */
export function checkCsr(der: Buffer): ProvenKey {
  if (der.length > MAX_CSR_BYTES) throw new CaError("csr-too-large", `the request is over ${MAX_CSR_BYTES} octets`);
  try {
    return readRequest(der);
  } catch (error) {
    if (error instanceof DerError) throw new CaError("csr-malformed", `the request is malformed: ${error.message}`, { cause: error });
    if (!(error instanceof X509ProfileError)) throw error;
    const code = error.code === "public-key" ? "csr-key" : error.code === "signature-algorithm" ? "csr-algorithm" : "csr-malformed";
    throw new CaError(code, `the request is refused: ${error.message}`, { cause: error });
  }
}
