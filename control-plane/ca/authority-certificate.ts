/** Makes the certificates of the authority itself: a root that signs itself, and an issuer under it. */
import { generateKeyPairSync, sign } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { forTrustDomain } from "../../common/spiffe/id.ts";
import type { TrustDomain } from "../../common/spiffe/trust-domain.ts";
import type { AuthorityCertificate } from "../../common/x509/ca-profile.ts";
import { checkAuthority } from "../../common/x509/ca-profile.ts";
import { encode, encodeBitString, encodeOid, encodeSequence, encodeTime, encodeUnsigned } from "../../common/x509/der-write.ts";
import { readDer, Tag } from "../../common/x509/der.ts";
import { KeyUsage } from "../../common/x509/extension.ts";
import { checkPublicKey, keyIdentifierOf } from "../../common/x509/public-key.ts";
import { ecdsaWithSha256 } from "../../common/x509/signature-algorithm.ts";
import {
  encodeAuthorityKeyIdentifier,
  encodeBasicConstraints,
  encodeKeyUsage,
  encodeSubjectKeyIdentifier,
  encodeSubjectUri,
} from "./extension-encoding.ts";
import { createSerial } from "./serial.ts";

/** A certificate and the key it certifies. */
export interface SigningAuthority {
  readonly certificate: AuthorityCertificate;
  readonly privateKey: KeyObject;
}

export interface AuthorityPlan {
  readonly trustDomain: TrustDomain;
  /** Start of the common name; part of the key's identifier follows, so that no two authorities share a name. */
  readonly name: string;
  /** Seconds since 1970. */
  readonly notBefore: number;
  /** Seconds since 1970. */
  readonly notAfter: number;
  /** How many intermediates may follow below it. */
  readonly pathLength: number;
  /** Undefined for a root. */
  readonly issuer?: SigningAuthority;
}

const ORGANIZATION = "2.5.4.10";
const COMMON_NAME = "2.5.4.3";
const VERSION_TAG = 0xa0;
const EXTENSIONS_TAG = 0xa3;
export const version3 = encode(VERSION_TAG, encodeUnsigned(Buffer.of(2)));

function encodeName(organization: string, commonName: string): Buffer {
  const attribute = (oid: string, value: string) =>
    encode(Tag.SET, encodeSequence(encodeOid(oid), encode(Tag.UTF8_STRING, Buffer.from(value, "utf8"))));
  return encodeSequence(attribute(ORGANIZATION, organization), attribute(COMMON_NAME, commonName));
}

export function encodeExtensions(...extensions: readonly Buffer[]): Buffer {
  return encode(EXTENSIONS_TAG, encodeSequence(...extensions));
}

/** A new P-256 key and its certificate, held to the profile of an authority. */
export function createSigningAuthority(plan: AuthorityPlan): SigningAuthority {
  const keys = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const publicKey = keys.publicKey.export({ format: "der", type: "spki" });
  const identifier = keyIdentifierOf(checkPublicKey(readDer(publicKey)).keyBits);
  const subject = encodeName("Countersign", `${plan.name} ${identifier.toString("hex", 0, 8)}`);
  const issuer = plan.issuer?.certificate;
  const signed = encodeSequence(
    version3,
    encodeUnsigned(createSerial()),
    ecdsaWithSha256,
    issuer?.subject ?? subject,
    encodeSequence(encodeTime(plan.notBefore), encodeTime(plan.notAfter)),
    subject,
    publicKey,
    encodeExtensions(
      encodeBasicConstraints(plan.pathLength),
      encodeKeyUsage(KeyUsage.KEY_CERT_SIGN | KeyUsage.CRL_SIGN),
      encodeSubjectKeyIdentifier(identifier),
      encodeAuthorityKeyIdentifier(issuer === undefined ? identifier : Buffer.from(issuer.ski, "hex")),
      encodeSubjectUri(forTrustDomain(plan.trustDomain), false),
    ),
  );
  const signature = sign("sha256", signed, plan.issuer?.privateKey ?? keys.privateKey);
  const der = encodeSequence(signed, ecdsaWithSha256, encodeBitString(signature));
  return { certificate: checkAuthority(der, plan.trustDomain), privateKey: keys.privateKey };
}
