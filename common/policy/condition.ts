/**
 * Conditions: an operator, a key and values, compiled to one function. AWS's rules for absent keys and for keys with several values:
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html
 */
import { PolicyError } from "./error.ts";
import type { Operator, ValueTest } from "./operators/operator.ts";
import { operators } from "./operators/table.ts";
import { canonicalKey, type RequestContext } from "./request-context.ts";

/** One key under one operator, as written: `ForAnyValue:StringLike`, `aws:TagKeys`, `["a*"]`. */
export interface Condition {
  readonly operator: string;
  readonly key: string;
  readonly values: readonly string[];
}

export interface CompiledCondition {
  readonly source: Condition;
  readonly holds: (context: RequestContext) => boolean;
}

export interface ConditionRules {
  /** Whether the document's version has policy variables. */
  readonly variables: boolean;
  /** What a condition is worth when a value cannot be read: true in a Deny, false in an Allow. */
  readonly whenUnreadable: boolean;
}

type Quantifier = "any" | "all" | undefined;

interface OperatorUse {
  readonly operator: Operator;
  readonly quantifier: Quantifier;
  readonly ifExists: boolean;
}

const quantifiers = new Map<string, Quantifier>([
  ["ForAnyValue:", "any"],
  ["ForAllValues:", "all"],
]);
const ifExistsSuffix = "IfExists";

/** Reads an operator's name with its prefix and suffix. Throws PolicyError `unknown-operator`. */
export function operatorFromString(text: string): OperatorUse {
  const prefix = text.slice(0, text.indexOf(":") + 1);
  const quantifier = quantifiers.get(prefix);
  const afterPrefix = quantifier === undefined ? text : text.slice(prefix.length);
  const ifExists = afterPrefix.endsWith(ifExistsSuffix);
  const operator = operators.get(ifExists ? afterPrefix.slice(0, -ifExistsSuffix.length) : afterPrefix);
  if (operator === undefined) throw new PolicyError("unknown-operator", `${JSON.stringify(text)} is not a condition operator`);
  if (operator.kind === "presence" && (ifExists || quantifier !== undefined)) {
    throw new PolicyError("unknown-operator", `${JSON.stringify(text)}: Null takes neither IfExists nor ForAnyValue or ForAllValues`);
  }
  return { operator, quantifier, ifExists };
}

/** Throws PolicyError `unknown-operator`, `invalid-condition` or `invalid-variable`. */
export function compileCondition(source: Condition, rules: ConditionRules): CompiledCondition {
  const { operator, quantifier, ifExists } = operatorFromString(source.operator);
  const test = operator.compile(source.values, rules);
  const key = canonicalKey(source.key);
  if (operator.kind === "presence") {
    return { source, holds: (context) => test(isAbsent(context.get(key)) ? "true" : "false", context) === true };
  }
  const { negated } = operator;
  const whenAbsent = ifExists || (quantifier === undefined ? negated : quantifier === "all");
  const every = quantifier === undefined ? negated : quantifier === "all";
  const { whenUnreadable } = rules;
  return {
    source,
    holds: (context) => {
      const value = context.get(key);
      if (value === undefined) return whenAbsent;
      if (typeof value === "string") return holdsFor(test, value, context, negated, whenUnreadable);
      if (value.length === 0) return whenAbsent;
      for (const one of value) if (holdsFor(test, one, context, negated, whenUnreadable) !== every) return !every;
      return every;
    },
  };
}

function isAbsent(value: string | readonly string[] | undefined): boolean {
  return value === undefined || (typeof value !== "string" && value.length === 0);
}

function holdsFor(test: ValueTest, value: string, context: RequestContext, negated: boolean, whenUnreadable: boolean): boolean {
  const matched = test(value, context);
  return matched === undefined ? whenUnreadable : matched !== negated;
}
