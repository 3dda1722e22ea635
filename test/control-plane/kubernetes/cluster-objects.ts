/** Objects of a cluster as its API server answers them, for tests. */
import type { ApiObject } from "./api-server.ts";

export const paths = {
  namespaces: "/api/v1/namespaces",
  services: "/api/v1/services",
  slices: "/apis/discovery.k8s.io/v1/endpointslices",
  pods: "/api/v1/pods",
  configMaps: "/api/v1/configmaps",
} as const;

export function namespaceObject(name: string, meshed = true): ApiObject {
  return { metadata: { name, ...(meshed ? { labels: { "countersign.dev/inject": "enabled" } } : {}) }, status: { phase: "Active" } };
}

export interface PodOptions {
  readonly ip?: string;
  readonly ips?: readonly string[];
  readonly account?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly uid?: string;
  readonly phase?: string;
  readonly sidecar?: boolean;
  readonly deletionTimestamp?: string;
}

export function podObject(name: string, options: PodOptions = {}): ApiObject {
  const { ip, ips = ip === undefined ? [] : [ip], account = "default", labels = {}, uid, phase = "Running", sidecar = true } = options;
  const { deletionTimestamp } = options;
  return {
    metadata: {
      name,
      namespace: "shop",
      labels,
      ...(uid === undefined ? {} : { uid }),
      ...(deletionTimestamp === undefined ? {} : { deletionTimestamp }),
    },
    spec: {
      serviceAccountName: account,
      containers: [{ name: "app" }],
      initContainers: sidecar ? [{ name: "countersign-init" }, { name: "countersign-proxy" }] : [],
    },
    status: { phase, ...(ips[0] === undefined ? {} : { podIP: ips[0] }), podIPs: ips.map((each) => ({ ip: each })) },
  };
}

export function serviceObject(name: string, spec: object = {}): ApiObject {
  return {
    metadata: { name, namespace: "shop" },
    spec: {
      type: "ClusterIP",
      clusterIPs: ["10.96.0.10"],
      selector: { app: name },
      ports: [{ name: "http", port: 80, protocol: "TCP", targetPort: 8080 }],
      ...spec,
    },
  };
}

/** `pods` by name: whether they are ready. */
export function sliceObject(
  service: string,
  pods: Readonly<Record<string, boolean | undefined>>,
  ports: readonly object[] = [],
): ApiObject {
  return {
    metadata: { name: `${service}-abcde`, namespace: "shop", labels: { "kubernetes.io/service-name": service } },
    addressType: "IPv4",
    endpoints: Object.entries(pods).map(([name, ready]) => ({
      addresses: ["192.0.2.1"],
      conditions: { ready },
      targetRef: { kind: "Pod", name, namespace: "shop" },
    })),
    ports,
  };
}
