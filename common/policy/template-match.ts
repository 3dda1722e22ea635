/** Templates as matchers: as fast as wildcards where they have no variable, and without building a pattern where they have. Hot path. */
import type { RequestContext } from "./request-context.ts";
import { resolveTemplate, resolveVariable, variablesIn, type PatternToken, type TemplateToken } from "./template.ts";
import { compileWildcard } from "./wildcard.ts";

/** Whether the text from `from` to its end matches. A template with a variable that has no value matches nothing. */
export type TemplateMatcher = (text: string, from: number, context: RequestContext) => boolean;

export function compileTemplate(tokens: readonly TemplateToken[]): TemplateMatcher {
  if (variablesIn(tokens).length === 0) return compileWildcard(tokens as readonly PatternToken[]);
  return (text, from, context) => matchTemplate(tokens, text, from, context);
}

function matchTemplate(tokens: readonly TemplateToken[], text: string, from: number, context: RequestContext): boolean {
  let at = from;
  for (let index = 0; index < tokens.length; index += 1) {
    const token = tokens[index] as TemplateToken;
    if (token.kind === "run") {
      if (index === tokens.length - 1) return true;
      const rest = resolveTemplate(tokens.slice(index), context);
      return rest !== undefined && compileWildcard(rest)(text, at);
    }
    if (token.kind === "one") {
      if (at >= text.length) return false;
      at += 1;
      continue;
    }
    const literal = token.kind === "text" ? token.text : resolveVariable(token, context);
    if (literal === undefined || !text.startsWith(literal, at)) return false;
    at += literal.length;
  }
  return at === text.length;
}
