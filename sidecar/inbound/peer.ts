/** Who is at the other end of a connection: established once, at the handshake, and true for every request on it. */
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { identityOf, type SpiffeId } from "../../common/spiffe/id.ts";
import type { LeafCertificate } from "../../common/x509/svid-profile.ts";

export interface Peer {
  /** Undefined for a client in plaintext, which nothing is known of but its address. */
  readonly spiffeId: SpiffeId | undefined;
  readonly trustDomain: string;
  readonly namespace: string;
  /** The address the connection came from. */
  readonly address: string;
  /** Server name the client asked for, lower-case; empty when it sent none. */
  readonly serverName: string;
  /** Of a redirected client in plaintext: the service and port that it was going to, whatever it writes inside. */
  readonly target: PeerTarget | undefined;
}

export interface PeerTarget {
  /** `<name>.<namespace>` */
  readonly scope: string;
  readonly port: number;
}

export function tlsPeer(socket: TLSSocket, leaf: LeafCertificate): Peer {
  const identity = identityOf(leaf.spiffeId);
  const serverName = socket.servername;
  return {
    spiffeId: leaf.spiffeId,
    trustDomain: identity.trustDomain,
    namespace: identity.kind === "workload" ? identity.namespace : "",
    address: addressOf(socket),
    serverName: typeof serverName === "string" ? serverName.toLowerCase() : "",
    target: undefined,
  };
}

export function plaintextPeer(socket: Socket, target: PeerTarget | undefined): Peer {
  return { spiffeId: undefined, trustDomain: "", namespace: "", address: addressOf(socket), serverName: "", target };
}

function addressOf(socket: Socket): string {
  return (socket.remoteAddress ?? "").replace(/^::ffff:/, "");
}
