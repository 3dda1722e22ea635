import { randomFillSync } from "node:crypto";

const SERIAL_BYTES = 17;

/** Octets of a serial number: 128 random bits after a one, so that every one is positive and as long as the next. */
export function createSerial(): Buffer {
  const serial = randomFillSync(Buffer.allocUnsafe(SERIAL_BYTES));
  serial[0] = 1;
  return serial;
}
