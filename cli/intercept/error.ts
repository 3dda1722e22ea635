/** Why the rules of a network namespace could not be read or changed. */
export class RulesError extends Error {
  override readonly name = "RulesError";
  readonly code: "bad-option" | "not-permitted" | "no-program" | "refused" | "unsupported-platform";

  constructor(code: RulesError["code"], message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
