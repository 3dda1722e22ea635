/**
 * Who is at the far end of a TLS connection, by our own check of the chain that the handshake brought. OpenSSL has seen to
 * the possession of the key; whatever else it thinks does not count.
 */
import type { TLSSocket } from "node:tls";
import { peerChain } from "../../common/runtime/peer-chain.ts";
import type { TrustBundles } from "../../common/x509/bundle.ts";
import { BACK_DATE_SECONDS, type LeafCertificate } from "../../common/x509/svid-profile.ts";
import { verifyPeer } from "../../common/x509/verify-chain.ts";

/** What a snapshot says about identities that are not to be believed any more. */
export interface IdentityRevocations {
  /** SPIFFE id → seconds since 1970: certificates issued before are void. Infinity for a quarantined identity. */
  readonly issuedBefore: ReadonlyMap<string, number>;
}

export const noRevocations: IdentityRevocations = { issuedBefore: new Map() };

export function isRevoked(revocations: IdentityRevocations, leaf: Pick<LeafCertificate, "spiffeId" | "notBefore">): boolean {
  const before = revocations.issuedBefore.get(leaf.spiffeId);
  return before !== undefined && leaf.notBefore + BACK_DATE_SECONDS < before;
}

/** Throws X509ProfileError. `now` in epoch milliseconds. */
export function verifyTlsPeer(socket: TLSSocket, bundles: TrustBundles, revocations: IdentityRevocations, now: number): LeafCertificate {
  return verifyPeer(peerChain(socket), bundles, Math.floor(now / 1000), { isRevoked: (leaf) => isRevoked(revocations, leaf) });
}
