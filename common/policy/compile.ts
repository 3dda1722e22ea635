/** Policies compiled for evaluation: every pattern and condition a function, every statement filed where requests find it. */
import { actionPatternFromString, compileActionPart, hasWildcard, type ActionPattern } from "./action.ts";
import { compileCondition, type CompiledCondition } from "./condition.ts";
import type { StatementReference } from "./decision.ts";
import type { PatternElement, PolicyDocument, Statement } from "./document.ts";
import { PolicyError } from "./error.ts";
import { compilePrincipal, type PrincipalMatcher } from "./principal.ts";
import type { RequestContext } from "./request-context.ts";
import { compileResourcePattern, matchesResource, type ResourcePattern } from "./resource-pattern.ts";
import { createStatementIndex, fileStatement, filingOf, type Filing, type StatementIndex } from "./statement-index.ts";
import { resolveVariable } from "./template.ts";

export type PolicyMode = "enforce" | "audit";

export interface PolicySource {
  /** Named in decisions. */
  readonly name: string;
  /** A PolicyError where the text was none: then whatever the policy applies to is denied. */
  readonly document: PolicyDocument | PolicyError;
  readonly mode: PolicyMode;
  /** Where each statement stands in the author's document, if this is a slice of it (`sliceForService`). */
  readonly indexes?: readonly number[] | undefined;
}

export interface CompiledStatement {
  /** Place among all statements compiled together: of several that match, the first is reported. */
  readonly order: number;
  readonly deny: boolean;
  readonly audit: boolean;
  readonly reference: StatementReference;
  readonly filing: Filing;
  /** Of a lower-case action. */
  readonly matchesAction: (action: string) => boolean;
  readonly matchesResource: (resource: string, context: RequestContext) => boolean;
  readonly principal: PrincipalMatcher | undefined;
  readonly conditions: readonly CompiledCondition[];
}

export interface InvalidPolicy {
  readonly reference: StatementReference;
  readonly audit: boolean;
  readonly error: PolicyError;
}

export interface CompiledPolicies {
  /** In the order of the sources. */
  readonly statements: readonly CompiledStatement[];
  readonly index: StatementIndex;
  readonly invalid: readonly InvalidPolicy[];
  /** False if all that there is is in audit mode. A set of no policies at all is in force, and allows nothing. */
  readonly enforced: boolean;
  /** Whether any source is in audit mode. */
  readonly audited: boolean;
}

/** Throws PolicyError if a document made in memory holds what `policyFromJson` would refuse. */
export function compilePolicies(sources: readonly PolicySource[]): CompiledPolicies {
  const statements: CompiledStatement[] = [];
  const index = createStatementIndex();
  const invalid: InvalidPolicy[] = [];
  for (const { name, document, mode, indexes } of sources) {
    const audit = mode === "audit";
    if (document instanceof PolicyError) {
      invalid.push({ reference: { policy: name, sid: undefined, index: -1 }, audit, error: document });
      continue;
    }
    const variables = document.version === "2012-10-17";
    for (const [position, statement] of document.statements.entries()) {
      const reference = { policy: name, sid: statement.sid, index: indexes?.[position] ?? position };
      const resources = statement.resource?.patterns.map((text) => compileResourcePattern(text, { variables }));
      const compiled = compileStatement(statement, resources, { order: statements.length, audit, reference, variables });
      statements.push(compiled);
      fileStatement(index, compiled, statement.resource?.negated === false ? resources : undefined);
    }
  }
  return {
    statements,
    index,
    invalid,
    enforced: sources.length === 0 || sources.some(({ mode }) => mode === "enforce"),
    audited: sources.some(({ mode }) => mode === "audit"),
  };
}

interface StatementFrame {
  readonly order: number;
  readonly audit: boolean;
  readonly reference: StatementReference;
  readonly variables: boolean;
}

function compileStatement(
  statement: Statement,
  resources: readonly ResourcePattern[] | undefined,
  { order, audit, reference, variables }: StatementFrame,
): CompiledStatement {
  const deny = statement.effect === "Deny";
  const actions = statement.action.patterns.map(actionPatternFromString);
  return {
    order,
    deny,
    audit,
    reference,
    filing: filingOf(statement.action, actions, resources?.length ?? 1),
    matchesAction: compileActions(statement.action, actions),
    matchesResource: compileResources(statement, resources),
    principal: statement.principal === undefined ? undefined : compilePrincipal(statement.principal),
    conditions: statement.conditions.map((condition) => compileCondition(condition, { variables, whenUnreadable: deny })),
  };
}

function compileActions({ negated }: PatternElement, actions: readonly ActionPattern[]): (action: string) => boolean {
  const exact = new Set<string>();
  const patterns: ((action: string) => boolean)[] = [];
  for (const { service, name } of actions) {
    if (!hasWildcard(service) && !hasWildcard(name)) {
      exact.add(`${service}:${name}`);
      continue;
    }
    const matches = compileActionPart(service === "*" && name === "*" ? "*" : `${service}:${name}`);
    patterns.push((action) => matches(action, 0));
  }
  return (action) => {
    if (exact.has(action)) return !negated;
    for (const matches of patterns) if (matches(action)) return !negated;
    return negated;
  };
}

function compileResources(
  { effect, resource }: Statement,
  patterns: readonly ResourcePattern[] | undefined,
): (resource: string, context: RequestContext) => boolean {
  if (resource === undefined || patterns === undefined) return () => true;
  const { negated } = resource;
  // While a variable has no value, what NotResource leaves out is unknown: then a Deny leaves out nothing, and an Allow does not apply.
  const needed = negated && effect === "Allow" ? patterns.flatMap(({ variables }) => variables) : [];
  return (text, context) => {
    for (const variable of needed) if (resolveVariable(variable, context) === undefined) return false;
    for (const pattern of patterns) if (matchesResource(pattern, text, context)) return !negated;
    return negated;
  };
}
