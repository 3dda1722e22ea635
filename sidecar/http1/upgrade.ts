/** Switching protocols on an HTTP/1.1 connection (RFC 9110 7.8), and WebSocket's proof of it (RFC 6455 4.2.2). */
import { createHash, randomBytes } from "node:crypto";
import { createField, findField, type Field } from "../../common/http/field.ts";
import type { RequestHead } from "../../common/http/message.ts";

/** Offers that nobody has to take: h2c is not worth a switch (RFC 9113 removed it), and TLS is not for a plain connection to start. */
const declined = new Set(["h2c", "h2"]);
const token = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const webSocketMagic = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/**
 * The one protocol that a request offers to switch to, lower-case; empty for a request that is to be answered as if it
 * offered nothing, which is any server's right. Only GET is carried: the others' bodies would come before the switch.
 */
export function upgradeOffer(head: RequestHead, upgrade: string): string {
  if (upgrade === "" || head.method !== "GET" || head.contentLength !== 0) return "";
  const offer = upgrade.toLowerCase();
  return token.test(offer) && !declined.has(offer) ? offer : "";
}

/** `sec-websocket-accept` for a request that had a key; nothing for other protocols. */
export function webSocketAccept(head: RequestHead): readonly Field[] {
  const key = findField(head.fields, "sec-websocket-key");
  return key === undefined ? [] : [createField("sec-websocket-accept", acceptOf(key.value))];
}

export function acceptOf(key: string): string {
  return createHash("sha1")
    .update(key + webSocketMagic)
    .digest("base64");
}

/** A key for a handshake of our own. */
export function webSocketKey(): string {
  return randomBytes(16).toString("base64");
}
