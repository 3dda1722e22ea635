/**
 * Which custom resources become part of the mesh, by the rules of `apply`; a pure function. A mark beside each resource in the store
 * says that it came from the cluster: those go when their objects go, and resources that people applied by other ways are left
 * alone until an object of the same kind and name comes, which then has the say.
 *
 * An object that is not accepted changes nothing: what was accepted of it before stays in force.
 */
import { describeResource } from "../../common/resources/resource.ts";
import type { Resource, ServiceResource } from "../../common/resources/resource.ts";
import { hostnamesOf } from "../../common/resources/service-names.ts";
import { danglingReferences } from "../admin/references.ts";
import { namespaceOfHostname } from "../distribution/hostnames.ts";
import type { Entry, Operation } from "../store/store.ts";
import { pluralOfKind } from "./custom-resource.ts";
import type { CustomResource } from "./custom-resource.ts";

export const resourceMarkPrefix = "kubernetes/resources/";

export type Verdict =
  | { readonly accepted: true }
  | { readonly accepted: false; readonly reason: "Malformed" | "Inconsistent"; readonly message: string };

export interface ResourcePlan {
  /** By key. */
  readonly verdicts: ReadonlyMap<string, Verdict>;
  /** Whatever belongs together is in one group, which is one commit. */
  readonly groups: readonly (readonly Operation[])[];
}

export function planResources(options: {
  readonly objects: readonly CustomResource[];
  /** By key, the resources in the store. */
  readonly stored: ReadonlyMap<string, { readonly entry: Entry }>;
  /** Keys of the resources in the store that came from the cluster. */
  readonly marked: ReadonlySet<string>;
  readonly trustDomain: string;
  /** As the mesh has them now, the cluster's own among them. */
  readonly services: Iterable<ServiceResource>;
}): ResourcePlan {
  const { objects, stored, marked, trustDomain, services } = options;
  const verdicts = new Map<string, Verdict>();
  const readable = new Map<string, Resource>();
  for (const { key, read } of objects) {
    if ("problem" in read) verdicts.set(key, { accepted: false, reason: "Malformed", message: read.problem });
    else readable.set(key, read.resource);
  }
  for (const [key, resource] of readable) {
    if (resource.kind !== "Mesh" || resource.spec.trustDomain === trustDomain) continue;
    reject(key, `spec.trustDomain: a mesh keeps its trust domain, ${trustDomain}`);
  }
  const foreign = foreignClaims([...services], readable.values());
  for (const [key, resource] of readable) {
    const claim = resource.kind === "Service" ? foreign(resource) : undefined;
    if (claim !== undefined) reject(key, claim);
  }
  const present = new Set(objects.map(({ key }) => key));
  const stays = (key: string) => stored.has(key) && (!marked.has(key) || present.has(key) || isMesh(key));
  // What one that is refused leaves behind may be what another needs.
  for (let before = -1; before !== readable.size;) {
    before = readable.size;
    for (const { from, reference, message } of danglingReferences(readable.values(), (key) => readable.has(key) || stays(key))) {
      if (reference.required) reject(keyOf(from, readable), message.slice(`${describeResource(from)}: `.length));
    }
  }
  for (const key of readable.keys()) verdicts.set(key, { accepted: true });
  return { verdicts, groups: [...puts(readable, stored, marked), ...deletes(stored, marked, present)] };

  function reject(key: string, message: string): void {
    readable.delete(key);
    verdicts.set(key, { accepted: false, reason: "Inconsistent", message });
  }
}

/**
 * Whoever may write in one namespace must not take the calls meant for another's: what a Service says that it is called, and where,
 * has to be free. Nor have another's workloads answer under rules of its own. Undefined where all is well.
 */
function foreignClaims(
  services: readonly ServiceResource[],
  objects: Iterable<Resource>,
): (service: ServiceResource) => string | undefined {
  const claimed = new Map<string, string>();
  for (const service of [...services, ...[...objects].filter((object) => object.kind === "Service")]) {
    const { namespace } = service.metadata;
    for (const claim of [...hostnamesOf(service).filter((hostname) => hostname.includes(".")), ...service.spec.addresses]) {
      // Who was there first has it.
      if (!claimed.has(claim)) claimed.set(claim, namespace);
    }
  }
  return ({ metadata: { namespace }, spec }) => {
    const problem = (path: string, claim: string) => {
      const owner = namespaceOfHostname(claim) ?? claimed.get(claim) ?? namespace;
      return owner === namespace ? [] : [`${path}: ${claim} belongs to namespace ${owner}`];
    };
    const hostnames = spec.hostnames?.flatMap((hostname, index) => problem(`spec.hostnames[${index}]`, hostname)) ?? [];
    const addresses = spec.addresses.flatMap((address, index) => problem(`spec.addresses[${index}]`, address));
    const identities = (spec.identities ?? []).flatMap(({ namespace: of = namespace, serviceAccount }, index) =>
      of === namespace ? [] : [`spec.identities[${index}]: ${serviceAccount} belongs to namespace ${of}`],
    );
    return [...hostnames, ...addresses, ...identities][0];
  };
}

/** There is always a Mesh: its object may go, and its settings stay. */
function isMesh(key: string): boolean {
  return key.startsWith("resources/Mesh/");
}

function keyOf(resource: Resource, among: ReadonlyMap<string, Resource>): string {
  return [...among].find(([, each]) => each === resource)?.[0] ?? "";
}

function markOf(key: string): string {
  return resourceMarkPrefix + key.slice("resources/".length);
}

function puts(
  resources: ReadonlyMap<string, Resource>,
  stored: ReadonlyMap<string, { readonly entry: Entry }>,
  marked: ReadonlySet<string>,
): readonly (readonly Operation[])[] {
  const order = Object.keys(pluralOfKind);
  return [...resources]
    .sort(([, a], [, b]) => order.indexOf(a.kind) - order.indexOf(b.kind))
    .flatMap(([key, resource]) => {
      const value = Buffer.from(JSON.stringify(resource));
      const operations: Operation[] = [];
      if (!value.equals(stored.get(key)?.entry.value ?? Buffer.alloc(0))) operations.push({ kind: "put", key, value });
      if (!marked.has(key)) operations.push({ kind: "put", key: markOf(key), value: Buffer.from("{}") });
      return operations.length === 0 ? [] : [operations];
    });
}

/** In the opposite order: who refers goes before what it refers to. */
function deletes(
  stored: ReadonlyMap<string, unknown>,
  marked: ReadonlySet<string>,
  present: ReadonlySet<string>,
): readonly (readonly Operation[])[] {
  const order = Object.keys(pluralOfKind);
  const kindOf = (key: string) => order.indexOf(key.split("/")[1] ?? "");
  return [...marked]
    .filter((key) => !present.has(key))
    .sort((a, b) => kindOf(b) - kindOf(a))
    .map((key) => [
      ...(stored.has(key) && !isMesh(key) ? [{ kind: "delete" as const, key }] : []),
      { kind: "delete" as const, key: markOf(key) },
    ]);
}
