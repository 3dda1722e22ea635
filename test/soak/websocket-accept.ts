/** What proves that a WebSocket server has read the handshake (RFC 6455 4.2.2). */
import { hash } from "node:crypto";

export function acceptOf(key: string): string {
  return hash("sha1", `${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`, "base64");
}
