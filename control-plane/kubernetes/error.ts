export type KubernetesErrorCode =
  /** The kubeconfig, or what a pod finds about its cluster, cannot be used. */
  | "bad-configuration"
  /** No answer: nobody there, or the connection broke. */
  | "unreachable"
  | "timed-out"
  | "unauthorized"
  | "forbidden"
  | "not-found"
  /** Somebody else changed the object, or made it first. */
  | "conflict"
  /** What the API server still knows begins later: list again. */
  | "gone"
  | "throttled"
  /** The API server takes the request for wrong. */
  | "rejected"
  | "server-error"
  /** The answer is not what the API promises, or larger than anything it should be. */
  | "malformed-answer";

/** The one error of the Kubernetes client: callers and tests go by `code`; `message` is one line for a person. */
export class KubernetesError extends Error {
  override readonly name = "KubernetesError";
  readonly code: KubernetesErrorCode;

  constructor(code: KubernetesErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
