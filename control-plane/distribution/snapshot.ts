/** What one sidecar has to know, as a pure function of the state of the mesh and of the sidecar's identity. */
import { formatPolicy } from "../../common/policy/document.ts";
import type { TrustBundle } from "../../common/gen/mesh/v1/identity.ts";
import type { Destination, Revocations, ServedService, ServicePort, Snapshot } from "../../common/gen/mesh/v1/mesh.ts";
import { operationTemplates } from "../../common/resources/operation.ts";
import type { ServiceResource } from "../../common/resources/resource.ts";
import { hostnamesOf, identitiesOfService, identityOfWorkload } from "../../common/resources/service-names.ts";
import type { SpiffeId } from "../../common/spiffe/id.ts";
import type { MeshState } from "../resources/mesh-state.ts";
import { parseStoredPolicy, rolesOf, secondsFrom, serviceLinkedRoleArn } from "../sts/roles.ts";
import { rolePermissionsFor } from "./role-permissions.ts";

/** Everything of a snapshot but its revision, so that two can be compared. */
export type SnapshotContent = Omit<Snapshot, "revision">;

/** What comes from elsewhere than resources. */
export interface Published {
  readonly bundles: readonly TrustBundle[];
  readonly sessionJwks: string;
}

/** Lists are in the order of the resources' names: equal states give equal bytes. */
export function buildSnapshot(state: MeshState, published: Published, spiffeId: SpiffeId): SnapshotContent {
  const { trustDomain, region, mesh } = state;
  const services = [...state.services.values()];
  const served = services.filter((service) => identitiesOfService(service, trustDomain).includes(spiffeId));
  return {
    mesh: {
      trustDomain,
      region,
      maxClockSkewSeconds: mesh.spec.maxClockSkewSeconds,
      sessionLifetimeSeconds: mesh.spec.sessionLifetimeSeconds,
      svidLifetimeSeconds: mesh.spec.svidLifetimeSeconds,
      maxHashedBodyBytes: mesh.spec.maxHashedBodyBytes,
      auditSample: mesh.spec.auditSample,
    },
    bundles: [...published.bundles],
    sessionJwks: published.sessionJwks,
    served: served.map((service) => servedService(service, state)),
    destinations: services.filter(({ spec }) => spec.ports.length > 0).map((service) => destination(service, served, state, spiffeId)),
    roles: rolePermissionsFor(state, served),
    revocations: revocations(state),
  };
}

function portsOf({ spec }: ServiceResource): ServicePort[] {
  return spec.ports.map(({ port, targetPort, protocol, permissive }) => ({ port, targetPort: targetPort ?? port, protocol, permissive }));
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
  };
}

function destination(service: ServiceResource, served: readonly ServiceResource[], state: MeshState, caller: SpiffeId): Destination {
  const spiffeIds = identitiesOfService(service, state.trustDomain);
  const { metadata, spec } = service;
  return {
    namespace: metadata.namespace,
    name: metadata.name,
    hostnames: [...hostnamesOf(service)],
    ports: portsOf(service),
    endpoints: state.endpoints.filter((endpoint) => endpoint.address !== "" && spiffeIds.includes(endpoint.spiffeId)),
    spiffeIds: [...spiffeIds],
    roleArn: roleTowards(service, served, state, caller),
    tier: spec.tier ?? state.mesh.spec.defaultTier,
    allowEncodedSlashes: spec.allowEncodedSlashes,
  };
}

/**
 * The role that the caller assumes towards a service: a RoleBinding's, or else the service-linked role of a service that
 * the caller serves, of several the one that declares the call. Empty where there is none.
 */
function roleTowards(service: ServiceResource, served: readonly ServiceResource[], state: MeshState, caller: SpiffeId): string {
  const { name, namespace } = service.metadata;
  for (const { metadata, spec } of state.bindings) {
    if (spec.service.name !== name || (spec.service.namespace ?? metadata.namespace) !== namespace) continue;
    const workload = state.workloads.get(`${metadata.namespace}/${spec.workload}`);
    if (workload === undefined || identityOfWorkload(workload, state.trustDomain) !== caller) continue;
    const role = [...rolesOf(state).values()].find(
      (candidate) => candidate.name === spec.role.name && candidate.namespace === (spec.role.namespace ?? metadata.namespace),
    );
    if (role !== undefined) return role.arn;
  }
  const declares = (own: ServiceResource) =>
    own.spec.calls.some((call) => call.service === name && (call.namespace ?? own.metadata.namespace) === namespace);
  const own = served.find(declares) ?? served[0];
  return own === undefined ? "" : serviceLinkedRoleArn(own, state.trustDomain);
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
