/** What resources say of each other. */
import { describeResource, meshNamespace } from "../../common/resources/resource.ts";
import type { ExternalServiceResource, Kind, Resource } from "../../common/resources/resource.ts";
import { resourceKey } from "../resources/mesh-state.ts";

export interface Reference {
  readonly path: string;
  readonly kind: Kind;
  readonly namespace: string;
  readonly name: string;
  /** Whether the resource means nothing without it. A call to a service that is not there yet is an ordinary thing. */
  readonly required: boolean;
}

export function referencesOf(resource: Resource): readonly Reference[] {
  const { namespace } = resource.metadata;
  if (resource.kind === "Role") {
    const { permissionPolicies, permissionsBoundary } = resource.spec;
    const named = permissionPolicies.map((policy, index) => ({ path: `spec.permissionPolicies[${index}]`, policy }));
    return [...named, { path: "spec.permissionsBoundary", policy: permissionsBoundary }].flatMap(({ path, policy }) =>
      typeof policy === "string" ? [{ path, kind: "Policy" as const, namespace, name: policy, required: true }] : [],
    );
  }
  if (resource.kind === "RoleBinding") {
    const { workload, service, role } = resource.spec;
    return [
      { path: "spec.workload", kind: "Workload", namespace, name: workload, required: false },
      { path: "spec.service", kind: "Service", namespace: service.namespace ?? namespace, name: service.name, required: false },
      { path: "spec.role", kind: "Role", namespace: role.namespace ?? namespace, name: role.name, required: true },
    ];
  }
  if (resource.kind !== "Service") return [];
  return (resource.spec.calls ?? []).flatMap((call, index) =>
    "external" in call
      ? []
      : [{ path: `spec.calls[${index}]`, kind: "Service", namespace: call.namespace ?? namespace, name: call.service, required: false }],
  );
}

export interface DanglingReference {
  readonly from: Resource;
  readonly reference: Reference;
  /** For a person. */
  readonly message: string;
}

/** References of `resources` to what `exists` does not know, by key. */
export function danglingReferences(resources: Iterable<Resource>, exists: (key: string) => boolean): readonly DanglingReference[] {
  return [...resources].flatMap((from) =>
    referencesOf(from)
      .filter(({ kind, namespace, name }) => !exists(resourceKey(kind, namespace, name)))
      .map((reference) => {
        const { path, kind, namespace, name } = reference;
        return { from, reference, message: `${describeResource(from)}: ${path}: there is no ${kind} ${namespace}/${name}` };
      }),
  );
}

/** Calls of `resources` to hosts that none of `known` lists for their namespace, as sentences. */
export function unlistedHosts(resources: Iterable<Resource>, known: readonly ExternalServiceResource[]): readonly string[] {
  return [...resources].flatMap((from) => {
    if (from.kind !== "Service") return [];
    const { namespace } = from.metadata;
    const listed = known
      .filter(({ metadata }) => metadata.namespace === namespace || metadata.namespace === meshNamespace)
      .flatMap(({ spec }) => spec.hosts);
    return (from.spec.calls ?? []).flatMap((call, index) => {
      if (!("external" in call)) return [];
      const wildcard = call.external.replace(/^[^.]*/, "*");
      if (listed.includes(call.external) || listed.includes(wildcard)) return [];
      return [
        `${describeResource(from)}: spec.calls[${index}].external: no ExternalService lists ${call.external} for namespace ${namespace}`,
      ];
    });
  });
}
