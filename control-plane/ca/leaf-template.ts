/**
 * Writes leaf certificates. Hot path: the profile is fixed, so whatever does not differ between two leaves of an issuer is encoded once, and
 * a leaf is its few own parts put between, and one signature.
 */
import { sign } from "node:crypto";
import type { SpiffeId } from "../../common/spiffe/id.ts";
import { encodeBitString, encodeSequence, encodeTime, encodeUnsigned } from "../../common/x509/der-write.ts";
import { ExtendedKeyUsage, KeyUsage } from "../../common/x509/extension.ts";
import { ecdsaWithSha256 } from "../../common/x509/signature-algorithm.ts";
import { encodeExtensions, version3 } from "./authority-certificate.ts";
import type { SigningAuthority } from "./authority-certificate.ts";
import {
  encodeAuthorityKeyIdentifier,
  encodeBasicConstraints,
  encodeExtendedKeyUsage,
  encodeKeyUsage,
  encodeSubjectKeyIdentifier,
  encodeSubjectUri,
} from "./extension-encoding.ts";

export interface LeafContents {
  readonly spiffeId: SpiffeId;
  /** Magnitude, most significant octet first. */
  readonly serial: Buffer;
  /** Seconds since 1970. */
  readonly notBefore: number;
  /** Seconds since 1970. */
  readonly notAfter: number;
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKey: Buffer;
  /** Of that key, 20 octets. */
  readonly keyIdentifier: Buffer;
}

/** Returns DER. Checks nothing: what comes out is checked before it leaves. */
export type SignLeaf = (contents: LeafContents) => Buffer;

const emptyName = encodeSequence();

export function createLeafTemplate(issuer: SigningAuthority): SignLeaf {
  const algorithmAndIssuer = Buffer.concat([ecdsaWithSha256, issuer.certificate.subject]);
  const sharedExtensions = Buffer.concat([
    encodeBasicConstraints(undefined),
    encodeKeyUsage(KeyUsage.DIGITAL_SIGNATURE),
    encodeExtendedKeyUsage([ExtendedKeyUsage.SERVER_AUTH, ExtendedKeyUsage.CLIENT_AUTH]),
    encodeAuthorityKeyIdentifier(Buffer.from(issuer.certificate.ski, "hex")),
  ]);
  return ({ spiffeId, serial, notBefore, notAfter, publicKey, keyIdentifier }) => {
    const signed = encodeSequence(
      version3,
      encodeUnsigned(serial),
      algorithmAndIssuer,
      encodeSequence(encodeTime(notBefore), encodeTime(notAfter)),
      emptyName,
      publicKey,
      encodeExtensions(sharedExtensions, encodeSubjectKeyIdentifier(keyIdentifier), encodeSubjectUri(spiffeId, true)),
    );
    return encodeSequence(signed, ecdsaWithSha256, encodeBitString(sign("sha256", signed, issuer.privateKey)));
  };
}
