export type InstallErrorCode =
  /** There is no such overlay. */
  | "no-overlay"
  /** An option that makes no sense. */
  | "bad-option"
  /** The cluster cannot take it, or the user may not: nothing was changed. */
  | "refused"
  /** The API server did not take a manifest, after others. */
  | "not-applied"
  /** What was applied did not come up in time. */
  | "not-ready"
  /** Ctrl-C. */
  | "interrupted";

/** The one error of install and uninstall. */
export class InstallError extends Error {
  override readonly name = "InstallError";
  readonly code: InstallErrorCode;

  constructor(code: InstallErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
