import type { RequestContext } from "../request-context.ts";

/**
 * Whether one value of a request matches any of a condition's values; undefined if the operator cannot read it (an address
 * that is none), which counts for a Deny and against an Allow.
 */
export type ValueTest = (candidate: string, context: RequestContext) => boolean | undefined;

export interface CompileRules {
  /** Whether the document's version has policy variables. */
  readonly variables: boolean;
}

/** Compiles a condition's values, of which there is at least one. Throws PolicyError `invalid-condition` or `invalid-variable`. */
export type CompileValues = (values: readonly string[], rules: CompileRules) => ValueTest;

/** A row of the operator table. */
export interface Operator {
  /** `comparison` takes `IfExists` and set prefixes; `presence` (Null) asks for the key itself and takes neither. */
  readonly kind: "comparison" | "presence";
  /** True where no value may match (`StringNotEquals`); such a condition holds when the key is absent. */
  readonly negated: boolean;
  readonly compile: CompileValues;
}
