/** What a service is called and who may serve it, with the defaults that depend on its own name. */
import { forWorkload } from "../spiffe/id.ts";
import type { SpiffeId } from "../spiffe/id.ts";
import type { TrustDomain } from "../spiffe/trust-domain.ts";
import type { ServiceResource, WorkloadResource } from "./resource.ts";

/** `orders.shop`: the service of a credential scope. */
export function scopeServiceOf(service: ServiceResource): string {
  return `${service.metadata.name}.${service.metadata.namespace}`;
}

/** Lower-case host names by which callers address it. */
export function hostnamesOf(service: ServiceResource): readonly string[] {
  const { name, namespace } = service.metadata;
  return service.spec.hostnames ?? [name, `${name}.${namespace}`, `${name}.${namespace}.svc`, `${name}.${namespace}.svc.cluster.local`];
}

/** The SPIFFE ids that may answer for it. */
export function identitiesOfService(service: ServiceResource, trustDomain: TrustDomain): readonly SpiffeId[] {
  const { name, namespace } = service.metadata;
  const identities = service.spec.identities ?? [{ serviceAccount: name }];
  return identities.map((identity) => forWorkload(trustDomain, identity.namespace ?? namespace, identity.serviceAccount));
}

export function identityOfWorkload(workload: WorkloadResource, trustDomain: TrustDomain): SpiffeId {
  const { name, namespace } = workload.metadata;
  return forWorkload(trustDomain, namespace, workload.spec.identity?.serviceAccount ?? name);
}
