/**
 * Texts of a policy that match other texts: literals, wildcards and policy variables.
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html
 */
import { PolicyError } from "./error.ts";
import { canonicalKey, type RequestContext } from "./request-context.ts";

/** What a pattern without variables is made of: `*` is a `run`, `?` a `one`. */
export type PatternToken = { readonly kind: "text"; readonly text: string } | { readonly kind: "run" } | { readonly kind: "one" };

export interface VariableToken {
  readonly kind: "variable";
  /** Canonical condition key. */
  readonly key: string;
  readonly fallback: string | undefined;
}

export type TemplateToken = PatternToken | VariableToken;

export interface TemplateRules {
  /** Whether `*` and `?` are wildcards. */
  readonly wildcards: boolean;
  /** Whether `${…}` is substituted: in version 2012-10-17, where the element takes variables. */
  readonly variables: boolean;
}

const keyText = /^[A-Za-z][A-Za-z0-9-]*:[\w.:/=+@ -]+$/;

/** Whether a text can be the name of a condition key: `aws:PrincipalTag/team`. */
export function isConditionKey(text: string): boolean {
  return text.length <= 512 && keyText.test(text) && text.trim() === text;
}

/**
 * Splits a text into tokens; neighbouring literals are one. `${*}`, `${?}` and `${$}` are the characters themselves.
 * Throws PolicyError `invalid-variable`.
 */
export function parseTemplate(text: string, rules: TemplateRules): readonly TemplateToken[] {
  const tokens: TemplateToken[] = [];
  let literal = "";
  const flush = (): void => {
    if (literal !== "") tokens.push({ kind: "text", text: literal });
    literal = "";
  };
  for (let at = 0; at < text.length;) {
    const character = text.charAt(at);
    if (rules.variables && character === "$" && text.charAt(at + 1) === "{") {
      const variable = readVariable(text, at);
      if (variable.token === undefined) {
        literal += variable.literal;
      } else {
        flush();
        tokens.push(variable.token);
      }
      at = variable.end;
      continue;
    }
    if (rules.wildcards && (character === "*" || character === "?")) {
      flush();
      // A run of stars matches what one star matches.
      if (character === "?" || tokens.at(-1)?.kind !== "run") tokens.push({ kind: character === "*" ? "run" : "one" });
    } else {
      literal += character;
    }
    at += 1;
  }
  flush();
  return tokens;
}

function readVariable(text: string, start: number): { token: VariableToken | undefined; literal: string; end: number } {
  const invalid = (problem: string): never => {
    throw new PolicyError("invalid-variable", `${problem} at character ${start + 1} of ${JSON.stringify(text)}`);
  };
  let end = start + 2;
  while (end < text.length && text.charAt(end) !== "}" && text.charAt(end) !== ",") end += 1;
  const name = text.slice(start + 2, end);
  if (text.charAt(end) === "}" && (name === "*" || name === "?" || name === "$")) return { token: undefined, literal: name, end: end + 1 };
  let fallback: string | undefined;
  if (text.charAt(end) === ",") {
    end = skipSpaces(text, end + 1);
    const close = text.indexOf("'", end + 1);
    if (text.charAt(end) !== "'" || close < 0) return invalid("a default value stands in single quotes");
    fallback = text.slice(end + 1, close);
    end = skipSpaces(text, close + 1);
  }
  if (text.charAt(end) !== "}") return invalid("a policy variable without its closing brace");
  if (!isConditionKey(name)) return invalid(`${JSON.stringify(name)} is not a condition key`);
  return { token: { kind: "variable", key: canonicalKey(name), fallback }, literal: "", end: end + 1 };
}

function skipSpaces(text: string, from: number): number {
  let at = from;
  while (text.charAt(at) === " ") at += 1;
  return at;
}

export function variablesIn(tokens: readonly TemplateToken[]): readonly VariableToken[] {
  return tokens.filter((token) => token.kind === "variable");
}

/**
 * The text that stands for a variable. A key without value, or with several, has no text (AWS: null), and then a pattern with
 * the variable in it matches nothing: undefined.
 */
export function resolveVariable({ key, fallback }: VariableToken, context: RequestContext): string | undefined {
  const value = context.get(key);
  if (typeof value === "string") return value;
  if (value === undefined || value.length === 0) return fallback;
  return value.length === 1 ? value[0] : undefined;
}

/** Puts values in place of variables. A value is text: a `*` in it matches a `*` only. Undefined if one has no value. */
export function resolveTemplate(tokens: readonly TemplateToken[], context: RequestContext): readonly PatternToken[] | undefined {
  const resolved: PatternToken[] = [];
  for (const token of tokens) {
    if (token.kind !== "variable") {
      resolved.push(token);
      continue;
    }
    const text = resolveVariable(token, context);
    if (text === undefined) return undefined;
    resolved.push({ kind: "text", text });
  }
  return resolved;
}

/** The text of tokens that are literals alone, or undefined if there is a wildcard or a variable. */
export function literalText(tokens: readonly TemplateToken[]): string | undefined {
  let text = "";
  for (const token of tokens) {
    if (token.kind !== "text") return undefined;
    text += token.text;
  }
  return text;
}
