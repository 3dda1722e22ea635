/**
 * Decides whether a peer's certificate chain proves a SPIFFE id, by the bundle of that id's own trust domain.
 *
 * It is asked after the TLS handshake and trusts nothing of OpenSSL's opinion: chain, profile, validity, names, key identifiers, path
 * lengths and signatures are looked at here (RFC 5280 6.1, SPIFFE X509-SVID 5). Possession of the leaf's key is what the
 * handshake itself proved.
 */
import type { TrustBundles } from "./bundle.ts";
import { trustDomainOf } from "../spiffe/id.ts";
import { checkAuthority } from "./ca-profile.ts";
import type { AuthorityCertificate } from "./ca-profile.ts";
import { readCertificate } from "./certificate.ts";
import type { Certificate } from "./certificate.ts";
import { X509ProfileError } from "./error.ts";
import { authorityKeyIdentifierOf } from "./extension.ts";
import { verifySignature } from "./signature-algorithm.ts";
import { checkLeafProfile } from "./svid-profile.ts";
import type { LeafCertificate } from "./svid-profile.ts";

export interface VerifyOptions {
  /** Whether the leaf is refused although its chain is good. */
  readonly isRevoked?: (leaf: LeafCertificate) => boolean;
}

/** The leaf and four others: a mesh's own chains are of two. */
export const MAX_CHAIN_LENGTH = 5;

/** Signatures looked at before a chain is given up, so that many alike authorities cannot keep a core busy. */
const MAX_SIGNATURES = 16;

function checkValidity(certificate: Certificate, now: number): void {
  if (now < certificate.notBefore) throw new X509ProfileError("not-yet-valid", "a certificate of the chain is not valid yet");
  if (now > certificate.notAfter) throw new X509ProfileError("expired", "a certificate of the chain has expired");
}

interface Search {
  readonly anchors: readonly AuthorityCertificate[];
  readonly intermediates: readonly AuthorityCertificate[];
  readonly now: number;
  signaturesLeft: number;
  /** Why the last authority of a fitting name did not do. */
  failure: X509ProfileError;
}

function mayHaveIssued(issuer: AuthorityCertificate, certificate: Certificate, aki: string | undefined): boolean {
  return issuer.subject.equals(certificate.issuer) && (aki === undefined || aki === issuer.ski);
}

/** `below` counts the intermediates between `certificate`'s issuer and the leaf. */
function findPath(search: Search, certificate: Certificate, aki: string | undefined, below: number): boolean {
  const tryIssuer = (issuer: AuthorityCertificate): boolean => {
    if (!mayHaveIssued(issuer, certificate, aki)) return false;
    if (search.signaturesLeft-- <= 0) return false;
    try {
      if (issuer.pathLength !== undefined && below > issuer.pathLength) {
        throw new X509ProfileError("path-length", "an authority stands above more intermediates than it allows");
      }
      if (!verifySignature(certificate.signatureAlgorithm, certificate.signed, certificate.signature, issuer.key, issuer.keyKind)) {
        throw new X509ProfileError("bad-signature", "a signature of the chain is not that of the issuer named");
      }
      checkValidity(issuer, search.now);
      return true;
    } catch (error) {
      if (!(error instanceof X509ProfileError)) throw error;
      search.failure = error;
      return false;
    }
  };
  if (search.anchors.some(tryIssuer)) return true;
  if (below >= search.intermediates.length) return false;
  // A path never longer than the intermediates there are cannot go round in circles for ever.
  return search.intermediates.some((issuer) => tryIssuer(issuer) && findPath(search, issuer, issuer.aki, below + 1));
}

/**
 * `chain` is DER, leaf first, intermediates in any order, a root among them or not; `now` in seconds since 1970. The bundle is that of
 * the trust domain that the leaf claims; no other is looked at.
 *
 * Returns what the leaf says, `spiffeId` first of all. Throws X509ProfileError: its code says what is wrong.
 */
export function verifyPeer(chain: readonly Buffer[], bundles: TrustBundles, now: number, options: VerifyOptions = {}): LeafCertificate {
  const [first, ...others] = chain;
  if (first === undefined || chain.length > MAX_CHAIN_LENGTH) {
    throw new X509ProfileError("chain-length", `a chain has 1 to ${MAX_CHAIN_LENGTH} certificates, not ${chain.length}`);
  }
  const certificate = readCertificate(first);
  const leaf = checkLeafProfile(certificate);
  const trustDomain = trustDomainOf(leaf.spiffeId);
  const bundle = bundles.get(trustDomain);
  if (bundle === undefined) throw new X509ProfileError("unknown-trust-domain", `no bundle of trust domain ${trustDomain} is held`);
  checkValidity(certificate, now);
  const search: Search = {
    anchors: bundle.authorities,
    intermediates: others.map((der) => checkAuthority(der, trustDomain)),
    now,
    signaturesLeft: MAX_SIGNATURES,
    failure: new X509ProfileError("unknown-issuer", `no authority of trust domain ${trustDomain} has issued the certificate`),
  };
  if (!findPath(search, certificate, authorityKeyIdentifierOf(certificate), 0)) throw search.failure;
  if (options.isRevoked?.(leaf) === true) throw new X509ProfileError("revoked", "the certificate is revoked");
  return leaf;
}
