/**
 * The master key: 32 octets in a file of their own, base64 or hexadecimal, that all secrets of a store are sealed under.
 *
 * A key is made only where there is neither a key nor data: a missing or wrong key next to data must never be papered over with a new
 * one, because what is sealed would be lost in silence.
 */
import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { StoreError } from "./error.ts";
import { createFileOnce } from "./new-file.ts";
import { createSealer, MASTER_KEY_BYTES } from "./sealed.ts";
import type { Sealer } from "./sealed.ts";
import type { Store } from "./store.ts";

/** Sealed octets whose unsealing proves that the master key is the one of the data. */
const CHECK_KEY = "sealer/check";
const CHECK_TEXT = Buffer.from("countersign");

function isErrno(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}

function parseKey(path: string, text: string): Buffer {
  const trimmed = text.trim();
  const key = Buffer.from(trimmed, /^[0-9A-Fa-f]{64}$/.test(trimmed) ? "hex" : "base64");
  if (key.length !== MASTER_KEY_BYTES || !/^(?:[0-9A-Fa-f]{64}|[A-Za-z0-9+/]{43}=)$/.test(trimmed)) {
    throw new StoreError("master-key-malformed", `${path} does not hold 32 octets in base64 or hexadecimal`);
  }
  return key;
}

function readKey(path: string): Buffer | undefined {
  let text: string;
  try {
    text = readFileSync(path, "latin1");
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    const reason = error instanceof Error ? error.message : String(error);
    throw new StoreError("master-key-missing", `the master key ${path} cannot be read (${reason})`, { cause: error });
  }
  return parseKey(path, text);
}

function createKey(path: string): void {
  createFileOnce(path, "the master key", (unnamed) => {
    writeFileSync(unnamed, `${randomBytes(MASTER_KEY_BYTES).toString("base64")}\n`, { flush: true });
  });
}

/**
 * The sealer of `store`, under the master key in the file `path`, which is made (for its owner only) where neither it nor any data exists.
 * Throws StoreError: `master-key-missing` (data, but no key), `master-key-malformed`, `wrong-master-key` (not the one of the data),
 * `store-unwritable` besides what the store throws. Nothing is overwritten.
 */
export async function openSealer(store: Store, path: string): Promise<Sealer> {
  const check = await store.get(CHECK_KEY);
  let key = readKey(path);
  if (key === undefined) {
    const { revision } = await store.list(CHECK_KEY);
    if (revision > 0)
      throw new StoreError("master-key-missing", `the master key ${path} is missing, and the store holds data sealed under it`);
    createKey(path);
    key = readKey(path);
  }
  if (key === undefined) throw new StoreError("master-key-missing", `the master key ${path} is gone as soon as it is made`);
  const sealer = createSealer(key);
  if (check === undefined) {
    await store.put(CHECK_KEY, sealer.seal(CHECK_KEY, CHECK_TEXT), { expectRevision: 0 });
    return sealer;
  }
  try {
    sealer.unseal(CHECK_KEY, check.value);
  } catch (error) {
    if (!(error instanceof StoreError) || error.code !== "wrong-master-key") throw error;
    throw new StoreError("wrong-master-key", `the master key ${path} is not the one that the store's data is sealed under`, {
      cause: error,
    });
  }
  return sealer;
}
