/** https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html#Conditions_String */
import { compileTemplate } from "../template-match.ts";
import { literalText, parseTemplate, resolveTemplate, type TemplateToken } from "../template.ts";
import type { CompileValues, ValueTest } from "./operator.ts";

/** Equal to one of the values. */
export const stringEquals: CompileValues = (values, { variables }) => compileEquals(values, variables, (text) => text);

/** Equal to one of the values, upper and lower case taken as the same. */
export const stringEqualsIgnoreCase: CompileValues = (values, { variables }) =>
  compileEquals(values, variables, (text) => text.toLowerCase());

/** Matches one of the values, in which `*` is any run of characters and `?` any one. */
export const stringLike: CompileValues = (values, { variables }) => {
  const matchers = values.map((value) => compileTemplate(parseTemplate(value, { wildcards: true, variables })));
  const [only] = matchers;
  if (only !== undefined && matchers.length === 1) return (candidate, context) => only(candidate, 0, context);
  return (candidate, context) => {
    for (const matches of matchers) if (matches(candidate, 0, context)) return true;
    return false;
  };
};

function compileEquals(values: readonly string[], variables: boolean, fold: (text: string) => string): ValueTest {
  const fixed = new Set<string>();
  const templates: (readonly TemplateToken[])[] = [];
  for (const value of values) {
    const tokens = parseTemplate(value, { wildcards: false, variables });
    const text = literalText(tokens);
    if (text === undefined) templates.push(tokens);
    else fixed.add(fold(text));
  }
  const [only] = fixed;
  if (templates.length === 0 && fixed.size === 1 && only !== undefined) return (candidate) => fold(candidate) === only;
  if (templates.length === 0) return (candidate) => fixed.has(fold(candidate));
  return (candidate, context) => {
    const folded = fold(candidate);
    if (fixed.has(folded)) return true;
    for (const tokens of templates) {
      const resolved = resolveTemplate(tokens, context);
      const text = resolved === undefined ? undefined : literalText(resolved);
      if (text !== undefined && fold(text) === folded) return true;
    }
    return false;
  };
}
