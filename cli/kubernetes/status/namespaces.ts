/** Namespaces with our label, and what became of their pods. */
import { z } from "zod";
import { injectAnnotation, injectLabel, injectLabelValue, meshConfigMap, proxyContainerName } from "../../../common/injection/names.ts";
import type { ClusterConnection } from "../connect.ts";
import { listAll } from "../lists.ts";
import { eventFromApi, podFromApi, timeOf, troubleOf, type ClusterEvent, type Pod, type Trouble } from "../pods.ts";
import { withLog } from "./last-words.ts";

export interface NamespaceStatus {
  readonly name: string;
  /** Value of our label; `enabled` takes part. */
  readonly label: string;
  readonly hasBundle: boolean;
  /** Pods with a sidecar, and those of them that are ready. */
  readonly inMesh: number;
  readonly ready: number;
  /** Pods that should have a sidecar and have none. */
  readonly withoutSidecar: readonly string[];
  /** Pods that refuse, or are in their node's network. */
  readonly leftAlone: number;
  /** Pods whose sidecar is of another image than new ones would be. */
  readonly otherImage: readonly string[];
  readonly troubles: readonly { readonly pod: string; readonly trouble: Trouble }[];
  /** What could not make its pods, and why. */
  readonly refused: readonly { readonly owner: string; readonly message: string }[];
}

const namespace = z.object({
  metadata: z.object({
    name: z.string(),
    labels: z.record(z.string(), z.string()).default({}),
    deletionTimestamp: z.string().optional(),
  }),
});

/** `image`: of a sidecar that is made now. Throws KubernetesError. */
export async function namespaceStatuses(cluster: ClusterConnection, image: string | undefined): Promise<readonly NamespaceStatus[]> {
  const all = await listAll(cluster.ask, "/api/v1/namespaces", (item) => namespace.parse(item), { labelSelector: injectLabel });
  const statuses: NamespaceStatus[] = [];
  for (const { metadata } of all) {
    if (metadata.deletionTimestamp === undefined)
      statuses.push(await statusOf(cluster, metadata.name, metadata.labels[injectLabel] ?? "", image));
  }
  return statuses;
}

async function statusOf(cluster: ClusterConnection, name: string, label: string, image: string | undefined): Promise<NamespaceStatus> {
  const { ask } = cluster;
  const nothing = {
    name,
    label,
    hasBundle: true,
    inMesh: 0,
    ready: 0,
    withoutSidecar: [],
    leftAlone: 0,
    otherImage: [],
    troubles: [],
    refused: [],
  };
  if (label !== injectLabelValue) return nothing;
  const path = `/api/v1/namespaces/${name}`;
  const pods = await listAll(ask, `${path}/pods`, podFromApi);
  const events = await listAll(ask, `${path}/events`, eventFromApi);
  const live = pods.filter(
    ({ metadata, status }) => metadata.deletionTimestamp === undefined && !["Succeeded", "Failed"].includes(status.phase),
  );
  const wanted = live.filter(({ metadata, spec }) => metadata.annotations[injectAnnotation] !== "false" && !spec.hostNetwork);
  const meshed = wanted.filter((pod) => proxyOf(pod) !== undefined);
  const troubled = meshed.flatMap((pod) => {
    const trouble = troubleOf(pod, events);
    return trouble === undefined ? [] : [{ pod: pod.metadata.name, trouble }];
  });
  return {
    name,
    label,
    hasBundle: (await ask(`${path}/configmaps/${meshConfigMap}`)) !== undefined,
    inMesh: meshed.length,
    ready: meshed.length - troubled.length,
    withoutSidecar: wanted.filter((pod) => !meshed.includes(pod)).map(({ metadata }) => metadata.name),
    leftAlone: live.length - wanted.length,
    otherImage: meshed.filter((pod) => image !== undefined && proxyOf(pod)?.image !== image).map(({ metadata }) => metadata.name),
    troubles: await Promise.all(troubled.map(async ({ pod, trouble }) => ({ pod, trouble: await withLog(cluster, name, pod, trouble) }))),
    refused: refusedOf(events),
  };
}

function proxyOf({ spec }: Pod): { readonly image: string } | undefined {
  return [...spec.initContainers, ...spec.containers].find(({ name }) => name === proxyContainerName);
}

/** What told last that it could not make a pod, and has not made one since. */
function refusedOf(events: readonly ClusterEvent[]): NamespaceStatus["refused"] {
  const latest = new Map<string, ClusterEvent>();
  for (const event of events) {
    if (event.reason !== "FailedCreate" && event.reason !== "SuccessfulCreate") continue;
    const owner = `${event.involvedObject.kind} ${event.involvedObject.name}`;
    const before = latest.get(owner);
    if (before === undefined || timeOf(event) >= timeOf(before)) latest.set(owner, event);
  }
  return [...latest]
    .filter(([, { reason }]) => reason === "FailedCreate")
    .map(([owner, { message }]) => ({ owner, message: message.replaceAll(/\s+/g, " ") }));
}
