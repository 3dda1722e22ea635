/** Why connections cannot be intercepted on this machine. */
export class InterceptError extends Error {
  override readonly name = "InterceptError";
  readonly code: "unsupported-platform" | "socket-refused";

  constructor(code: InterceptError["code"], message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
