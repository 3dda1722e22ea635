/** Writes DER (X.690): the counterpart of `der.ts` for the few shapes that this project signs. */
import { Tag } from "./der.ts";

/** Tag, shortest length, and the parts one after the other. */
export function encode(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  let length = 0;
  for (const part of parts) length += part.length;
  const lengthOctets = length < 0x80 ? 0 : length < 0x100 ? 1 : length < 0x10000 ? 2 : 3;
  const der = Buffer.allocUnsafe(2 + lengthOctets + length);
  der[0] = tag;
  if (lengthOctets === 0) {
    der[1] = length;
  } else {
    der[1] = 0x80 | lengthOctets;
    der.writeUIntBE(length, 2, lengthOctets);
  }
  let offset = 2 + lengthOctets;
  for (const part of parts) {
    der.set(part, offset);
    offset += part.length;
  }
  return der;
}

export function encodeSequence(...parts: readonly Uint8Array[]): Buffer {
  return encode(Tag.SEQUENCE, ...parts);
}

/** `dotted` is an object identifier in decimals, such as `2.5.29.17`. */
export function encodeOid(dotted: string): Buffer {
  const [root, second, ...rest] = dotted.split(".").map(Number) as [number, number, ...number[]];
  const octets: number[] = [];
  for (const arc of [root * 40 + second, ...rest]) {
    const groups = [arc & 0x7f];
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128)) groups.unshift((left & 0x7f) | 0x80);
    octets.push(...groups);
  }
  return encode(Tag.OID, Buffer.from(octets));
}

/** An unsigned number, most significant octet first, in its shortest form. */
export function encodeUnsigned(magnitude: Buffer): Buffer {
  let start = 0;
  while (start < magnitude.length - 1 && magnitude[start] === 0) start++;
  const shortest = magnitude.subarray(start);
  return shortest[0]! > 0x7f ? encode(Tag.INTEGER, Buffer.of(0), shortest) : encode(Tag.INTEGER, shortest);
}

export function encodeBoolean(value: boolean): Buffer {
  return encode(Tag.BOOLEAN, Buffer.of(value ? 0xff : 0));
}

/** A BIT STRING of whole octets. */
export function encodeBitString(octets: Uint8Array): Buffer {
  return encode(Tag.BIT_STRING, Buffer.of(0), octets);
}

/** A BIT STRING of up to eight named bits, bit 0 of the definition being 1. */
export function encodeNamedBits(bits: number): Buffer {
  let octet = 0;
  for (let bit = 0; bit < 8; bit++) if (bits & (1 << bit)) octet |= 0x80 >> bit;
  if (octet === 0) return encode(Tag.BIT_STRING, Buffer.of(0));
  return encode(Tag.BIT_STRING, Buffer.of(31 - Math.clz32(octet & -octet), octet));
}

function twoDigits(number: number): string {
  return number < 10 ? `0${number}` : `${number}`;
}

/** Seconds since 1970 as a certificate's Time: UTCTime from 1950 through 2049, GeneralizedTime after (RFC 5280 4.1.2.5). */
export function encodeTime(epochSeconds: number): Buffer {
  const date = new Date(epochSeconds * 1000);
  const year = date.getUTCFullYear();
  const utc = year < 2050;
  const text =
    (utc ? "" : twoDigits(Math.floor(year / 100))) +
    twoDigits(year % 100) +
    twoDigits(date.getUTCMonth() + 1) +
    twoDigits(date.getUTCDate()) +
    twoDigits(date.getUTCHours()) +
    twoDigits(date.getUTCMinutes()) +
    twoDigits(date.getUTCSeconds());
  return encode(utc ? Tag.UTC_TIME : Tag.GENERALIZED_TIME, Buffer.from(`${text}Z`, "latin1"));
}
