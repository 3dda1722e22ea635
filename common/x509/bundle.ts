/**
 * A trust bundle: the authorities that may vouch for one trust domain, and for no other (SPIFFE Trust Domain and Bundle 4).
 *
 * Every authority is read and held to its profile when the bundle is made, so verification never meets a malformed one. An
 * authority is an anchor whether it is self-signed or not: its key is trusted because it is in the bundle.
 */
import { checkAuthority } from "./ca-profile.ts";
import type { AuthorityCertificate } from "./ca-profile.ts";
import { X509ProfileError } from "./error.ts";
import { certificatesFromPem, certificatesToPem } from "./pem.ts";
import type { TrustDomain } from "../spiffe/trust-domain.ts";

export interface TrustBundle {
  /** Name without scheme: `example.org`. */
  readonly trustDomain: TrustDomain;
  readonly authorities: readonly AuthorityCertificate[];
}

/** The bundles one verifies by, by trust domain. Never pooled. */
export type TrustBundles = ReadonlyMap<TrustDomain, TrustBundle>;

/** More than any rotation overlaps, few enough that trying each is cheap. */
export const MAX_AUTHORITIES = 64;

/** `authorities` are DER certificates, at least one; doubles count once. Throws X509ProfileError. */
export function createTrustBundle(trustDomain: TrustDomain, authorities: readonly Buffer[]): TrustBundle {
  const distinct = new Map(authorities.map((der) => [der.toString("latin1"), der]));
  if (distinct.size === 0 || distinct.size > MAX_AUTHORITIES) {
    throw new X509ProfileError("bundle", `a bundle has 1 to ${MAX_AUTHORITIES} authorities, not ${distinct.size}`);
  }
  return { trustDomain, authorities: [...distinct.values()].map((der) => checkAuthority(der, trustDomain)) };
}

/** Throws X509ProfileError. */
export function bundleFromPem(trustDomain: TrustDomain, pem: string): TrustBundle {
  return createTrustBundle(trustDomain, certificatesFromPem(pem));
}

export function bundleToPem(bundle: TrustBundle): string {
  return certificatesToPem(bundle.authorities.map(({ der }) => der));
}
