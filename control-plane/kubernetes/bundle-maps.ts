/**
 * The ConfigMap by which a pod knows the mesh before it is part of it: the roots, and the trust domain. One in every namespace that
 * takes part and in our own; put back when it is changed or deleted, taken off when the namespace leaves.
 */
import type { TrustBundle } from "../../common/gen/mesh/v1/identity.ts";
import { certificatesToPem } from "../../common/x509/pem.ts";
import { isMeshed } from "./objects.ts";
import type { ConfigMapObject, NamespaceObject } from "./objects.ts";

export const bundleMapName = "countersign";
const ownerLabel = "app.kubernetes.io/managed-by";
const owner = "countersign";

export type BundleMapAction =
  | { readonly kind: "create"; readonly namespace: string; readonly body: object }
  /** A JSON merge patch (RFC 7396) that fails when the ConfigMap is no longer what it was seen to be. */
  | { readonly kind: "patch"; readonly namespace: string; readonly body: object }
  | { readonly kind: "delete"; readonly namespace: string; readonly body: object };

/** What is to be done for the ConfigMaps to be as they should; a pure function. Both maps by `<namespace>/<name>`. */
export function planBundleMaps(options: {
  readonly namespaces: ReadonlyMap<string, NamespaceObject>;
  readonly configMaps: ReadonlyMap<string, ConfigMapObject>;
  readonly ownNamespace: string;
  readonly bundle: TrustBundle;
}): readonly BundleMapAction[] {
  const { namespaces, configMaps, ownNamespace, bundle } = options;
  const data = { "bundle.pem": certificatesToPem(bundle.x509Authorities), trustDomain: bundle.trustDomain };
  const actions: BundleMapAction[] = [];
  for (const namespace of namespaces.values()) {
    const { name, deletionTimestamp } = namespace.metadata;
    if (deletionTimestamp !== undefined) continue;
    const present = configMaps.get(`${name}/${bundleMapName}`);
    if (isMeshed(namespace) || name === ownNamespace) {
      if (present === undefined) actions.push({ kind: "create", namespace: name, body: newMap(data) });
      else if (!isAsItShould(present, data)) actions.push({ kind: "patch", namespace: name, body: patchOf(present, data) });
    } else if (present !== undefined && present.metadata.labels.get(ownerLabel) === owner) {
      const { uid, resourceVersion } = present.metadata;
      actions.push({ kind: "delete", namespace: name, body: { preconditions: { uid, resourceVersion } } });
    }
  }
  return actions;
}

function newMap(data: object): object {
  return { apiVersion: "v1", kind: "ConfigMap", metadata: { name: bundleMapName, labels: { [ownerLabel]: owner } }, data };
}

function patchOf({ metadata: { uid, resourceVersion }, data: found }: ConfigMapObject, data: object): object {
  const others = Object.fromEntries([...found.keys()].map((name) => [name, null]));
  return { metadata: { uid, resourceVersion, labels: { [ownerLabel]: owner } }, data: { ...others, ...data } };
}

function isAsItShould({ metadata, data }: ConfigMapObject, wanted: Readonly<Record<string, string>>): boolean {
  const entries = Object.entries(wanted);
  return (
    metadata.labels.get(ownerLabel) === owner && data.size === entries.length && entries.every(([name, value]) => data.get(name) === value)
  );
}
