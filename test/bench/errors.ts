/** What stops a benchmark: a user reads the message alone. */
export type BenchErrorCode = "bad-option" | "missing-tool" | "process-failed" | "bad-response" | "bad-output";

export class BenchError extends Error {
  override readonly name = "BenchError";
  readonly code: BenchErrorCode;

  constructor(code: BenchErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
