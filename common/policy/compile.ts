/**
 * Policies compiled for evaluation. Statements are filed by action (exact, all of a service's, all) and there by resource,
 * so that a decision looks at the few that can match and not at the thousand that cannot.
 */
import { actionPatternFromString, compileActionPart, hasWildcard, type ActionPattern } from "./action.ts";
import { compileCondition, type CompiledCondition } from "./condition.ts";
import type { StatementReference } from "./decision.ts";
import type { PatternElement, PolicyDocument, Statement } from "./document.ts";
import { PolicyError } from "./error.ts";
import { compilePrincipal, type PrincipalMatcher } from "./principal.ts";
import type { RequestContext } from "./request-context.ts";
import { createResourceIndex, insertPattern, type ResourceIndex } from "./resource-index.ts";
import { compileResourcePattern, matchesResource, type ResourcePattern } from "./resource-pattern.ts";
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
  /** Of a lower-case action. */
  readonly matchesAction: (action: string) => boolean;
  readonly matchesResource: (resource: string, context: RequestContext) => boolean;
  readonly principal: PrincipalMatcher | undefined;
  readonly conditions: readonly CompiledCondition[];
}

/** Statements that some actions select. */
export interface ActionBucket {
  readonly byResource: ResourceIndex<CompiledStatement>;
  /** Statements with NotResource, or in trust policies with no resource at all. */
  readonly others: CompiledStatement[];
}

export interface InvalidPolicy {
  readonly reference: StatementReference;
  readonly audit: boolean;
  readonly error: PolicyError;
}

export interface CompiledPolicies {
  /** In the order of the sources. */
  readonly statements: readonly CompiledStatement[];
  /** Lower-case action → statements that name it. */
  readonly byAction: ReadonlyMap<string, ActionBucket>;
  /** Lower-case service → statements with patterns of its actions, to be matched still. */
  readonly byService: ReadonlyMap<string, ActionBucket>;
  /** Every other statement, its action to be matched still. */
  readonly anywhere: ActionBucket;
  readonly invalid: readonly InvalidPolicy[];
  /** False if all that there is is in audit mode. A set of no policies at all is in force, and allows nothing. */
  readonly enforced: boolean;
  /** Whether any source is in audit mode. */
  readonly audited: boolean;
}

// A statement of m actions and n resources would be filed m × n times; beyond this it is filed by service alone, or under none.
const maxPlacesOfStatement = 512;

/** Throws PolicyError if a document made in memory holds what `policyFromJson` would refuse. */
export function compilePolicies(sources: readonly PolicySource[]): CompiledPolicies {
  const statements: CompiledStatement[] = [];
  const byAction = new Map<string, ActionBucket>();
  const byService = new Map<string, ActionBucket>();
  const anywhere = createBucket();
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
      const actions = statement.action.patterns.map(actionPatternFromString);
      const resources = statement.resource?.patterns.map((text) => compileResourcePattern(text, { variables }));
      const compiled = compileStatement(statement, actions, resources, { order: statements.length, audit, reference, variables });
      statements.push(compiled);
      const listed = statement.resource?.negated === false ? resources : undefined;
      for (const bucket of bucketsFor(statement.action, actions, listed?.length ?? 1, byAction, byService, anywhere)) {
        if (listed === undefined) bucket.others.push(compiled);
        else for (const pattern of listed) insertPattern(bucket.byResource, pattern, compiled);
      }
    }
  }
  return {
    statements,
    byAction,
    byService,
    anywhere,
    invalid,
    enforced: sources.length === 0 || sources.some(({ mode }) => mode === "enforce"),
    audited: sources.some(({ mode }) => mode === "audit"),
  };
}

function createBucket(): ActionBucket {
  return { byResource: createResourceIndex(), others: [] };
}

/** Where a statement is filed: together these cover every action that it can match. */
function bucketsFor(
  element: PatternElement,
  actions: readonly ActionPattern[],
  resources: number,
  byAction: Map<string, ActionBucket>,
  byService: Map<string, ActionBucket>,
  anywhere: ActionBucket,
): readonly ActionBucket[] {
  if (element.negated || actions.some(({ service }) => hasWildcard(service))) return [anywhere];
  const exact = actions.length === 1 || actions.length * resources <= maxPlacesOfStatement;
  const actionKeys = new Set<string>();
  const serviceKeys = new Set<string>();
  for (const { service, name } of actions) {
    if (exact && !hasWildcard(name)) actionKeys.add(`${service}:${name}`);
    else serviceKeys.add(service);
  }
  const keys = actionKeys.size + serviceKeys.size;
  if (keys > 1 && keys * resources > maxPlacesOfStatement) return [anywhere];
  return [...[...actionKeys].map((key) => bucketOf(byAction, key)), ...[...serviceKeys].map((key) => bucketOf(byService, key))];
}

function bucketOf(buckets: Map<string, ActionBucket>, key: string): ActionBucket {
  const bucket = buckets.get(key) ?? createBucket();
  buckets.set(key, bucket);
  return bucket;
}

interface StatementFrame {
  readonly order: number;
  readonly audit: boolean;
  readonly reference: StatementReference;
  readonly variables: boolean;
}

function compileStatement(
  statement: Statement,
  actions: readonly ActionPattern[],
  resources: readonly ResourcePattern[] | undefined,
  { order, audit, reference, variables }: StatementFrame,
): CompiledStatement {
  const deny = statement.effect === "Deny";
  return {
    order,
    deny,
    audit,
    reference,
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
