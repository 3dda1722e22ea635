/**
 * Which service a host name means, where several lay claim to it; as the cluster's DNS has it. `orders.lab` and its longer forms are
 * the service's whose name that is, whoever else claims them. A name without a dot is that of the caller's own namespace; another
 * namespace's only if no other claims it, and never if it is a Service of a cluster, whose DNS would not find it either.
 */
import { hostnamesOf } from "../../common/resources/service-names.ts";
import type { ServiceResource } from "../../common/resources/resource.ts";
import type { MeshState } from "../resources/mesh-state.ts";

/** The names by which callers of that namespace reach a service. */
export type HostnamesFor = (service: ServiceResource) => string[];

const claimsByState = new WeakMap<MeshState, ReadonlyMap<string, readonly ServiceResource[]>>();

function claimsOf(state: MeshState): ReadonlyMap<string, readonly ServiceResource[]> {
  const known = claimsByState.get(state);
  if (known !== undefined) return known;
  const claims = new Map<string, ServiceResource[]>();
  for (const service of state.services.values()) {
    if (service.spec.ports.length === 0) continue;
    for (const hostname of hostnamesOf(service)) claims.getOrInsertComputed(hostname, () => []).push(service);
  }
  claimsByState.set(state, claims);
  return claims;
}

/** `namespace` is the caller's; undefined for one that has none. */
export function hostnamesFor(state: MeshState, namespace: string | undefined): HostnamesFor {
  const claims = claimsOf(state);
  return (service) =>
    hostnamesOf(service).filter((hostname) => ownerOf(hostname, claims.get(hostname) ?? [], namespace, state) === service);
}

function ownerOf(
  hostname: string,
  claimants: readonly ServiceResource[],
  namespace: string | undefined,
  state: MeshState,
): ServiceResource | undefined {
  const own = claimants.find(({ metadata }) => metadata.namespace === namespace);
  if (hostname.includes(".")) return claimants.find((service) => isQualifiedName(hostname, service)) ?? own ?? claimants[0];
  if (own !== undefined) return own;
  const [only, second] = claimants;
  if (only === undefined || second !== undefined) return undefined;
  return state.instances.has(`${only.metadata.namespace}/${only.metadata.name}`) ? undefined : only;
}

function isQualifiedName(hostname: string, { metadata: { name, namespace } }: ServiceResource): boolean {
  return ["", ".svc", ".svc.cluster.local"].some((suffix) => hostname === `${name}.${namespace}${suffix}`);
}

/** The namespace whose name is part of a host name of a cluster; undefined for any other host name. */
export function namespaceOfHostname(hostname: string): string | undefined {
  return /^[^.]+\.([^.]+)\.svc(?:\.cluster\.local)?$/.exec(hostname)?.[1];
}
