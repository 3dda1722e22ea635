/**
 * SHA-256 and HMAC-SHA256 of latin1 text: a character is a byte, as on the wire, where a hash of a string would take UTF-8.
 *
 * Hot path. Text is written into one reused buffer, and HMAC (RFC 2104) is made of two one-shot hashes over prepared pads:
 * measured, that takes half of the CPU of a Hmac object, most of which is the making and collecting of the object. Nothing here
 * calls back or waits, so one set of buffers serves the whole thread.
 */
import { hash, type KeyObject } from "node:crypto";

const blockSize = 64;
const digestSize = 32;
const scratch = Buffer.allocUnsafeSlow(64 * 1024);
const inner = Buffer.allocUnsafeSlow(1024);
const outer = Buffer.allocUnsafeSlow(blockSize + digestSize);

/** 64 lower-case hexadecimal digits. */
export function sha256Hex(text: string): string {
  const bytes = text.length <= scratch.length ? scratch.subarray(0, scratch.write(text, 0, "latin1")) : Buffer.from(text, "latin1");
  return hash("sha256", bytes);
}

interface Pads {
  readonly inner: Buffer;
  readonly outer: Buffer;
}

/** Kept for as long as the key is, and as secret: whoever can read the one in memory can read the other. */
const padsOf = new WeakMap<KeyObject, Pads>();

function preparePads(key: KeyObject): Pads {
  const bytes = key.export();
  if (bytes.length > blockSize) throw new RangeError("an HMAC key is at most one block long here: SigV4's have 32 bytes");
  const pads = { inner: Buffer.alloc(blockSize, 0x36), outer: Buffer.alloc(blockSize, 0x5c) };
  for (const [index, byte] of bytes.entries()) {
    pads.inner[index] = 0x36 ^ byte;
    pads.outer[index] = 0x5c ^ byte;
  }
  padsOf.set(key, pads);
  return pads;
}

/** 64 lower-case hexadecimal digits. `key` is a secret of at most 64 bytes. */
export function hmacSha256Hex(key: KeyObject, text: string): string {
  const pads = padsOf.get(key) ?? preparePads(key);
  const end = blockSize + text.length;
  const message = end <= inner.length ? inner.subarray(0, end) : Buffer.allocUnsafe(end);
  message.set(pads.inner);
  message.write(text, blockSize, "latin1");
  outer.set(pads.outer);
  outer.write(hash("sha256", message, "binary"), blockSize, "latin1");
  return hash("sha256", outer);
}
