/**
 * The strict profile of a leaf X509-SVID (SPIFFE X509-SVID 3 and 4, RFC 5280), checked by our own reading of the DER.
 *
 * OpenSSL accepts much of what is refused here: a second URI, other names beside it, a leaf that may sign certificates. The
 * certificate authority holds its own work to this before it leaves, and every sidecar holds its peers to it. Signatures,
 * validity against a clock and revocation are no matter of this file: `verify-chain.ts`.
 */
import { SpiffeIdError } from "../spiffe/error.ts";
import { fromString, pathOf } from "../spiffe/id.ts";
import type { SpiffeId } from "../spiffe/id.ts";
import { asProfileError, readCertificate } from "./certificate.ts";
import type { Certificate } from "./certificate.ts";
import { X509ProfileError } from "./error.ts";
import {
  authorityKeyIdentifierOf,
  basicConstraintsOf,
  extendedKeyUsageOf,
  ExtendedKeyUsage,
  KeyUsage,
  keyUsageOf,
  refuseUnknownCritical,
  subjectKeyIdentifierOf,
  subjectUriOf,
} from "./extension.ts";

export interface LeafCertificate {
  readonly spiffeId: SpiffeId;
  /** Seconds since 1970. */
  readonly notBefore: number;
  /** Seconds since 1970; the last second of validity. */
  readonly notAfter: number;
  /** Lower-case hexadecimal. */
  readonly serial: string;
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKey: Buffer;
  /** Subject key identifier, lower-case hexadecimal. */
  readonly ski: string;
  /** Authority key identifier, lower-case hexadecimal. */
  readonly aki: string;
}

/**
 * How long before its issuance a leaf begins, for peers whose clocks are behind. What is said of certificates issued before
 * some time has to reckon with it.
 */
export const BACK_DATE_SECONDS = 60;

const EMPTY_NAME_BYTES = 2;

function checkPurposes(certificate: Certificate): void {
  if (basicConstraintsOf(certificate)?.ca === true) throw new X509ProfileError("basic-constraints", "a leaf must not be an authority");
  if (basicConstraintsOf(certificate)?.pathLength !== undefined) {
    throw new X509ProfileError("basic-constraints", "a leaf must not bound a path");
  }
  if (keyUsageOf(certificate) !== KeyUsage.DIGITAL_SIGNATURE) {
    throw new X509ProfileError("key-usage", "a leaf's key usage is not digitalSignature alone");
  }
  const purposes = new Set(extendedKeyUsageOf(certificate));
  if (purposes.size !== 2 || !purposes.has(ExtendedKeyUsage.SERVER_AUTH) || !purposes.has(ExtendedKeyUsage.CLIENT_AUTH)) {
    throw new X509ProfileError("extended-key-usage", "a leaf's extended key usage is not serverAuth and clientAuth");
  }
}

function spiffeIdOf(certificate: Certificate): SpiffeId {
  const name = subjectUriOf(certificate);
  // RFC 5280 4.2.1.6: critical, because the subject is empty.
  if (name?.critical !== true) {
    throw new X509ProfileError("subject-alternative-name", "there is no critical subject alternative name");
  }
  try {
    const id = fromString(name.uri);
    if (pathOf(id) === "") throw new X509ProfileError("spiffe-id", "the SPIFFE id of a leaf has no path");
    return id;
  } catch (error) {
    if (!(error instanceof SpiffeIdError)) throw error;
    throw new X509ProfileError("spiffe-id", `the URI is not a SPIFFE id: ${error.message}`, { cause: error });
  }
}

/** Holds an already read certificate to the profile. Throws X509ProfileError. */
export function checkLeafProfile(certificate: Certificate): LeafCertificate {
  return asProfileError(() => {
    if (certificate.issuer.length === EMPTY_NAME_BYTES) throw new X509ProfileError("issuer", "the issuer is not named");
    if (certificate.subject.length !== EMPTY_NAME_BYTES) throw new X509ProfileError("subject", "the subject of a leaf is not empty");
    refuseUnknownCritical(certificate);
    checkPurposes(certificate);
    const [ski, aki] = [subjectKeyIdentifierOf(certificate), authorityKeyIdentifierOf(certificate)];
    if (!ski || !aki) throw new X509ProfileError("key-identifier", "a leaf lacks its own or its authority's key identifier");
    const { notBefore, notAfter, serial, publicKey } = certificate;
    return { spiffeId: spiffeIdOf(certificate), notBefore, notAfter, serial, publicKey, ski, aki };
  });
}

/**
 * Reads one DER certificate, nothing after it, and holds it to the profile of a leaf X509-SVID: an empty subject, one critical URI
 * that is a SPIFFE id with a path, no authority, key usage digitalSignature alone and critical, extended key usage serverAuth and
 * clientAuth, both key identifiers, no critical extension unknown here. Buffers of the result are views of `der`.
 * Throws X509ProfileError.
 */
export function checkLeaf(der: Buffer): LeafCertificate {
  return checkLeafProfile(readCertificate(der));
}
