/**
 * Statements filed by action and there by resource, so that a decision looks at the few that can match and not at the thousand
 * that cannot. Hot path.
 */
import { hasWildcard, type ActionPattern } from "./action.ts";
import type { CompiledStatement } from "./compile.ts";
import type { PatternElement } from "./document.ts";
import type { RequestContext } from "./request-context.ts";
import { createResourceIndex, insertPattern, visitMatches, type ResourceIndex } from "./resource-index.ts";
import type { ResourcePattern } from "./resource-pattern.ts";

/** Statements that some actions select. */
interface ActionBucket {
  readonly byResource: ResourceIndex<CompiledStatement>;
  /** Statements with NotResource, or in trust policies with no resource at all. */
  readonly others: CompiledStatement[];
}

export interface StatementIndex {
  /** Lower-case action → statements that name it. */
  readonly byAction: Map<string, ActionBucket>;
  /** Lower-case service → statements with patterns of its actions, to be matched still. */
  readonly byService: Map<string, ActionBucket>;
  /** Every other statement, its action to be matched still. */
  readonly anywhere: ActionBucket;
}

/** Where a statement is filed: together these cover every action that it can match. */
export interface Filing {
  /** `orders:getitem` */
  readonly actions: ReadonlySet<string>;
  readonly services: ReadonlySet<string>;
  readonly anywhere: boolean;
}

// A statement of m actions and n resources would be filed m × n times; beyond this it is filed by service alone, or under none.
const maxPlacesOfStatement = 512;
const filedAnywhere: Filing = { actions: new Set(), services: new Set(), anywhere: true };

export function createStatementIndex(): StatementIndex {
  return { byAction: new Map(), byService: new Map(), anywhere: createBucket() };
}

function createBucket(): ActionBucket {
  return { byResource: createResourceIndex(), others: [] };
}

/** `resources` is the number of the statement's resource patterns. */
export function filingOf({ negated }: PatternElement, patterns: readonly ActionPattern[], resources: number): Filing {
  if (negated || patterns.some(({ service }) => hasWildcard(service))) return filedAnywhere;
  const exact = patterns.length === 1 || patterns.length * resources <= maxPlacesOfStatement;
  const actions = new Set<string>();
  const services = new Set<string>();
  for (const { service, name } of patterns) {
    if (exact && !hasWildcard(name)) actions.add(`${service}:${name}`);
    else services.add(service);
  }
  const places = actions.size + services.size;
  return places > 1 && places * resources > maxPlacesOfStatement ? filedAnywhere : { actions, services, anywhere: false };
}

/** `resources` is undefined for a statement that is to be asked itself whether a resource matches. */
export function fileStatement(
  index: StatementIndex,
  statement: CompiledStatement,
  resources: readonly ResourcePattern[] | undefined,
): void {
  const { actions, services, anywhere } = statement.filing;
  const buckets = anywhere ? [index.anywhere] : [];
  for (const action of actions) buckets.push(bucketOf(index.byAction, action));
  for (const service of services) buckets.push(bucketOf(index.byService, service));
  for (const bucket of buckets) {
    if (resources === undefined) bucket.others.push(statement);
    else for (const pattern of resources) insertPattern(bucket.byResource, pattern, statement);
  }
}

function bucketOf(buckets: Map<string, ActionBucket>, key: string): ActionBucket {
  const bucket = buckets.get(key) ?? createBucket();
  buckets.set(key, bucket);
  return bucket;
}

/** What is looked for, `action` and `service` in lower case. */
export interface Search {
  readonly action: string;
  readonly service: string;
  readonly resource: string;
  readonly context: RequestContext;
  /** While visiting: whether the statement at hand was filed under the very action. If not, its action has to be matched still. */
  actionKnown: boolean;
}

/** Calls `visit` for the statements whose resource matches and whose action may; more than once for some. */
export function visitStatements<State extends Search>(
  index: StatementIndex,
  search: State,
  visit: (state: State, statement: CompiledStatement) => void,
): void {
  const named = index.byAction.get(search.action);
  if (named !== undefined) {
    search.actionKnown = true;
    visitBucket(named, search, visit);
    search.actionKnown = false;
  }
  const ofService = index.byService.get(search.service);
  if (ofService !== undefined) visitBucket(ofService, search, visit);
  visitBucket(index.anywhere, search, visit);
}

function visitBucket<State extends Search>(
  bucket: ActionBucket,
  search: State,
  visit: (state: State, statement: CompiledStatement) => void,
): void {
  visitMatches(bucket.byResource, search.resource, search.context, visit, search);
  for (const statement of bucket.others) if (statement.matchesResource(search.resource, search.context)) visit(search, statement);
}
