/**
 * What the store says at one revision, read once and then immutable: the resources, what a cluster's Services add to them, the
 * registered endpoints and the sealed keys of the token service. Decisions and snapshots are functions of it.
 */
import { describeResource } from "../../common/resources/resource.ts";
import type {
  ExternalServiceResource,
  Kind,
  MeshResource,
  PolicyResource,
  Resource,
  RoleBindingResource,
  RoleResource,
  ServiceResource,
  WorkloadResource,
} from "../../common/resources/resource.ts";
import { readResource } from "../../common/resources/read.ts";
import { regionOfTrustDomain } from "../../common/session/region.ts";
import { identityOfWorkload } from "../../common/resources/service-names.ts";
import type { SpiffeId } from "../../common/spiffe/id.ts";
import { trustDomainFromString } from "../../common/spiffe/trust-domain.ts";
import type { TrustDomain } from "../../common/spiffe/trust-domain.ts";
import type { TrustBundle } from "../../common/gen/mesh/v1/identity.ts";
import { bundleFromBytes, bundleKey } from "../distribution/bundle-record.ts";
import { nameOfServiceRecord, serviceRecordFromBytes, serviceRecordPrefix } from "../kubernetes/service-record.ts";
import type { ServiceRecord } from "../kubernetes/service-record.ts";
import { endpointFromBytes, endpointPrefix } from "../registry/endpoint.ts";
import type { RegisteredEndpoint } from "../registry/endpoint.ts";
import type { Entry } from "../store/store.ts";
import { epochPrefix } from "../sts/epochs.ts";
import { mergeService } from "./merge-service.ts";

export const resourcePrefix = "resources/";

export function resourceKey(kind: Kind, namespace: string, name: string): string {
  return `${resourcePrefix}${kind}/${namespace}/${name}`;
}

export function keyOfResource({ kind, metadata }: Resource): string {
  return resourceKey(kind, metadata.namespace, metadata.name);
}

export interface MeshState {
  readonly revision: number;
  readonly mesh: MeshResource;
  readonly trustDomain: TrustDomain;
  readonly region: string;
  /** Those registered with an identity; several may share one. */
  readonly workloadsById: ReadonlyMap<SpiffeId, readonly WorkloadResource[]>;
  /** These by `<namespace>/<name>`, in the order of their keys. */
  readonly services: ReadonlyMap<string, ServiceResource>;
  /** Of services that a cluster has, which pods are behind them; the same keys. */
  readonly instances: ReadonlyMap<string, ServiceInstances>;
  readonly workloads: ReadonlyMap<string, WorkloadResource>;
  readonly roles: ReadonlyMap<string, RoleResource>;
  readonly policies: ReadonlyMap<string, PolicyResource>;
  readonly externalServices: ReadonlyMap<string, ExternalServiceResource>;
  readonly bindings: readonly RoleBindingResource[];
  readonly endpoints: readonly RegisteredEndpoint[];
  /** The mesh's own, as it is published. */
  readonly bundle: TrustBundle;
  /** Sealed, by key. */
  readonly epochs: ReadonlyMap<string, Entry>;
  /** Every resource and its store entry, by key. */
  readonly resources: ReadonlyMap<string, StoredResource>;
}

/** IP addresses, each in one written form. */
export interface ServiceInstances {
  /** Calls may go there. */
  readonly ready: ReadonlySet<string>;
  /** Those, and the ones that are starting or ending. */
  readonly all: ReadonlySet<string>;
}

export interface StoredResource {
  readonly resource: Resource;
  readonly entry: Entry;
}

export type MeshStateErrorCode = "unreadable-entry" | "incomplete";

export class MeshStateError extends Error {
  override readonly name = "MeshStateError";
  readonly code: MeshStateErrorCode;

