/**
 * Who is at the other end of a call. The listener verifies the client's chain once, when the connection is made, and
 * remembers the leaf; a call is then matched to its connection by grpc-js, which reads the certificate from the very socket
 * the call came in on (`getAuthContext`). At each call expiry and revocation are looked at again.
 */
import type { ServerUnaryCall } from "@grpc/grpc-js";
import type { TLSSocket } from "node:tls";
import type { SpiffeId } from "../../common/spiffe/id.ts";
import type { TrustBundles } from "../../common/x509/bundle.ts";
import { peerChain } from "../../common/runtime/peer-chain.ts";
import { X509ProfileError } from "../../common/x509/error.ts";
import { BACK_DATE_SECONDS, type LeafCertificate } from "../../common/x509/svid-profile.ts";
import { verifyPeer } from "../../common/x509/verify-chain.ts";
import type { MeshState } from "../resources/mesh-state.ts";
import { secondsFrom } from "../sts/roles.ts";
import { RequestError } from "./request-error.ts";

/** What of a call says who makes it. */
export type CallOrigin = Pick<ServerUnaryCall<unknown, unknown>, "getAuthContext" | "getPeer">;

export interface Peer {
  readonly leaf: LeafCertificate;
  /** IP address; IPv4 as such even on a socket that takes both. */
  readonly address: string;
}

/** Verified leaves of open connections, by the certificate's SHA-256 as Node prints it. */
export interface PeerRegister {
  /**
   * Verifies the chain that the client of a new connection sent. Undefined where it sent none; throws X509ProfileError for one
   * that proves nothing.
   */
  readonly admit: (socket: TLSSocket) => LeafCertificate | undefined;
  /** The verified peer of a call; undefined where the client sent no certificate. Throws RequestError `unauthenticated`. */
  readonly peerOf: (call: CallOrigin) => Peer | undefined;
}

export function createPeerRegister(bundles: () => TrustBundles, now: () => number): PeerRegister {
  const verified = new Map<string, { readonly leaf: LeafCertificate; connections: number }>();
  return {
    admit(socket) {
      const chain = peerChain(socket);
      if (chain.length === 0) return undefined;
      const leaf = verifyPeer(chain, bundles(), Math.floor(now() / 1000));
      const fingerprint = socket.getPeerCertificate().fingerprint256;
      const known = verified.get(fingerprint) ?? { leaf, connections: 0 };
      known.connections += 1;
      verified.set(fingerprint, known);
      socket.once("close", () => {
        known.connections -= 1;
        if (known.connections === 0) verified.delete(fingerprint);
      });
      // What grpc-js goes by to hand out the certificate: it is we who verified it.
      socket.authorized = true;
      return leaf;
    },
    peerOf(call) {
      const certificate = call.getAuthContext().sslPeerCertificate;
      if (certificate === undefined) return undefined;
      const leaf = verified.get(certificate.fingerprint256)?.leaf;
      if (leaf === undefined) throw new RequestError("unauthenticated", "unknown-certificate", "the client certificate is not known");
      if (now() / 1000 > leaf.notAfter)
        throw new RequestError("unauthenticated", "expired-certificate", "the client certificate has expired");
      return { leaf, address: addressOfCall(call) };
    },
  };
}

/** The IP address that a call comes from. `getPeer` says `address:port`, IPv6 without brackets. */
export function addressOfCall(call: CallOrigin): string {
  const peer = call.getPeer();
  return peer.slice(0, peer.lastIndexOf(":")).replace(/^::ffff:(?=\d+\.)/, "");
}

/** Whether the mesh still wants this certificate. Throws RequestError `permission-denied`. */
export function checkNotRevoked({ spiffeId, notBefore }: LeafCertificate, state: MeshState): void {
  for (const { spec } of state.workloadsById.get(spiffeId) ?? []) {
    if (spec.quarantine) throw new RequestError("permission-denied", "quarantined", "the workload is quarantined");
    if (notBefore + BACK_DATE_SECONDS < secondsFrom(spec.revokedBefore)) {
      throw new RequestError("permission-denied", "revoked", "certificates of this age are revoked");
    }
  }
}

/** Whether the mesh wants anybody to have this identity. Throws RequestError `permission-denied`. */
export function checkNotQuarantined(spiffeId: SpiffeId, state: MeshState): void {
  if (state.workloadsById.get(spiffeId)?.some(({ spec }) => spec.quarantine) === true) {
    throw new RequestError("permission-denied", "quarantined", "the workload is quarantined");
  }
}

/** Why a chain was refused, as a metric's label. */
export function reasonOf(error: unknown): string {
  return error instanceof X509ProfileError ? error.code : "internal";
}

/** The peer of a call that nobody may make without a certificate of the mesh in good standing. Throws RequestError. */
export function requirePeer(peers: PeerRegister, origin: CallOrigin, state: MeshState): Peer {
  const peer = peers.peerOf(origin);
  if (peer === undefined) throw new RequestError("unauthenticated", "no-certificate", "a client certificate of the mesh is needed");
  checkNotRevoked(peer.leaf, state);
  return peer;
}
