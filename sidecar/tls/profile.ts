/**
 * How every channel of the mesh is protected: TLS 1.3 only, mutual, hybrid post-quantum key agreement first, and no
 * resumption, because a resumed session would skip the check of a rotated or revoked certificate.
 */
import { constants } from "node:crypto";
import type { SecureContextOptions } from "node:tls";

export interface Identity {
  readonly spiffeId: string;
  /** PEM, leaf first. */
  readonly certificateChain: string;
  /** PEM, PKCS#8. */
  readonly privateKey: string;
  /** PEM roots of the own trust domain. */
  readonly authorities: string;
  /** Epoch milliseconds. */
  readonly notBefore: number;
  readonly notAfter: number;
}

export const tlsProfile = {
  minVersion: "TLSv1.3",
  maxVersion: "TLSv1.3",
  ciphers: "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256",
  ecdhCurve: "X25519MLKEM768:X25519:P-256",
  // Without tickets a TLS 1.3 server falls back to a session cache, and Node keeps none.
  secureOptions: constants.SSL_OP_NO_TICKET,
} as const satisfies SecureContextOptions;

export function secureContextOptions(identity: Identity): SecureContextOptions {
  return { ...tlsProfile, cert: identity.certificateChain, key: identity.privateKey, ca: identity.authorities };
}
