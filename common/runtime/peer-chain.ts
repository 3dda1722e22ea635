/** The certificates that the far end of a TLS connection showed. */
import type { TLSSocket } from "node:tls";

/** More than any chain that is accepted (common/x509/verify-chain.ts), so that a longer one is seen to be too long. */
const maxCertificates = 8;

/** DER, leaf first; empty where the peer showed none. Nothing of it has been verified. */
export function peerChain(socket: TLSSocket): Buffer[] {
  const chain: Buffer[] = [];
  let certificate = socket.getPeerX509Certificate();
  // A root is its own issuer, and ends the chain.
  while (certificate !== undefined && chain.length < maxCertificates) {
    chain.push(certificate.raw);
    certificate = certificate.issuerCertificate;
  }
  return chain;
}