  constructor(code: MeshStateErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** What one entry of the store holds, so that an entry that did not change is not parsed again. */
export type Parsed =
  | { readonly kind: "resource"; readonly stored: StoredResource }
  | { readonly kind: "service-record"; readonly record: ServiceRecord }
  | { readonly kind: "endpoint"; readonly endpoint: RegisteredEndpoint }
  | { readonly kind: "epoch"; readonly entry: Entry }
  | { readonly kind: "bundle"; readonly bundle: TrustBundle }
  /** Of no concern here: the certificate authority's, join tokens. */
  | { readonly kind: "other" };

/** Throws MeshStateError `unreadable-entry`: a policy that is not understood must not silently be absent. */
export function parseEntry(entry: Entry): Parsed {
  try {
    if (entry.key.startsWith(resourcePrefix)) {
      const resource = readResource(Buffer.from(entry.value).toString(), entry.key);
      if (keyOfResource(resource) !== entry.key) throw new Error(`it holds ${describeResource(resource)}`);
      return { kind: "resource", stored: { resource, entry } };
    }
    if (entry.key.startsWith(serviceRecordPrefix)) return { kind: "service-record", record: serviceRecordFromBytes(entry.value) };
    if (entry.key === bundleKey) return { kind: "bundle", bundle: bundleFromBytes(entry.value) };
    if (entry.key.startsWith(endpointPrefix)) return { kind: "endpoint", endpoint: endpointFromBytes(entry.key, entry.value) };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new MeshStateError("unreadable-entry", `the store's entry ${entry.key} cannot be read: ${reason}`, { cause: error });
  }
  return entry.key.startsWith(epochPrefix) ? { kind: "epoch", entry } : { kind: "other" };
}

/** `entries` are all of the store by key. Throws MeshStateError `incomplete`: without Mesh or bundle. */
export function buildMeshState(revision: number, entries: ReadonlyMap<string, Parsed>): MeshState {
  let mesh: MeshResource | undefined;
  let bundle: TrustBundle | undefined;
  const declared = new Map<string, ServiceResource>();
  const records = new Map<string, ServiceRecord>();
  const workloads = new Map<string, WorkloadResource>();
  const roles = new Map<string, RoleResource>();
  const policies = new Map<string, PolicyResource>();
  const externalServices = new Map<string, ExternalServiceResource>();
  const bindings: RoleBindingResource[] = [];
  const endpoints: RegisteredEndpoint[] = [];
  const epochs = new Map<string, Entry>();
  const resources = new Map<string, StoredResource>();
  // Snapshots are compared byte for byte, so the order must not depend on which change came first.
  for (const [key, parsed] of [...entries].sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (parsed.kind === "endpoint") endpoints.push(parsed.endpoint);
    if (parsed.kind === "bundle") ({ bundle } = parsed);
    if (parsed.kind === "epoch") epochs.set(key, parsed.entry);
    if (parsed.kind === "service-record") records.set(key.slice(serviceRecordPrefix.length), parsed.record);
    if (parsed.kind !== "resource") continue;
    const { resource } = parsed.stored;
    resources.set(key, parsed.stored);
    const name = `${resource.metadata.namespace}/${resource.metadata.name}`;
    if (resource.kind === "Mesh") mesh = resource;
    else if (resource.kind === "Service") declared.set(name, resource);
    else if (resource.kind === "Workload") workloads.set(name, resource);
    else if (resource.kind === "Role") roles.set(name, resource);
    else if (resource.kind === "Policy") policies.set(name, resource);
    else if (resource.kind === "ExternalService") externalServices.set(name, resource);
    else bindings.push(resource);
  }
  if (mesh === undefined || bundle === undefined) {
    throw new MeshStateError("incomplete", `the store holds no ${mesh === undefined ? "Mesh" : "trust bundle"}`);
  }
  const trustDomain = trustDomainFromString(mesh.spec.trustDomain);
  return {
    revision,
    mesh,
    trustDomain,
    region: mesh.spec.region ?? regionOfTrustDomain(mesh.spec.trustDomain),
    services: servicesOf(declared, records),
    instances: new Map(
      [...records].flatMap(([name, { instances }]) => (instances === undefined ? [] : [[name, instancesFrom(instances)]])),
    ),
    workloads,
    workloadsById: Map.groupBy(workloads.values(), (workload) => identityOfWorkload(workload, trustDomain)),
    roles,
    policies,
    externalServices,
    bindings,
    endpoints,
    bundle,
    epochs,
    resources,
  };
}

function servicesOf(
  declared: ReadonlyMap<string, ServiceResource>,
  records: ReadonlyMap<string, ServiceRecord>,
): ReadonlyMap<string, ServiceResource> {
  if (records.size === 0) return declared;
  const services = new Map(declared);
  for (const [key, record] of records)
    services.set(key, mergeService(nameOfServiceRecord(serviceRecordPrefix + key), record, declared.get(key)));
  return new Map([...services].sort(([a], [b]) => (a < b ? -1 : 1)));
}

function instancesFrom({ ready, unready }: NonNullable<ServiceRecord["instances"]>): ServiceInstances {
  return { ready: new Set(ready), all: new Set([...ready, ...unready]) };
}
