import { describe, expect, test } from "vitest";
import { deriveServices } from "../../../control-plane/kubernetes/derive-services.ts";
import { endpointSliceFromApi, namespaceFromApi, podFromApi, serviceFromApi } from "../../../control-plane/kubernetes/objects.ts";
import type { ApiObject } from "./api-server.ts";
import { namespaceObject, podObject, serviceObject, sliceObject } from "./cluster-objects.ts";

function byKey<T>(objects: readonly ApiObject[], parse: (value: unknown) => T): ReadonlyMap<string, T> {
  return new Map(objects.map((object) => [`${object.metadata.namespace ?? ""}/${object.metadata.name}`, parse(object)]));
}

interface Cluster {
  readonly namespaces?: readonly ApiObject[];
  readonly services?: readonly ApiObject[];
  readonly slices?: readonly ApiObject[];
  readonly pods?: readonly ApiObject[];
}

function derived({ namespaces = [namespaceObject("shop")], services = [], slices = [], pods = [] }: Cluster) {
  return deriveServices({
    namespaces: byKey(namespaces, namespaceFromApi),
    services: byKey(services, serviceFromApi),
    slices: byKey(slices, endpointSliceFromApi),
    pods: byKey(pods, podFromApi),
  });
}

const records = (cluster: Cluster) => Object.fromEntries(derived(cluster).records);
const orders = { labels: { app: "orders" }, account: "orders" };

test("a Service of a labelled namespace: its ports, addresses, accounts and pods", () => {
  const cluster = {
    services: [serviceObject("orders", { clusterIPs: ["10.96.0.10", "FD00:0:0:0:0:0:0:A"] })],
    slices: [sliceObject("orders", { a: true, b: false, c: undefined })],
    pods: [
      podObject("a", { ...orders, ips: ["10.0.0.1", "fd00::1"] }),
      podObject("b", { ...orders, ip: "10.0.0.2" }),
      podObject("c", { ...orders, ip: "10.0.0.3", account: "other" }),
    ],
  };
  expect(records(cluster)).toEqual({
    "kubernetes/services/shop/orders": {
      ports: [{ port: 80, targetPort: 8080, protocol: "http" }],
      addresses: ["10.96.0.10", "fd00::a"],
      identities: [
        { namespace: "shop", serviceAccount: "orders" },
        { namespace: "shop", serviceAccount: "other" },
      ],
      instances: { ready: ["10.0.0.1", "10.0.0.3", "fd00::1"], unready: ["10.0.0.2"] },
    },
  });
});

test.each([
  ["no label", { namespaces: [namespaceObject("shop", false)] }],
  ["a namespace that is going", { namespaces: [{ ...namespaceObject("shop"), status: { phase: "Terminating" } }] }],
  ["another namespace", { namespaces: [namespaceObject("lab")] }],
  ["no selector", { services: [serviceObject("orders", { selector: null })] }],
  ["ExternalName", { services: [serviceObject("orders", { type: "ExternalName", selector: undefined })] }],
])("%s: no service", (_name, cluster) => {
  expect(records({ services: [serviceObject("orders")], ...cluster })).toEqual({});
});

test("a name that stands for something else in ARNs is left out, and said", () => {
  const { records: made, problems } = derived({ services: [serviceObject("sts")] });
  expect([made.size, problems]).toEqual([
    0,
    ["Service shop/sts: the name stands for something else in ARNs; the service is not part of the mesh"],
  ]);
});

test("slices count for nothing but pods that the Service selects", () => {
  const strangers = {
    services: [serviceObject("orders")],
    slices: [
      sliceObject("orders", { thief: true, gone: true, done: true }),
      { ...sliceObject("orders", {}), endpoints: [{ addresses: ["10.0.0.9"], conditions: { ready: true } }] },
    ],
    pods: [
      podObject("thief", { ip: "10.0.0.8", labels: { app: "thief" }, sidecar: false }),
      podObject("done", { ...orders, ip: "10.0.0.7", phase: "Succeeded" }),
    ],
  };
  expect(records(strangers)["kubernetes/services/shop/orders"]).toMatchObject({ identities: [], instances: { ready: [], unready: [] } });
});

