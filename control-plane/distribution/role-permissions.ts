/**
 * What a sidecar has to know of roles: of each policy the statements that can match a service it serves, and of its own
 * workload's roles those that can match a call out of the mesh.
 */
import { formatPolicy } from "../../common/policy/document.ts";
import type { PolicyDocument } from "../../common/policy/document.ts";
import { externalService } from "../../common/policy/external.ts";
import { sliceForService } from "../../common/policy/slice.ts";
import type { ServiceResource } from "../../common/resources/resource.ts";
import type { RolePermissions } from "../../common/gen/mesh/v1/mesh.ts";
import type { MeshState } from "../resources/mesh-state.ts";
import { rolesOf } from "../sts/roles.ts";
import type { Role, RolePolicy } from "../sts/roles.ts";

/** A document that no reader accepts: evaluation denies what it cannot evaluate, so the absence of a policy never allows. */
const unreadableDocument = "{}";

const sliceIndexes = new WeakMap<PolicyDocument, Map<string, readonly number[]>>();

/** Part of an ARN: requests to this service, by name. */
interface SliceScope {
  readonly name: string;
  readonly namespace: string;
}

function indexesFor(document: PolicyDocument, { name, namespace }: SliceScope, trustDomain: string): readonly number[] {
  const byService = sliceIndexes.get(document) ?? new Map<string, readonly number[]>();
  sliceIndexes.set(document, byService);
  const key = `${namespace}/${name}`;
  const known = byService.get(key);
  if (known !== undefined) return known;
  const { indexes } = sliceForService(document, { service: name, trustDomain, namespace });
  byService.set(key, indexes);
  return indexes;
}

interface Slice {
  readonly document: PolicyDocument;
  /** Where its statements stand in the whole, in rising order. */
  readonly indexes: readonly number[];
}

function sliceOf(document: PolicyDocument, scopes: readonly SliceScope[], trustDomain: string): Slice {
  const wanted = new Set(scopes.flatMap((scope) => indexesFor(document, scope, trustDomain)));
  const indexes = document.statements
    .keys()
    .filter((index) => wanted.has(index))
    .toArray();
  return { document: { ...document, statements: document.statements.filter((_, index) => wanted.has(index)) }, indexes };
}

interface RolesByService {
  /** Roles whose policies name that service (lower-case) among their actions. */
  readonly named: ReadonlyMap<string, readonly Role[]>;
  /** Roles with a policy that may speak of any service, or that cannot be read. */
  readonly any: readonly Role[];
}

const rolesByServiceOf = new WeakMap<ReadonlyMap<string, Role>, RolesByService>();

/** So that a service is not held against every role of the mesh. In doubt a role counts as speaking of any service. */
function rolesByService(roles: ReadonlyMap<string, Role>): RolesByService {
  const known = rolesByServiceOf.get(roles);
  if (known !== undefined) return known;
  const named = new Map<string, Role[]>();
  const any: Role[] = [];
  for (const role of roles.values()) {
    const services = new Set(role.policies.flatMap(({ document }) => (document === undefined ? ["*"] : servicesNamedIn(document))));
    if ([...services].some((service) => /[*?]/.test(service))) any.push(role);
    else for (const service of services) named.getOrInsertComputed(service, () => []).push(role);
  }
  const index = { named, any };
  rolesByServiceOf.set(roles, index);
  return index;
}

/** Lower-case, wildcards as they stand; `*` for all. */
function servicesNamedIn(document: PolicyDocument): readonly string[] {
  return document.statements.flatMap(({ action }) =>
    action.negated ? ["*"] : action.patterns.map((pattern) => pattern.split(":", 1)[0]?.toLowerCase() ?? "*"),
  );
}

/**
 * The roles that can be allowed anything by a service of `served`, by ARN. A role that is not among them is denied: it has
 * no permission there, or does not exist any more.
 */
export function rolePermissionsFor(state: MeshState, served: readonly ServiceResource[]): RolePermissions[] {
  if (served.length === 0) return [];
  // A resource policy may allow a role that has no permission of its own, within the role's boundary.
  const byResource = served.some(({ spec }) => spec.resourcePolicy !== undefined);
  const roles = rolesOf(state);
  const { named, any } = rolesByService(roles);
  const candidates = byResource
    ? roles.values()
    : new Set([...any, ...served.flatMap(({ metadata }) => named.get(metadata.name.toLowerCase()) ?? [])]);
  const scopes = served.map(({ metadata }) => metadata);
  return permissionsOf(candidates, scopes, state.trustDomain, byResource);
}

/** What `roles`, a workload's own, say of calls out of the mesh by a workload of that namespace. */
export function egressPermissionsFor(roles: Iterable<Role>, namespace: string, trustDomain: string): RolePermissions[] {
  return permissionsOf(roles, [{ name: externalService, namespace }], trustDomain, false);
}

/** `all`: also of roles without a policy or boundary that concerns the scopes. */
function permissionsOf(roles: Iterable<Role>, scopes: readonly SliceScope[], trustDomain: string, all: boolean): RolePermissions[] {
  const permissions: RolePermissions[] = [];
  for (const role of roles) {
    const policies = role.policies.flatMap((policy) => policyFor(policy, scopes, trustDomain));
    if (policies.length === 0 && role.boundary === undefined && !all) continue;
    permissions.push({
      roleArn: role.arn,
      policies,
      permissionsBoundary: boundaryFor(role, scopes, trustDomain),
      tags: Object.fromEntries([...role.tags].sort(([a], [b]) => (a < b ? -1 : 1))),
    });
  }
  return permissions.sort((a, b) => (a.roleArn < b.roleArn ? -1 : 1));
}

function policyFor({ name, document, mode }: RolePolicy, scopes: readonly SliceScope[], trustDomain: string) {
  if (document === undefined) return [{ name, document: unreadableDocument, mode, statementIndexes: [] }];
  const slice = sliceOf(document, scopes, trustDomain);
  if (slice.indexes.length === 0) return [];
  return [{ name, document: formatPolicy(slice.document), mode, statementIndexes: [...slice.indexes] }];
}

function boundaryFor({ boundary }: Role, scopes: readonly SliceScope[], trustDomain: string): string {
  if (boundary === undefined) return "";
  return boundary.document === undefined ? unreadableDocument : formatPolicy(sliceOf(boundary.document, scopes, trustDomain).document);
}
