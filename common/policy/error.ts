/** What is wrong with a policy document, an ARN or a declared operation. */
export type PolicyErrorCode =
  | "too-large"
  | "too-deep"
  | "syntax"
  | "duplicate-key"
  | "wrong-type"
  | "unknown-element"
  | "missing-element"
  | "conflicting-elements"
  | "unknown-version"
  | "invalid-id"
  | "invalid-effect"
  | "invalid-sid"
  | "duplicate-sid"
  | "invalid-action"
  | "invalid-resource"
  | "invalid-principal"
  | "unexpected-principal"
  | "unknown-operator"
  | "invalid-condition"
  | "invalid-variable"
  | "too-many-statements"
  | "invalid-arn"
  | "invalid-operation"
  | "conflicting-operations";

/** Where in a text. Lines and columns count from 1, columns in UTF-16 units. */
export interface Place {
  readonly line: number | undefined;
  readonly column: number | undefined;
  /** `Statement[0].Condition.StringEquals.aws:PrincipalArn[1]`; empty for the document as a whole. */
  readonly path: string;
}

const nowhere: Place = { line: undefined, column: undefined, path: "" };

/** The one error of this folder. `message` says path and position too; `problem` is the sentence alone. */
export class PolicyError extends Error {
  override readonly name = "PolicyError";
  readonly code: PolicyErrorCode;
  readonly problem: string;
  readonly line: number | undefined;
  readonly column: number | undefined;
  readonly path: string;

  constructor(code: PolicyErrorCode, problem: string, place: Place = nowhere, options?: ErrorOptions) {
    const at = place.line === undefined ? "" : ` (line ${place.line}, column ${place.column})`;
    super(`${place.path === "" ? "" : `${place.path}: `}${problem}${at}`, options);
    this.code = code;
    this.problem = problem;
    this.line = place.line;
    this.column = place.column;
    this.path = place.path;
  }
}
