/**
 * What one sidecar has to know, as a pure function of the state of the mesh and of who and where the sidecar is.
 *
 * A sidecar serves what its identity may answer for. Where a cluster says which pods are behind a service, it has to be one of
 * them as well: service accounts are often shared, and a pod must not take calls for another's service under the wrong policy.
 */
import { formatRoleArn } from "../../common/policy/arn.ts";
import { formatPolicy } from "../../common/policy/document.ts";
import type { TrustBundle } from "../../common/gen/mesh/v1/identity.ts";
import type {
  Destination,
  ExternalService,
  Revocations,
  ServedService,
  ServicePort,
  Snapshot,
  Traffic,
} from "../../common/gen/mesh/v1/mesh.ts";
import { canonicalIp } from "../../common/net/ip.ts";
import { operationTemplates } from "../../common/resources/operation.ts";
import { meshNamespace } from "../../common/resources/resource.ts";
import type { ExternalServiceResource, ServiceResource } from "../../common/resources/resource.ts";
import { hostnamesOf, identitiesOfService, identityOfWorkload } from "../../common/resources/service-names.ts";
import { addressFromString } from "../../common/runtime/environment.ts";
import { identityOf } from "../../common/spiffe/id.ts";
import type { SpiffeId } from "../../common/spiffe/id.ts";
import type { RegisteredEndpoint } from "../registry/endpoint.ts";
import type { MeshState } from "../resources/mesh-state.ts";
import { parseStoredPolicy, rolesOf, secondsFrom, serviceLinkedRoleArn } from "../sts/roles.ts";
import type { Role } from "../sts/roles.ts";
import { hostnamesFor } from "./hostnames.ts";
import { egressPermissionsFor, rolePermissionsFor } from "./role-permissions.ts";

/** Everything of a snapshot but its revision, so that two can be compared. */
export type SnapshotContent = Omit<Snapshot, "revision">;

/** What comes from elsewhere than resources. */
export interface Published {
  readonly bundles: readonly TrustBundle[];
  readonly sessionJwks: string;
}

export interface Member {
  readonly spiffeId: SpiffeId;
  /** IP address that the sidecar's calls come from. */
  readonly address: string;
}

/** Members of which this text is the same are told the same. */
export function contentKey(state: MeshState, { spiffeId, address }: Member): string {
  const here = (knownServices(state).byIdentity.get(spiffeId) ?? []).filter(({ all }) => all?.has(address) === true);
  return [spiffeId, ...here.map(({ service: { metadata } }) => `${metadata.namespace}/${metadata.name}`)].join(" ");
}

/** Lists are in the order of the resources' names: equal states give equal bytes. */
export function buildSnapshot(state: MeshState, published: Published, { spiffeId, address }: Member): SnapshotContent {
  const { trustDomain, region, mesh } = state;
  const identity = identityOf(spiffeId);
  const namespace = identity.kind === "workload" ? identity.namespace : undefined;
  const known = knownServices(state);
  const ofIdentity = known.byIdentity.get(spiffeId) ?? [];
  const served = ofIdentity.filter(({ all }) => all === undefined || all.has(address)).map(({ service }) => service);
  // Whose pod it is shows in its calls too; but a pod that is behind no service, such as a Job's, can call by its identity alone.
  const own = [...served, ...ofIdentity.map(({ service }) => service).filter((service) => !served.includes(service))];
  const hostnames = hostnamesFor(state, namespace);
  const bound = boundRoles(state, spiffeId);
  const roleTowards = createRoleChoice(own, state, bound);
  return {
    mesh: {
      trustDomain,
      region,
      maxClockSkewSeconds: mesh.spec.maxClockSkewSeconds,
      sessionLifetimeSeconds: mesh.spec.sessionLifetimeSeconds,
      svidLifetimeSeconds: mesh.spec.svidLifetimeSeconds,
      maxHashedBodyBytes: mesh.spec.maxHashedBodyBytes,
      auditSample: mesh.spec.auditSample,
      egress: mesh.spec.egress,
    },
    bundles: [...published.bundles],
    sessionJwks: published.sessionJwks,
    served: served.map((service) => servedService(service, state)),
    destinations: known.services
      .filter(({ service }) => service.spec.ports.length > 0)
      .map(({ service, destination }) => ({ ...destination, hostnames: hostnames(service), roleArn: roleTowards(service) })),
    roles: rolePermissionsFor(state, served),
    revocations: revocations(state),
    externalServices: [...state.externalServices.values()]
      .filter(({ metadata }) => metadata.namespace === namespace || metadata.namespace === meshNamespace)
      .map(externalService),
    ownRoles: namespace === undefined ? [] : egressPermissionsFor(ownRoles(own, bound, state), namespace, trustDomain),
  };
}

