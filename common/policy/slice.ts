/**
 * The part of a policy that a service has to know: statements that can match some request to it. A statement is left out only
 * if none of its actions or none of its resources can be of that service; in doubt it stays, a Deny above all.
 */
import { actionPatternFromString, compileActionPart } from "./action.ts";
import type { PatternElement, PolicyDocument, Statement } from "./document.ts";
import { parseResourcePattern } from "./resource-pattern.ts";
import type { PatternToken, TemplateToken } from "./template.ts";
import { compileWildcard } from "./wildcard.ts";

/** Requests with an action `<service>:…` on a resource `arn:mesh:<service>:<trustDomain>:<namespace>:…`. */
export interface ServiceScope {
  readonly service: string;
  readonly trustDomain: string;
  readonly namespace: string;
}

export interface PolicySlice {
  readonly document: PolicyDocument;
  /** Where each statement of the slice stands in the whole document. */
  readonly indexes: readonly number[];
}

/** Evaluating the slice gives what evaluating the whole gives, for every request within the scope. */
export function sliceForService(document: PolicyDocument, scope: ServiceScope): PolicySlice {
  const variables = document.version === "2012-10-17";
  const indexes: number[] = [];
  const statements: Statement[] = [];
  for (const [index, statement] of document.statements.entries()) {
    if (!actionsReach(statement.action, scope.service)) continue;
    if (statement.resource !== undefined && !resourcesReach(statement.resource, scope, variables)) continue;
    indexes.push(index);
    statements.push(statement);
  }
  return { document: { ...document, statements }, indexes };
}

function actionsReach({ negated, patterns }: PatternElement, service: string): boolean {
  const ofService = patterns.map(actionPatternFromString).filter((pattern) => compileActionPart(pattern.service)(service.toLowerCase(), 0));
  return negated ? !ofService.some(({ name }) => name === "*") : ofService.length > 0;
}

function resourcesReach({ negated, patterns }: PatternElement, scope: ServiceScope, variables: boolean): boolean {
  const parsed = patterns.map((text) => parseResourcePattern(text, { variables }));
  if (negated) return !parsed.some((parts) => parts === undefined || coversAll(parts, scope));
  return parsed.some((parts) => parts === undefined || canMatch(parts, scope));
}

/** Whether the parts before the resource can be those of the scope, whatever values variables have. */
function canMatch(parts: readonly (readonly TemplateToken[])[], scope: ServiceScope): boolean {
  return headMatches(
    parts.map((part) => part.map(anyValue)),
    scope,
  );
}

/** Whether every resource of the scope matches, whatever values variables have. */
function coversAll(parts: readonly (readonly TemplateToken[])[], scope: ServiceScope): boolean {
  const last = parts.at(-1) ?? [];
  if (last.length !== 1 || last[0]?.kind !== "run") return false;
  const fixed = parts.map((part) => part.filter((token) => token.kind !== "variable"));
  return fixed.every((part, index) => part.length === parts[index]?.length) && headMatches(fixed, scope);
}

function anyValue(token: TemplateToken): PatternToken {
  return token.kind === "variable" ? { kind: "run" } : token;
}

function headMatches(parts: readonly (readonly PatternToken[])[], { service, trustDomain, namespace }: ServiceScope): boolean {
  return [service, trustDomain, namespace].every((text, index) => compileWildcard(parts[index + 2] ?? [])(text, 0));
}
