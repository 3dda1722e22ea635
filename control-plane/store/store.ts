/**
 * The one place where the control plane keeps what must outlive it: a revisioned map from keys to bytes.
 *
 * Guarantees, whatever holds the data (one contract test suite is run against each):
 * - A commit happens whole or not at all, has one revision, higher than any before, and is durable when its promise resolves.
 * - Readers see the last commit. A watch sees every commit after its revision, once, in order, whole.
 * - A commit under a lease fails unless its holder still holds the lease at that moment.
 * It does not hide what is stored: secrets are sealed first (`sealed.ts`).
 */
import { StoreError } from "./error.ts";

/**
 * One to 512 characters: segments of letters, digits and `-._~:@+=,` with a slash between them, none empty, such as
 * `resources/Service/shop/orders`.
 */
export type Key = string;

export interface Entry {
  readonly key: Key;
  /** At most 1 MiB. */
  readonly value: Uint8Array;
  /** Revision of the commit that wrote this value. */
  readonly revision: number;
  /** Revision of the commit that made the key, since it was last deleted. */
  readonly createdRevision: number;
}

/** `expectRevision`: the whole commit fails unless the key is at that revision; 0 for a key that must not exist. */
export type Operation =
  | { readonly kind: "put"; readonly key: Key; readonly value: Uint8Array; readonly expectRevision?: number }
  | { readonly kind: "delete"; readonly key: Key; readonly expectRevision?: number }
  /** Changes nothing. */
  | { readonly kind: "check"; readonly key: Key; readonly expectRevision: number };

export interface CommitOptions {
  /** The commit fails with `lease-lost` unless this lease is held. */
  readonly lease?: Lease;
}

export type Change = { readonly kind: "put"; readonly entry: Entry } | { readonly kind: "delete"; readonly key: Key };

/** What one commit changed under the watched prefix; never empty. */
export interface Changes {
  readonly revision: number;
  readonly changes: readonly Change[];
}

/** The right to be the only one who does something. Ends when it is released, or not renewed for its time to live. */
export interface Lease {
  readonly name: string;
  /** Rises with every holder of this name. */
  readonly token: number;
  /** Starts the time to live anew. Throws StoreError `lease-lost`. */
  readonly renew: () => Promise<void>;
  /** Lets others have it. Releasing a lost lease does nothing. */
  readonly release: () => Promise<void>;
}

/** All methods throw StoreError: `store-closed` after `close`, `store-full` and `store-unavailable` besides those they name. */
export interface Store {
  readonly get: (key: Key) => Promise<Entry | undefined>;
  /** Entries whose key starts with `prefix`, in the order of their keys' bytes, and the revision they were read at, from which to watch. */
  readonly list: (prefix: string) => Promise<{ readonly revision: number; readonly entries: readonly Entry[] }>;
  /** A commit of one put. Resolves to its revision. */
  readonly put: (key: Key, value: Uint8Array, options?: CommitOptions & { readonly expectRevision?: number }) => Promise<number>;
  /** A commit of one delete. Deleting what does not exist succeeds, unless `expectRevision` says it should. Resolves to the revision. */
  readonly delete: (key: Key, options?: CommitOptions & { readonly expectRevision?: number }) => Promise<number>;
  /**
   * 1 to 128 operations on different keys, all or none. Resolves to the commit's revision (the present one where nothing changed).
   * Throws StoreError `conflict` (an expectation failed; the message names the key), `lease-lost`, `invalid-operation`.
   */
  readonly commit: (operations: readonly Operation[], options?: CommitOptions) => Promise<number>;
  /**
   * Every commit after `afterRevision` that touches `prefix`, as it happens. Ends when the signal aborts. Throws StoreError `compacted` when
   * commits after that revision are no longer kept (list again), and `store-closed`. A slow reader holds up nobody.
   */
  readonly watch: (prefix: string, afterRevision: number, signal: AbortSignal) => AsyncIterable<Changes>;
  /** The lease of this name, or undefined while another holds it. */
  readonly acquireLease: (name: Key, timeToLiveMilliseconds: number) => Promise<Lease | undefined>;
  readonly close: () => Promise<void>;
}

export const MAX_OPERATIONS = 128;
export const MAX_VALUE_BYTES = 1_048_576;
const keyForm = /^[A-Za-z0-9._~:@+=,-]+(?:\/[A-Za-z0-9._~:@+=,-]+)*$/;
const prefixForm = /^[A-Za-z0-9._~:@+=,/-]*$/;
const MAX_KEY_CHARACTERS = 512;

/** Throws StoreError `invalid-operation`. */
export function checkKey(key: string): void {
  if (key.length > MAX_KEY_CHARACTERS || !keyForm.test(key))
    throw new StoreError("invalid-operation", `${JSON.stringify(key)} is not a key`);
}

/** Throws StoreError `invalid-operation`. */
export function checkPrefix(prefix: string): void {
  if (prefix.length > MAX_KEY_CHARACTERS || !prefixForm.test(prefix)) {
    throw new StoreError("invalid-operation", `${JSON.stringify(prefix)} is not the start of a key`);
  }
}

/** Throws StoreError `invalid-operation`. */
export function checkOperations(operations: readonly Operation[]): void {
  if (operations.length === 0 || operations.length > MAX_OPERATIONS) {
    throw new StoreError("invalid-operation", `a commit has 1 to ${MAX_OPERATIONS} operations, not ${operations.length}`);
  }
  const keys = new Set<string>();
  for (const operation of operations) {
    checkKey(operation.key);
    if (keys.has(operation.key)) throw new StoreError("invalid-operation", `a commit names ${operation.key} twice`);
    keys.add(operation.key);
    if (operation.kind === "put" && operation.value.length > MAX_VALUE_BYTES) {
      throw new StoreError("invalid-operation", `the value of ${operation.key} is over 1 MiB`);
    }
  }
}