function portsOf({ spec }: ServiceResource): ServicePort[] {
  return spec.ports.map(({ port, targetPort, protocol, permissive }) => ({
    port,
    targetPort: targetPort ?? port,
    protocol: protocol ?? "",
    permissive,
  }));
}

function servedService(service: ServiceResource, { mesh }: MeshState): ServedService {
  const { metadata, spec } = service;
  return {
    namespace: metadata.namespace,
    name: metadata.name,
    hostnames: [...hostnamesOf(service)],
    ports: portsOf(service),
    operations: [...operationTemplates(spec.operations)],
    strictOperations: spec.operationsMode === "strict",
    resourcePolicy: spec.resourcePolicy === undefined ? "" : formatPolicy(parseStoredPolicy(spec.resourcePolicy, "resource")),
    tier: spec.tier ?? mesh.spec.defaultTier,
    enforcement: spec.enforcement,
    allowEncodedSlashes: spec.allowEncodedSlashes,
    presignedMaxExpiresSeconds: spec.presigned?.maxExpiresSeconds ?? 0,
    presignedAnyBearer: spec.presigned?.bearer === "any",
    addresses: [...spec.addresses],
    maxConcurrentRequests: spec.maxConcurrentRequests,
  };
}

function trafficOf({ spec: { traffic } }: ServiceResource): Traffic {
  const { connectTimeoutMs, requestTimeoutMs, idleTimeoutMs, maxConcurrentRequests, maxPendingRequests, retries, outlierDetection } =
    traffic;
  return {
    connectTimeoutMs,
    requestTimeoutMs,
    idleTimeoutMs,
    maxConcurrentRequests,
    maxPendingRequests,
    retryAttempts: retries.attempts,
    retryBudgetPercent: retries.budgetPercent,
    ...outlierDetection,
  };
}

function externalService({ metadata, spec }: ExternalServiceResource): ExternalService {
  return {
    namespace: metadata.namespace,
    name: metadata.name,
    hosts: [...spec.hosts],
    ports: spec.ports.map(({ port, protocol }) => ({ port, protocol })),
    addresses: [...(spec.addresses ?? [])],
    policyRequired: spec.policy === "required",
  };
}

interface KnownService {
  readonly service: ServiceResource;
  /** Addresses of its pods, where a cluster says so. */
  readonly all: ReadonlySet<string> | undefined;
  /** The same for every caller. */
  readonly destination: Omit<Destination, "roleArn" | "hostnames">;
}

interface KnownServices {
  readonly services: readonly KnownService[];
  /** By who may answer for them. */
  readonly byIdentity: ReadonlyMap<SpiffeId, readonly KnownService[]>;
}

const knownByState = new WeakMap<MeshState, KnownServices>();

/** What every snapshot of a state has in common, made once. */
function knownServices(state: MeshState): KnownServices {
  const present = knownByState.get(state);
  if (present !== undefined) return present;
  const endpoints = Map.groupBy(state.endpoints, ({ spiffeId }) => spiffeId);
  const byIdentity = new Map<SpiffeId, KnownService[]>();
  const services = [...state.services.values()].map((service) => {
    const spiffeIds = [...new Set(identitiesOfService(service, state.trustDomain))];
    const { metadata, spec } = service;
    const instances = state.instances.get(`${metadata.namespace}/${metadata.name}`);
    const reachable = ({ address }: RegisteredEndpoint) => instances === undefined || instances.ready.has(hostOf(address));
    const destination = {
      namespace: metadata.namespace,
      name: metadata.name,
      ports: portsOf(service),
      endpoints: spiffeIds.flatMap((spiffeId) => endpoints.get(spiffeId)?.filter(reachable) ?? []),
      spiffeIds,
      tier: spec.tier ?? state.mesh.spec.defaultTier,
      allowEncodedSlashes: spec.allowEncodedSlashes,
      addresses: [...spec.addresses],
      traffic: trafficOf(service),
    };
    const one = { service, all: instances?.all, destination };
    for (const spiffeId of spiffeIds) byIdentity.getOrInsertComputed(spiffeId, () => []).push(one);
    return one;
  });
  const known = { services, byIdentity };
  knownByState.set(state, known);
  return known;
}

