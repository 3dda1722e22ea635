/** https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html#Conditions_Boolean */
import { PolicyError } from "../error.ts";
import type { CompileValues } from "./operator.ts";

/** `true` or `false`, for `Bool` and `Null`. AWS ignores the case of both. */
export const boolean: CompileValues = (values) => {
  const wanted = new Set<string>();
  for (const value of values) {
    const folded = value.toLowerCase();
    if (folded !== "true" && folded !== "false") {
      throw new PolicyError("invalid-condition", `${JSON.stringify(value)} is neither "true" nor "false"`);
    }
    wanted.add(folded);
  }
  const whenTrue = wanted.has("true");
  const whenFalse = wanted.has("false");
  return (candidate) => {
    const folded = candidate.toLowerCase();
    if (folded === "true") return whenTrue;
    return folded === "false" ? whenFalse : undefined;
  };
};