test("a pod that is ending serves on where no other is ready", () => {
  const pods = [podObject("old", { ...orders, ip: "10.0.0.1" }), podObject("new", { ...orders, ip: "10.0.0.2" })];
  const endpoint = (name: string, conditions: object) => ({ addresses: [], conditions, targetRef: { kind: "Pod", name } });
  const old = endpoint("old", { ready: false, serving: true, terminating: true });
  const instances = (fresh: object) => {
    const slices = [{ ...sliceObject("orders", {}), endpoints: [old, endpoint("new", fresh)] }];
    return records({ services: [serviceObject("orders")], slices, pods })["kubernetes/services/shop/orders"]?.instances;
  };
  expect(instances({ ready: false })).toEqual({ ready: ["10.0.0.1"], unready: ["10.0.0.2"] });
  expect(instances({ ready: true })).toEqual({ ready: ["10.0.0.2"], unready: ["10.0.0.1"] });
});

describe("ports", () => {
  const ports = (list: readonly object[], slicePorts: readonly object[] = []) =>
    records({
      services: [serviceObject("orders", { ports: list })],
      slices: [sliceObject("orders", { a: true }, slicePorts)],
      pods: [podObject("a", { ...orders, ip: "10.0.0.1" })],
    })["kubernetes/services/shop/orders"]?.ports;

  test("by number, by name, and not at all", () => {
    expect(
      ports(
        [
          { name: "b", port: 81, targetPort: "web" },
          { name: "a", port: 80 },
          { name: "c", port: 82, targetPort: "nobody-has-it" },
          { name: "d", port: 83, protocol: "UDP", targetPort: 53 },
        ],
        [{ name: "b", port: 8081 }],
      ),
    ).toEqual([
      { port: 80, targetPort: 80 },
      { port: 81, targetPort: 8081 },
    ]);
  });

  test("a single port may go without a name", () => {
    expect(ports([{ port: 80, targetPort: "web" }], [{ name: "", port: 8080 }])).toEqual([{ port: 80, targetPort: 8080 }]);
    expect(ports([{ port: 80, targetPort: "web" }], [{ name: null, port: 8080 }])).toEqual([{ port: 80, targetPort: 8080 }]);
  });

  test.each([
    ["http", undefined, "http"],
    ["x", "kubernetes.io/h2c", "h2"],
    ["http", "kubernetes.io/wss", "tcp"],
    ["x", "kubernetes.io/ws", "http"],
    ["grpc-orders", undefined, "grpc"],
    ["grpc-web", undefined, "http"],
    ["http2-api", undefined, "h2"],
    ["redis", undefined, "tcp"],
    ["https-admin", undefined, "tcp"],
    ["httpx", undefined, undefined],
    ["web", "example.com/own", undefined],
    ["constructor", "constructor", undefined],
  ])("a port %s of %s speaks %s", (name, appProtocol, protocol) => {
    expect(ports([{ name, appProtocol, port: 1 }])?.[0]?.protocol).toBe(protocol);
  });
});

describe("who only calls", () => {
  test("has a record of the account's name, if it has a sidecar and no Service", () => {
    const cluster = {
      services: [serviceObject("orders")],
      pods: [
        podObject("a", orders),
        podObject("job", { account: "job" }),
        podObject("bare", { account: "bare", sidecar: false }),
        podObject("done", { account: "done", phase: "Failed" }),
      ],
    };
    expect(Object.keys(records(cluster))).toEqual(["kubernetes/services/shop/orders", "kubernetes/services/shop/job"]);
    expect(records(cluster)["kubernetes/services/shop/job"]).toEqual({
      ports: [],
      addresses: [],
      identities: [{ namespace: "shop", serviceAccount: "job" }],
    });
  });

  test("is not taken for the Service that happens to be called so", () => {
    const cluster = { services: [serviceObject("worker")], pods: [podObject("job", { account: "worker" })] };
    expect(records(cluster)["kubernetes/services/shop/@worker"]?.identities).toEqual([{ namespace: "shop", serviceAccount: "worker" }]);
    expect(records(cluster)["kubernetes/services/shop/worker"]?.identities).toEqual([]);
  });
});
