/**
 * Patterns of ARNs, as in Resource and NotResource. As in AWS, `*` and `?` stay within their part between colons, but in the
 * last part they go on to the end: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html
 */
import { PolicyError } from "./error.ts";
import type { RequestContext } from "./request-context.ts";
import { compileTemplate, type TemplateMatcher } from "./template-match.ts";
import { literalText, parseTemplate, variablesIn, type TemplateToken, type VariableToken } from "./template.ts";

export interface ResourcePattern {
  /** What every matching ARN begins with. */
  readonly prefix: string;
  /** What has to follow the prefix: nothing, anything, or what the test says. */
  readonly rest: "nothing" | "anything" | TemplateMatcher;
  /** While one of these has no value, the pattern matches nothing. */
  readonly variables: readonly VariableToken[];
}

const arnPrefix = "arn:mesh:";
const arnParts = 6;
const maxPatternLength = 2048;
const notInArns = /[^!-~]/;

/**
 * The six parts of a pattern, in tokens; undefined for `*`, which is every ARN. Throws PolicyError `invalid-resource` or
 * `invalid-variable`.
 */
export function parseResourcePattern(
  text: string,
  rules: { readonly variables: boolean },
): readonly (readonly TemplateToken[])[] | undefined {
  const invalid = (problem: string): never => {
    throw new PolicyError("invalid-resource", `${JSON.stringify(text)}: ${problem}`);
  };
  if (text === "*") return undefined;
  if (text.length > maxPatternLength) return invalid(`longer than ${maxPatternLength} characters`);
  if (!text.startsWith(arnPrefix)) return invalid('neither "*" nor arn:mesh:<service>:<trust-domain>:<namespace>:<resource>');
  const parts: TemplateToken[][] = [[]];
  for (const token of parseTemplate(text, { wildcards: true, variables: rules.variables })) {
    if (token.kind !== "text") {
      parts.at(-1)?.push(token);
      continue;
    }
    if (notInArns.test(token.text)) return invalid("an ARN has printable ASCII only, so this matches nothing");
    for (const [index, piece] of splitColons(token.text, arnParts - parts.length).entries()) {
      if (index > 0) parts.push([]);
      if (piece !== "") parts.at(-1)?.push({ kind: "text", text: piece });
    }
  }
  if (parts.length < arnParts) return invalid("an ARN has six parts: arn:mesh:<service>:<trust-domain>:<namespace>:<resource>");
  if (parts.some((part) => part.length === 0)) return invalid("a part is empty, so this matches nothing");
  return parts;
}

/** Cuts at the first `most` colons. */
function splitColons(text: string, most: number): readonly string[] {
  const pieces: string[] = [];
  let start = 0;
  for (let cut = text.indexOf(":"); cut >= 0 && pieces.length < most; cut = text.indexOf(":", start)) {
    pieces.push(text.slice(start, cut));
    start = cut + 1;
  }
  pieces.push(text.slice(start));
  return pieces;
}

/** Throws as `parseResourcePattern` does. */
export function compileResourcePattern(text: string, rules: { readonly variables: boolean }): ResourcePattern {
  const parts = parseResourcePattern(text, rules);
  if (parts === undefined) return { prefix: "", rest: "anything", variables: [] };
  const variables = parts.flatMap(variablesIn);
  const heads = parts.slice(0, -1).map(literalText);
  const last = parts.at(-1) ?? [];
  const [first, ...others] = last;
  if (heads.every((head) => head !== undefined)) {
    const literal = first?.kind === "text";
    return { prefix: `${heads.join(":")}:${literal ? first.text : ""}`, rest: compileRemainder(literal ? others : last), variables };
  }
  const matchers = parts.map(compileTemplate);
  const plain = heads.slice(0, heads.indexOf(undefined)).join(":");
  return { prefix: `${plain}:`, rest: (resource, _from, context) => matchParts(matchers, resource, context), variables };
}

function compileRemainder(tokens: readonly TemplateToken[]): ResourcePattern["rest"] {
  if (tokens.length === 0) return "nothing";
  if (tokens.length === 1 && tokens[0]?.kind === "run") return "anything";
  return compileTemplate(tokens);
}

function matchParts(matchers: readonly TemplateMatcher[], resource: string, context: RequestContext): boolean {
  const parts = splitColons(resource, arnParts - 1);
  return parts.length === arnParts && matchers.every((matches, index) => matches(parts[index] ?? "", 0, context));
}

/** Whether a whole ARN matches. */
export function matchesResource({ prefix, rest }: ResourcePattern, resource: string, context: RequestContext): boolean {
  if (!resource.startsWith(prefix)) return false;
  if (rest === "anything") return true;
  if (rest === "nothing") return resource.length === prefix.length;
  return rest(resource, prefix.length, context);
}
