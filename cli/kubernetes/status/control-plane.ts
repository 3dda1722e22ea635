/** The control plane as it runs: replicas, image, store, who leads, what it distributes, and why a pod of it does not run. */
import { z } from "zod";
import type { Json } from "../../../common/injection/cel.ts";
import { asList, asObject, asText, type JsonObject } from "../../../common/injection/json.ts";
import { systemNamespace } from "../../../common/injection/names.ts";
import { KubernetesError } from "../../../control-plane/kubernetes/error.ts";
import type { ClusterConnection } from "../connect.ts";
import { storeOf, variableOf } from "../install/installed-mesh.ts";
import { trustDomainVariable } from "../install/manifests.ts";
import { listAll } from "../lists.ts";
import { eventFromApi, isReady, podFromApi, troubleOf, type Trouble } from "../pods.ts";
import { withLog } from "./last-words.ts";

export interface ControlPlaneStatus {
  readonly image: string;
  readonly trustDomain: string | undefined;
  readonly store: string;
  readonly replicas: { readonly wanted: number; readonly ready: number };
  /** Name of a lease → who holds it. Empty where one replica needs none. */
  readonly leases: Readonly<Record<string, string>>;
  /** Of the store, and sidecars that are connected to it, by the ready replicas' own metrics; undefined where these cannot be asked. */
  readonly revision: number | undefined;
  readonly sidecars: number | undefined;
  /** Pods that are being ended: without a second replica, the next one waits for them. */
  readonly ending: readonly string[];
  readonly pods: readonly { readonly name: string; readonly restarts: number; readonly trouble?: Trouble }[];
}

const deployment = z.object({
  spec: z.object({ replicas: z.int().default(1) }).prefault({}),
  status: z.object({ readyReplicas: z.int().default(0) }).prefault({}),
});
const lease = z.object({ metadata: z.object({ name: z.string() }), spec: z.object({ holderIdentity: z.string().nullish() }).prefault({}) });
const namespacePath = `/api/v1/namespaces/${systemNamespace}`;
export const controlPlaneSelector = "app.kubernetes.io/component=control-plane";

/** Undefined where there is none. Throws KubernetesError. */
export async function controlPlaneStatus(cluster: ClusterConnection): Promise<ControlPlaneStatus | undefined> {
  const { ask } = cluster;
  const found = asObject((await ask(`/apis/apps/v1/namespaces/${systemNamespace}/deployments/countersign`)) as Json | undefined);
  if (found === undefined) return undefined;
  const { spec, status } = deployment.parse(found);
  const pods = await listAll(ask, `${namespacePath}/pods`, podFromApi, { labelSelector: controlPlaneSelector });
  const live = pods.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
  const events = await listAll(ask, `${namespacePath}/events`, eventFromApi);
  const leases = await listAll(ask, `/apis/coordination.k8s.io/v1/namespaces/${systemNamespace}/leases`, (item) => lease.parse(item));
  const metrics = await Promise.all(live.filter(isReady).map(({ metadata }) => metricsOf(cluster, metadata.name)));
  return {
    image: imageOf(found),
    trustDomain: variableOf(found, trustDomainVariable),
    store: storeOf(found),
    replicas: { wanted: spec.replicas, ready: status.readyReplicas },
    leases: Object.fromEntries(leases.map((each) => [each.metadata.name, each.spec.holderIdentity ?? ""])),
    revision: greatest(metrics.map((each) => each.get("countersign_store_revision"))),
    sidecars: sum(metrics.map((each) => each.get("countersign_connected_sidecars"))),
    ending: pods.filter((pod) => !live.includes(pod)).map(({ metadata }) => metadata.name),
    pods: await Promise.all(
      live.map(async (pod) => {
        const trouble = troubleOf(pod, events);
        return {
          name: pod.metadata.name,
          restarts: pod.status.containerStatuses.reduce((total, each) => total + each.restartCount, 0),
          ...(trouble !== undefined && { trouble: await withLog(cluster, systemNamespace, pod.metadata.name, trouble) }),
        };
      }),
    ),
  };
}

function imageOf(workload: JsonObject): string {
  const template = asObject(asObject(workload["spec"])?.["template"]);
  return asText(asObject(asList(asObject(template?.["spec"])?.["containers"])[0])?.["image"]);
}

/** Metrics without labels, by name; none where the pod cannot be asked through the API server. */
async function metricsOf({ askText }: ClusterConnection, pod: string): Promise<ReadonlyMap<string, number>> {
  try {
    const text = await askText(`${namespacePath}/pods/${pod}:15014/proxy/metrics`);
    return new Map([...text.matchAll(/^(countersign_[a-z_]+) ([0-9.e+]+)$/gm)].map(([, name = "", value]) => [name, Number(value)]));
  } catch (error) {
    if (error instanceof KubernetesError) return new Map();
    throw error;
  }
}

function known(values: readonly (number | undefined)[]): readonly number[] {
  return values.filter((value) => value !== undefined);
}

function greatest(values: readonly (number | undefined)[]): number | undefined {
  return known(values).length === 0 ? undefined : Math.max(...known(values));
}

function sum(values: readonly (number | undefined)[]): number | undefined {
  return known(values).length === 0 ? undefined : known(values).reduce((total, value) => total + value, 0);
}
