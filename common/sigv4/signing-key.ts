/**
 * Derivation of the signing key ("Create a signed AWS API request", step 4): a chain of HMACs from the secret to a key for
 * one day, one region and one service. Whoever holds the last cannot get back to the secret, nor across to another scope.
 */
import { createHmac, createSecretKey, type KeyObject } from "node:crypto";
import { scopeTerminator } from "./scope.ts";

/** 32 bytes. `date` is `yyyymmdd`. */
export function deriveSigningKey(secretAccessKey: string, date: string, region: string, service: string): Buffer {
  const dateKey = createHmac("sha256", `AWS4${secretAccessKey}`).update(date).digest();
  const regionKey = createHmac("sha256", dateKey).update(region).digest();
  const serviceKey = createHmac("sha256", regionKey).update(service).digest();
  return createHmac("sha256", serviceKey).update(scopeTerminator).digest();
}

/** The same as a KeyObject: what signers and verifiers take, because it need not be prepared again for every HMAC. */
export function createSigningKey(secretAccessKey: string, date: string, region: string, service: string): KeyObject {
  return createSecretKey(deriveSigningKey(secretAccessKey, date, region, service));
}