/** As addresses are written in records; whatever is no IP address as it stands. */
function hostOf(address: string): string {
  const host = addressFromString(address)?.host ?? "";
  return canonicalIp(host) ?? host;
}

/** The roles that RoleBindings give a caller, by `<namespace>/<name>` of the service they are for; of several the first. */
function boundRoles(state: MeshState, caller: SpiffeId): ReadonlyMap<string, string> {
  const workloads = new Set(state.workloadsById.get(caller)?.map(({ metadata }) => `${metadata.namespace}/${metadata.name}`));
  const bound = new Map<string, string>();
  for (const { metadata, spec } of state.bindings) {
    const service = `${spec.service.namespace ?? metadata.namespace}/${spec.service.name}`;
    if (bound.has(service) || !workloads.has(`${metadata.namespace}/${spec.workload}`)) continue;
    const role = { trustDomain: state.trustDomain, namespace: spec.role.namespace ?? metadata.namespace, role: spec.role.name };
    bound.set(service, formatRoleArn(role));
  }
  return bound;
}

/** Every role that a caller has: those bound to it, and the service-linked roles of the services that it serves. */
function ownRoles(served: readonly ServiceResource[], bound: ReadonlyMap<string, string>, state: MeshState): readonly Role[] {
  const roles = rolesOf(state);
  const arns = new Set([...served.map((service) => serviceLinkedRoleArn(service, state.trustDomain)), ...bound.values()]);
  return [...arns].flatMap((arn) => roles.get(arn) ?? []);
}

/**
 * The role that a caller assumes towards a service: a RoleBinding's, or else the service-linked role of a service that
 * the caller serves, of several the one that declares the call, or else one that may make it by the mesh's default. Empty
 * where there is none.
 */
function createRoleChoice(
  served: readonly ServiceResource[],
  state: MeshState,
  bound: ReadonlyMap<string, string>,
): (service: ServiceResource) => string {
  const linked = new Map<string, string>();
  for (const own of served) {
    for (const call of own.spec.calls ?? []) {
      if ("external" in call) continue;
      const service = `${call.namespace ?? own.metadata.namespace}/${call.service}`;
      if (!linked.has(service)) linked.set(service, serviceLinkedRoleArn(own, state.trustDomain));
    }
  }
  const arnOf = (own: ServiceResource | undefined) => own && serviceLinkedRoleArn(own, state.trustDomain);
  const otherwise = arnOf(served[0]) ?? "";
  const byDefault = new Map<string, string>();
  if (state.mesh.spec.defaultCalls === "namespace") {
    for (const own of served.filter(({ spec }) => spec.calls === undefined).toReversed()) {
      byDefault.set(own.metadata.namespace, arnOf(own) ?? "");
    }
  }
  return ({ metadata }) => {
    const service = `${metadata.namespace}/${metadata.name}`;
    return bound.get(service) ?? linked.get(service) ?? byDefault.get(metadata.namespace) ?? otherwise;
  };
}

function revocations(state: MeshState): Revocations {
  const roles = [...rolesOf(state).values()]
    .filter(({ revokedBeforeSeconds }) => revokedBeforeSeconds > 0)
    .map(({ arn, revokedBeforeSeconds }) => ({ roleArn: arn, issuedBeforeSeconds: revokedBeforeSeconds }));
  const identities = [...state.workloads.values()]
    .filter(({ spec }) => spec.quarantine || spec.revokedBefore !== undefined)
    .map((workload) => ({
      spiffeId: identityOfWorkload(workload, state.trustDomain),
      issuedBeforeSeconds: secondsFrom(workload.spec.revokedBefore),
      quarantined: workload.spec.quarantine,
    }));
  return { roles, identities };
}
