export type StoreErrorCode =
  // Opening.
  | "store-locked"
  | "store-corrupt"
  | "store-unwritable"
  | "store-newer-schema"
  | "master-key-missing"
  | "master-key-malformed"
  | "wrong-master-key"
  // Calls.
  | "invalid-operation"
  | "conflict"
  | "lease-lost"
  | "compacted"
  | "sealed-malformed"
  | "store-full"
  | "store-unavailable"
  | "store-closed";

/** The one error of the store: callers and tests go by `code`; `message` is one line for a person. */
export class StoreError extends Error {
  override readonly name = "StoreError";
  readonly code: StoreErrorCode;

  constructor(code: StoreErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
