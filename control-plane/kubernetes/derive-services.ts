/**
 * From the cluster's Services, EndpointSlices and Pods to the services of the mesh; a pure function.
 *
 * A Service counts in a namespace that takes part, if it selects pods: what it has no selector for lies outside the mesh, as an
 * ExternalName does. Who may answer for it are the service accounts of the pods that it selects. Ports are TCP ones, named target
 * ports resolved as the EndpointSlices have them.
 */
import { canonicalIp } from "../../common/net/ip.ts";
import { label, serviceAccountName, serviceName } from "../../common/resources/names.ts";
import type { protocols } from "../../common/resources/service.ts";
import { addressesOfPod, isFinished, isMeshed } from "./objects.ts";
import type { EndpointSliceObject, NamespaceObject, PodObject, ServiceObject } from "./objects.ts";
import { serviceRecordKey } from "./service-record.ts";
import type { ServiceRecord } from "./service-record.ts";

export const sidecarContainer = "countersign-proxy";
const sliceServiceLabel = "kubernetes.io/service-name";

export interface ClusterObjects {
  /** Each by `<namespace>/<name>`. */
  readonly namespaces: ReadonlyMap<string, NamespaceObject>;
  readonly services: ReadonlyMap<string, ServiceObject>;
  readonly slices: ReadonlyMap<string, EndpointSliceObject>;
  readonly pods: ReadonlyMap<string, PodObject>;
}

export interface DerivedServices {
  /** By the store's key; equal objects give records that are equal byte for byte. */
  readonly records: ReadonlyMap<string, ServiceRecord>;
  /** What cannot be part of the mesh as it is, for the operator. */
  readonly problems: readonly string[];
}

export function deriveServices({ namespaces, services, slices, pods }: ClusterObjects): DerivedServices {
  const meshed = new Set([...namespaces.values()].filter(isMeshed).map(({ metadata }) => metadata.name));
  const podsByNamespace = Map.groupBy(
    [...pods.values()].filter((pod) => meshed.has(pod.metadata.namespace) && isNameable(pod)),
    ({ metadata }) => metadata.namespace,
  );
  const slicesByService = Map.groupBy(
    slices.values(),
    ({ metadata }) => `${metadata.namespace}/${metadata.labels.get(sliceServiceLabel) ?? ""}`,
  );
  const records = new Map<string, ServiceRecord>();
  const problems: string[] = [];
  const accountsOfServices = new Set<string>();
  for (const [key, service] of services) {
    const { namespace, name } = service.metadata;
    if (!meshed.has(namespace) || service.spec.type === "ExternalName" || service.spec.selector.size === 0) continue;
    if (!serviceName.safeParse(name).success) {
      problems.push(`Service ${key}: the name stands for something else in ARNs; the service is not part of the mesh`);
      continue;
    }
    const selected = (podsByNamespace.get(namespace) ?? []).filter((pod) => selects(service, pod));
    const record = recordOf(service, selected, slicesByService.get(key) ?? []);
    for (const { serviceAccount } of record.identities) accountsOfServices.add(`${namespace}/${serviceAccount}`);
    records.set(serviceRecordKey(namespace, name), record);
  }
  for (const [namespace, members] of podsByNamespace) {
    for (const serviceAccount of accountsOf(members.filter(hasSidecar))) {
      if (accountsOfServices.has(`${namespace}/${serviceAccount}`)) continue;
      const taken = records.has(serviceRecordKey(namespace, serviceAccount));
      const key = serviceRecordKey(namespace, taken ? `@${serviceAccount}` : serviceAccount);
      records.set(key, { ports: [], addresses: [], identities: [{ namespace, serviceAccount }] });
    }
  }
  return { records, problems };
}

/** Whether a SPIFFE id can be made of it. Kubernetes has no names that could not, but for the lengths of both together. */
function isNameable({ metadata, spec }: PodObject): boolean {
  return label.safeParse(metadata.namespace).success && serviceAccountName.safeParse(spec.serviceAccountName).success;
}

function hasSidecar({ spec, ...pod }: PodObject): boolean {
  const all = [...spec.initContainers, ...spec.containers];
  return !spec.hostNetwork && !isFinished({ spec, ...pod }) && all.some(({ name }) => name === sidecarContainer);
}

function selects({ spec }: ServiceObject, pod: PodObject): boolean {
  return !isFinished(pod) && [...spec.selector].every(([name, value]) => pod.metadata.labels.get(name) === value);
}

/** In order, each once. */
function accountsOf(pods: readonly PodObject[]): readonly string[] {
  return [...new Set(pods.map(({ spec }) => spec.serviceAccountName))].sort();
}

