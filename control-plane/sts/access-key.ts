/**
 * Access keys of sessions. The secret is a function of the id and of its epoch's key, so nothing is stored for a session,
 * and whoever holds the epoch's key can compute it again.
 */
import { createHmac, randomBytes } from "node:crypto";

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const prefix = "CSGN";
const randomCharacters = 15;
const idForm = /^CSGN[A-Z2-7]{16}$/;

/** The character by which access key ids name the epoch of that day (days since 1970). Comes again after 32 days. */
export function epochCharacter(day: number): string {
  return alphabet.charAt(day % alphabet.length);
}

/** `CSGN`, the epoch's character, and 75 random bits. */
export function createAccessKeyId(day: number): string {
  let id = prefix + epochCharacter(day);
  // 256 is a multiple of 32, so the remainder is uniform.
  for (const byte of randomBytes(randomCharacters)) id += alphabet.charAt(byte % alphabet.length);
  return id;
}

/** The epoch's character of a well-formed id, or undefined. */
export function epochCharacterOf(accessKeyId: string): string | undefined {
  return idForm.test(accessKeyId) ? accessKeyId.charAt(prefix.length) : undefined;
}

/** 40 characters of base64: 240 bits of HMAC-SHA256 of the id under the epoch's 32-byte key. */
export function secretAccessKeyOf(accessKeyId: string, epochKey: Buffer): string {
  return createHmac("sha256", epochKey).update(accessKeyId).digest("base64").slice(0, 40);
}
