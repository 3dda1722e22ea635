/**
 * Roles as they are in force: those that `Role` resources declare, and for every service the service-linked role that may do
 * what the service declared in `calls` (or, where it declared nothing, what `Mesh.spec.defaultCalls` says), and that only the
 * service's own identities may assume.
 */
import { formatRoleArn } from "../../common/policy/arn.ts";
import { policyFromValue } from "../../common/policy/document.ts";
import type { PolicyDocument, PolicyKind } from "../../common/policy/document.ts";
import { permissionsFromCalls } from "../../common/policy/service-linked.ts";
import type { RoleResource, ServiceResource } from "../../common/resources/resource.ts";
import type { IamDocument } from "../../common/resources/iam-document.ts";
import { identitiesOfService } from "../../common/resources/service-names.ts";
import type { SpiffeId } from "../../common/spiffe/id.ts";
import type { MeshState } from "../resources/mesh-state.ts";
import { longestSessionSeconds } from "./epochs.ts";

export interface RolePolicy {
  /** Named in decisions. */
  readonly name: string;
  /** Undefined where the policy referred to does not exist: whatever the role asks for is then to be denied. */
  readonly document: PolicyDocument | undefined;
  readonly mode: "enforce" | "audit";
}

export interface Role {
  readonly arn: string;
  readonly namespace: string;
  /** `checkout`, `service-linked/orders` */
  readonly name: string;
  readonly trust:
    | { readonly by: "policy"; readonly document: PolicyDocument }
    | { readonly by: "identity"; readonly ids: readonly SpiffeId[] };
  readonly policies: readonly RolePolicy[];
  readonly boundary: RolePolicy | undefined;
  readonly maxSessionSeconds: number;
  readonly tags: ReadonlyMap<string, string>;
  /** Sessions issued before this second are refused; 0 for none. */
  readonly revokedBeforeSeconds: number;
}

/** Resources stay the same objects while they are unchanged, and so do their documents: parsed once. */
const parsedDocuments = new WeakMap<IamDocument, PolicyDocument>();

export function parseStoredPolicy(value: IamDocument, kind: PolicyKind): PolicyDocument {
  const known = parsedDocuments.get(value);
  if (known !== undefined) return known;
  const document = policyFromValue(value, kind);
  parsedDocuments.set(value, document);
  return document;
}

const linkedPermissions = new WeakMap<ServiceResource, PolicyDocument>();
/** With names of the greatest length they stay within what a document may have. */
const servicesInDocument = 64;
const namespacePermissionsOf = new WeakMap<MeshState, Map<string, readonly PolicyDocument[]>>();
const rolesByState = new WeakMap<MeshState, ReadonlyMap<string, Role>>();

export function serviceLinkedRoleArn(service: ServiceResource, trustDomain: string): string {
  const { name, namespace } = service.metadata;
  return formatRoleArn({ trustDomain, namespace, role: `service-linked/${name}` });
}

/** Every role of the mesh by ARN. */
export function rolesOf(state: MeshState): ReadonlyMap<string, Role> {
  const known = rolesByState.get(state);
  if (known !== undefined) return known;
  const roles = new Map<string, Role>();
  for (const service of state.services.values()) {
    const role = serviceLinkedRole(service, state);
    roles.set(role.arn, role);
  }
  for (const resource of state.roles.values()) {
    const role = declaredRole(resource, state);
    roles.set(role.arn, role);
  }
  rolesByState.set(state, roles);
  return roles;
}

function serviceLinkedRole(service: ServiceResource, state: MeshState): Role {
  const { name, namespace } = service.metadata;
  const { trustDomain, mesh } = state;
  const byDefault = service.spec.calls === undefined && mesh.spec.defaultCalls === "namespace";
  const documents = byDefault ? namespacePermissions(state, namespace) : [declaredPermissions(service, trustDomain)];
  return {
    arn: serviceLinkedRoleArn(service, trustDomain),
    namespace,
    name: `service-linked/${name}`,
    trust: { by: "identity", ids: identitiesOfService(service, trustDomain) },
    policies: documents.map((document, index) => ({
      name: byDefault ? `service-linked/${name}/default-calls/${index}` : `service-linked/${name}/calls`,
      document,
      mode: "enforce",
    })),
    boundary: undefined,
    maxSessionSeconds: longestSessionSeconds,
    tags: new Map(),
    revokedBeforeSeconds: 0,
  };
}

function declaredPermissions(service: ServiceResource, trustDomain: string): PolicyDocument {
  const known = linkedPermissions.get(service);
  if (known !== undefined) return known;
  const { namespace } = service.metadata;
  const calls = (service.spec.calls ?? []).map((call) =>
    "external" in call ? { ...call, namespace } : { ...call, namespace: call.namespace ?? namespace },
  );
  const document = permissionsFromCalls(trustDomain, calls);
  linkedPermissions.set(service, document);
  return document;
}

/**
 * Every action of every service of the namespace that can be called, one statement a service: a wildcard would take in what is
 * no service, such as the hosts outside the mesh. Several documents where one would be too large.
 */
function namespacePermissions(state: MeshState, namespace: string): readonly PolicyDocument[] {
  const byNamespace = namespacePermissionsOf.get(state) ?? new Map<string, readonly PolicyDocument[]>();
  namespacePermissionsOf.set(state, byNamespace);
  const known = byNamespace.get(namespace);
  if (known !== undefined) return known;
  const calls = [...state.services.values()]
    .filter(({ metadata, spec }) => metadata.namespace === namespace && spec.ports.length > 0)
    .map(({ metadata }) => ({ service: metadata.name, namespace }));
  const documents = Array.from({ length: Math.ceil(calls.length / servicesInDocument) }, (_, index) =>
    permissionsFromCalls(state.trustDomain, calls.slice(index * servicesInDocument, (index + 1) * servicesInDocument)),
  );
  byNamespace.set(namespace, documents);
  return documents;
}

function declaredRole({ metadata: { name, namespace }, spec }: RoleResource, state: MeshState): Role {
  const resolve = (policy: string | IamDocument, inlineName: string): RolePolicy => {
    if (typeof policy !== "string") return { name: inlineName, document: parseStoredPolicy(policy, "identity"), mode: "enforce" };
    const referred = state.policies.get(`${namespace}/${policy}`);
    if (referred === undefined) return { name: policy, document: undefined, mode: "enforce" };
    return { name: policy, document: parseStoredPolicy(referred.spec.document, "identity"), mode: referred.spec.mode };
  };
  return {
    arn: formatRoleArn({ trustDomain: state.trustDomain, namespace, role: name }),
    namespace,
    name,
    trust: { by: "policy", document: parseStoredPolicy(spec.trustPolicy, "trust") },
    policies: spec.permissionPolicies.map((policy, index) => resolve(policy, `${name}/inline/${index}`)),
    boundary: spec.permissionsBoundary === undefined ? undefined : resolve(spec.permissionsBoundary, `${name}/boundary`),
    maxSessionSeconds: spec.maxSessionSeconds,
    tags: new Map(Object.entries(spec.tags)),
    revokedBeforeSeconds: secondsFrom(spec.revokeSessionsIssuedBefore),
  };
}

/** Rounded up, so that what was issued in a second that is partly before counts as before. 0 for undefined. */
export function secondsFrom(timestamp: string | undefined): number {
  return timestamp === undefined ? 0 : Math.ceil(Date.parse(timestamp) / 1000);
}
