/** The profile of a certificate that signs X509-SVIDs: a root or an intermediate (SPIFFE X509-SVID 3 and 4.1 to 4.3, RFC 5280 4.2.1). */
import { createPublicKey } from "node:crypto";
import type { KeyObject } from "node:crypto";
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
import type { TrustDomain } from "../spiffe/trust-domain.ts";

export interface AuthorityCertificate extends Certificate {
  /** Subject key identifier, lower-case hexadecimal. */
  readonly ski: string;
  /** Authority key identifier, lower-case hexadecimal; roots may lack it. */
  readonly aki: string | undefined;
  /** How many intermediates may stand between this one and a leaf; undefined for any number. */
  readonly pathLength: number | undefined;
  /** The key, ready to verify with. */
  readonly key: KeyObject;
}

const EMPTY_NAME_BYTES = 2;

function keyOf(certificate: Certificate): KeyObject {
  try {
    return createPublicKey({ key: certificate.publicKey, format: "der", type: "spki" });
  } catch (error) {
    throw new X509ProfileError("public-key", "an authority's key is not on its curve", { cause: error });
  }
}

/**
 * Reads one DER certificate, nothing after it, and holds it to the profile of an authority of `trustDomain`: a named subject,
 * `cA` true and key usage keyCertSign in critical extensions, a subject key identifier, no purposes that leave out TLS, and
 * where it has a subject alternative name, that is `spiffe://<trustDomain>` alone. Throws X509ProfileError.
 */
export function checkAuthority(der: Buffer, trustDomain: TrustDomain): AuthorityCertificate {
  const certificate = readCertificate(der);
  return asProfileError(() => {
    for (const name of [certificate.issuer, certificate.subject]) {
      if (name.length === EMPTY_NAME_BYTES) throw new X509ProfileError("subject", "an authority or its issuer is not named");
    }
    refuseUnknownCritical(certificate);
    const constraints = basicConstraintsOf(certificate);
    if (constraints?.ca !== true || !constraints.critical) {
      throw new X509ProfileError("basic-constraints", "an authority's basic constraints do not say so, or are not critical");
    }
    if ((keyUsageOf(certificate) & KeyUsage.KEY_CERT_SIGN) === 0) {
      throw new X509ProfileError("key-usage", "an authority's key usage lacks keyCertSign");
    }
    const purposes = extendedKeyUsageOf(certificate);
    if (purposes !== undefined && !(purposes.includes(ExtendedKeyUsage.SERVER_AUTH) && purposes.includes(ExtendedKeyUsage.CLIENT_AUTH))) {
      throw new X509ProfileError("extended-key-usage", "an authority's extended key usage leaves out serverAuth or clientAuth");
    }
    const name = subjectUriOf(certificate);
    if (name !== undefined && name.uri !== `spiffe://${trustDomain}`) {
      throw new X509ProfileError("spiffe-id", "an authority is named for something other than its trust domain");
    }
    const ski = subjectKeyIdentifierOf(certificate);
    if (!ski) throw new X509ProfileError("key-identifier", "an authority lacks a subject key identifier");
    const { pathLength } = constraints;
    return { ...certificate, ski, aki: authorityKeyIdentifierOf(certificate), pathLength, key: keyOf(certificate) };
  });
}