function recordOf(service: ServiceObject, selected: readonly PodObject[], slices: readonly EndpointSliceObject[]): ServiceRecord {
  const { namespace } = service.metadata;
  return {
    ports: portsOf(service, slices),
    addresses: addressesOf(service.spec.clusterIPs),
    identities: accountsOf(selected).map((serviceAccount) => ({ namespace, serviceAccount })),
    instances: instancesOf(selected, slices),
  };
}

/** `None`, of a headless Service, is no address. */
function addressesOf(texts: readonly string[]): string[] {
  return [...new Set(texts.flatMap((text) => canonicalIp(text) ?? []))].sort();
}

/**
 * All addresses of each pod that a slice names: a pod is the same by whichever of its addresses it is seen. Where none is ready,
 * those that are ending and still serve count as ready, as they do for kube-proxy: better the old one than none.
 */
function instancesOf(selected: readonly PodObject[], slices: readonly EndpointSliceObject[]): NonNullable<ServiceRecord["instances"]> {
  const byName = new Map(selected.map((pod) => [pod.metadata.name, pod]));
  const ready = new Set<string>();
  const ending = new Set<string>();
  const unready = new Set<string>();
  for (const { endpoints } of slices) {
    for (const { conditions, targetRef } of endpoints) {
      const pod = targetRef?.kind === "Pod" ? byName.get(targetRef.name ?? "") : undefined;
      if (pod === undefined) continue;
      // Unknown is to be taken for ready.
      const isEnding = conditions.serving === true && conditions.terminating === true;
      const list = conditions.ready !== false ? ready : isEnding ? ending : unready;
      for (const address of addressesOf(addressesOfPod(pod))) list.add(address);
    }
  }
  const reachable = ready.size > 0 ? ready : ending;
  const others = new Set([...ending, ...unready]).difference(reachable);
  return { ready: [...reachable].sort(), unready: [...others].sort() };
}

function portsOf({ spec }: ServiceObject, slices: readonly EndpointSliceObject[]): ServiceRecord["ports"] {
  const ports = new Map<number, ServiceRecord["ports"][number]>();
  for (const { name, port, protocol, targetPort = port, appProtocol } of spec.ports) {
    if (protocol !== "TCP" || ports.has(port)) continue;
    const number = typeof targetPort === "number" ? targetPort : numberOfPort(name, slices);
    // A named port is known when there is a pod that has it; before that nobody can be called there.
    if (number === undefined || number < 1) continue;
    const spoken = protocolOf(appProtocol, name);
    ports.set(port, { port, targetPort: number, ...(spoken === undefined ? {} : { protocol: spoken }) });
  }
  return [...ports.values()].sort((a, b) => a.port - b.port);
}

function numberOfPort(name: string, slices: readonly EndpointSliceObject[]): number | undefined {
  const matching = slices
    .filter(({ endpoints }) => endpoints.length > 0)
    .flatMap(({ ports }) => ports.filter((each) => (each.name ?? "") === name));
  return matching.flatMap(({ port }) => port ?? []).sort((a, b) => a - b)[0];
}

type Protocol = (typeof protocols)[number];

/** https://kubernetes.io/docs/concepts/services-networking/service/#application-protocol, and what is widely used beside it. */
const protocolsByAppProtocol = new Map<string, Protocol>([
  ["http", "http"],
  ["kubernetes.io/ws", "http"],
  ["h2c", "h2"],
  ["http2", "h2"],
  ["kubernetes.io/h2c", "h2"],
  ["grpc", "grpc"],
  ["tcp", "tcp"],
  // The application's own TLS: bytes to us.
  ["https", "tcp"],
  ["tls", "tcp"],
  ["kubernetes.io/wss", "tcp"],
]);

/** The habit of Istio: `<protocol>` or `<protocol>-<anything>` as the name of a port. */
const protocolsByPortName = new Map<string, Protocol>([
  ["http", "http"],
  ["http2", "h2"],
  ["h2c", "h2"],
  ["grpc", "grpc"],
  ...["tcp", "https", "tls", "redis", "mysql", "mongo", "postgres", "postgresql", "kafka", "amqp", "mqtt", "nats", "ldap", "smtp"].map(
    (name): [string, Protocol] => [name, "tcp"],
  ),
]);

/** Undefined where nothing is declared: the first bytes tell. */
function protocolOf(appProtocol: string | undefined, portName: string): Protocol | undefined {
  const declared = appProtocol === undefined ? undefined : protocolsByAppProtocol.get(appProtocol.toLowerCase());
  if (declared !== undefined) return declared;
  // gRPC-Web is spoken over HTTP of any version.
  if (portName.startsWith("grpc-web")) return "http";
  return protocolsByPortName.get(portName.split("-", 1)[0] ?? "");
}
