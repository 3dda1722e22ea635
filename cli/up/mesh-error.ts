/** Why a mesh on this machine did not come up, or came down. */
export class MeshError extends Error {
  override readonly name = "MeshError";
  readonly code: "process-ended" | "not-ready" | "program-failed" | "refused" | "not-permitted";

  constructor(code: MeshError["code"], message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
