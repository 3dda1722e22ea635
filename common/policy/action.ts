/**
 * Actions, `orders:GetItem`, and their patterns: `orders:*`, `orders:Get*`, `*`. Upper and lower case are the same in actions, as in AWS.
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_action.html
 */
import { PolicyError } from "./error.ts";
import { parseTemplate, type PatternToken } from "./template.ts";
import { compileWildcard, type WildcardMatcher } from "./wildcard.ts";

export interface ActionPattern {
  /** Lower-case. The name of the service before the colon, which may have wildcards; `*` for the pattern `*`. */
  readonly service: string;
  /** Lower-case, after the colon. */
  readonly name: string;
}

const pattern = /^([a-zA-Z0-9.*?-]{1,253}):([A-Za-z0-9_.*?-]{1,256})$/;

/** Throws PolicyError `invalid-action`. */
export function actionPatternFromString(text: string): ActionPattern {
  if (text === "*") return { service: "*", name: "*" };
  const [, service, name] = pattern.exec(text) ?? [];
  if (service === undefined || name === undefined) {
    throw new PolicyError("invalid-action", `${JSON.stringify(text)} is neither "*" nor <service>:<action>`);
  }
  return { service: service.toLowerCase(), name: name.toLowerCase() };
}

export function hasWildcard(text: string): boolean {
  return text.includes("*") || text.includes("?");
}

/** A matcher of `*` and `?` over lower-case text. */
export function compileActionPart(text: string): WildcardMatcher {
  return compileWildcard(parseTemplate(text, { wildcards: true, variables: false }) as readonly PatternToken[]);
}
