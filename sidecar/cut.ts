/** The end of a connection that must not look like an orderly one: TCP's reset, or TLS without its closing alert. */
import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";

export function cut(socket: Socket): void {
  if (socket instanceof TLSSocket) socket.destroy();
  else socket.resetAndDestroy();
}
