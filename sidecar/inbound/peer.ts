/** Who is at the other end of a connection: established once, at the handshake, and true for every request on it. */
import type { SpiffeId } from "../../common/spiffe/id.ts";

export interface Peer {
  readonly spiffeId: SpiffeId;
  readonly trustDomain: string;
  readonly namespace: string;
  /** The address the connection came from. */
  readonly address: string;
  /** Server name the client asked for, lower-case; empty when it sent none. */
  readonly serverName: string;
}
