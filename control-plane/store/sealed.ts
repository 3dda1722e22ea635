/**
 * Seals secrets before they reach a store: AES-256-GCM under a key derived from the master key, bound to the name they are kept under, so
 * that whoever can write the store can neither read a secret nor put one in the place of another.
 *
 * Format 1: octet 1, 8 octets of key id, 12 of nonce, ciphertext, 16 of tag. Nonces are random: one key is good for 2^32 secrets
 * (NIST SP 800-38D 8.3), which is no limit for keys of authorities.
 */
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from "node:crypto";
import { StoreError } from "./error.ts";

export interface Sealer {
  /** Lower-case hexadecimal; says which master key, and nothing about it. */
  readonly keyId: string;
  readonly seal: (name: string, plaintext: Uint8Array) => Buffer;
  /** Throws StoreError `wrong-master-key` (sealed under another key) or `sealed-malformed` (altered, or sealed under another name). */
  readonly unseal: (name: string, sealed: Uint8Array) => Buffer;
}

export const MASTER_KEY_BYTES = 32;
const FORMAT = 1;
const KEY_ID_BYTES = 8;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const HEADER_BYTES = 1 + KEY_ID_BYTES + NONCE_BYTES;

function derive(masterKey: Buffer, purpose: string, bytes: number): Buffer {
  return Buffer.from(hkdfSync("sha256", masterKey, Buffer.alloc(0), `countersign/${purpose}/1`, bytes));
}

/** `masterKey` has 32 octets; throws StoreError `master-key-malformed` otherwise. */
export function createSealer(masterKey: Buffer): Sealer {
  if (masterKey.length !== MASTER_KEY_BYTES) throw new StoreError("master-key-malformed", `a master key has ${MASTER_KEY_BYTES} octets`);
  const key = derive(masterKey, "seal", 32);
  const keyId = derive(masterKey, "key-id", KEY_ID_BYTES);
  return {
    keyId: keyId.toString("hex"),
    seal(name, plaintext) {
      const header = Buffer.concat([Buffer.of(FORMAT), keyId, randomBytes(NONCE_BYTES)]);
      const cipher = createCipheriv("aes-256-gcm", key, header.subarray(1 + KEY_ID_BYTES), { authTagLength: TAG_BYTES });
      cipher.setAAD(Buffer.from(name, "utf8"));
      return Buffer.concat([header, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
    },
    unseal(name, sealed) {
      const octets = Buffer.from(sealed.buffer, sealed.byteOffset, sealed.byteLength);
      if (octets.length < HEADER_BYTES + TAG_BYTES || octets[0] !== FORMAT) {
        throw new StoreError("sealed-malformed", `what is kept as ${name} is not sealed in a format known here`);
      }
      if (!octets.subarray(1, 1 + KEY_ID_BYTES).equals(keyId)) {
        throw new StoreError("wrong-master-key", `what is kept as ${name} is sealed under another master key`);
      }
      const nonce = octets.subarray(1 + KEY_ID_BYTES, HEADER_BYTES);
      const decipher = createDecipheriv("aes-256-gcm", key, nonce, { authTagLength: TAG_BYTES });
      decipher.setAAD(Buffer.from(name, "utf8"));
      decipher.setAuthTag(octets.subarray(octets.length - TAG_BYTES));
      try {
        return Buffer.concat([decipher.update(octets.subarray(HEADER_BYTES, octets.length - TAG_BYTES)), decipher.final()]);
      } catch (error) {
        throw new StoreError("sealed-malformed", `what is kept as ${name} was altered, or sealed under another name`, { cause: error });
      }
    },
  };
}
