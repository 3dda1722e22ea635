/** What names a TLS connection to both of its ends, and to nobody else: `tls-exporter` of RFC 9266. */
import type { TLSSocket } from "node:tls";

const bindingBytes = 32;
const label = "EXPORTER-Channel-Binding";

/** 32 bytes; the handshake has to be complete. */
export function channelBinding(socket: TLSSocket): Buffer {
  return socket.exportKeyingMaterial(bindingBytes, label, Buffer.alloc(0));
}
