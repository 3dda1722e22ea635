/**
 * What the controllers and the attestor look at of the cluster's objects; everything else of them is left aside. Fields are those
 * of https://kubernetes.io/docs/reference/kubernetes-api/.
 */
import { z } from "zod";

/** The API leaves out what is empty, and sometimes says null. */
function listOf<T extends z.ZodType>(item: T) {
  return z
    .array(item)
    .nullish()
    .transform((items): readonly z.infer<T>[] => items ?? []);
}

const mapOfText = z
  .record(z.string(), z.string())
  .nullish()
  .transform((entries): ReadonlyMap<string, string> => new Map(Object.entries(entries ?? {})));

const metadata = z.object({
  name: z.string(),
  namespace: z.string().default(""),
  uid: z.string().default(""),
  resourceVersion: z.string().default(""),
  labels: mapOfText,
  deletionTimestamp: z.iso.datetime({ offset: true }).optional(),
});

const namespace = z.object({ metadata, status: z.object({ phase: z.string().optional() }).optional() });

const service = z.object({
  metadata,
  spec: z.object({
    type: z.string().default("ClusterIP"),
    clusterIPs: listOf(z.string()),
    selector: mapOfText,
    ports: listOf(
      z.object({
        name: z.string().default(""),
        port: z.int(),
        protocol: z.string().default("TCP"),
        targetPort: z.union([z.int(), z.string()]).optional(),
        appProtocol: z.string().optional(),
      }),
    ),
  }),
});

const endpointSlice = z.object({
  metadata,
  endpoints: listOf(
    z.object({
      addresses: listOf(z.string()),
      conditions: z
        .object({ ready: z.boolean().nullish(), serving: z.boolean().nullish(), terminating: z.boolean().nullish() })
        .prefault({}),
      targetRef: z.object({ kind: z.string().optional(), name: z.string().optional(), namespace: z.string().optional() }).optional(),
    }),
  ),
  ports: listOf(z.object({ name: z.string().nullish(), port: z.int().nullish() })),
});

const containers = listOf(z.object({ name: z.string() }));
const pod = z.object({
  metadata,
  spec: z.object({
    serviceAccountName: z.string().default("default"),
    hostNetwork: z.boolean().default(false),
    containers,
    initContainers: containers,
  }),
  status: z
    .object({ phase: z.string().default("Pending"), podIP: z.string().optional(), podIPs: listOf(z.object({ ip: z.string() })) })
    .prefault({}),
});

const configMap = z.object({ metadata, data: mapOfText });

export type NamespaceObject = z.infer<typeof namespace>;
export type ServiceObject = z.infer<typeof service>;
export type EndpointSliceObject = z.infer<typeof endpointSlice>;
export type PodObject = z.infer<typeof pod>;
export type ConfigMapObject = z.infer<typeof configMap>;

/** Each throws ZodError for what is no such object. */
export const namespaceFromApi = (value: unknown): NamespaceObject => namespace.parse(value);
export const serviceFromApi = (value: unknown): ServiceObject => service.parse(value);
export const endpointSliceFromApi = (value: unknown): EndpointSliceObject => endpointSlice.parse(value);
export const podFromApi = (value: unknown): PodObject => pod.parse(value);
export const configMapFromApi = (value: unknown): ConfigMapObject => configMap.parse(value);

/** All addresses of a pod; empty while it has none. */
export function addressesOfPod({ status }: PodObject): readonly string[] {
  const addresses = status.podIPs.map(({ ip }) => ip);
  return addresses.length > 0 || status.podIP === undefined ? addresses : [status.podIP];
}

/** Whether its containers have ended for good: its addresses may be another pod's by now. */
export function isFinished({ status }: PodObject): boolean {
  return status.phase === "Succeeded" || status.phase === "Failed";
}

const injectLabel = "countersign.dev/inject";

/** Whether the namespace takes part in the mesh, and is there to stay. */
export function isMeshed({ metadata, status }: NamespaceObject): boolean {
  return metadata.labels.get(injectLabel) === "enabled" && metadata.deletionTimestamp === undefined && status?.phase !== "Terminating";
}
