export type KustomizeErrorCode =
  /** No such file, or not YAML. */
  | "unreadable"
  /** Something of kustomize that is not done here; `kubectl apply -k` does it. */
  | "unsupported"
  /** Not what a kustomization, a manifest or a patch looks like. */
  | "invalid"
  /** What a patch or a replacement is for is not there, or there are several. */
  | "no-target";

/** The one error of rendering; `message` begins with the file that is wrong. */
export class KustomizeError extends Error {
  override readonly name = "KustomizeError";
  readonly code: KustomizeErrorCode;

  constructor(code: KustomizeErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
