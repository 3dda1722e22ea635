import { expect, test } from "vitest";
import { planBundleMaps } from "../../../control-plane/kubernetes/bundle-maps.ts";
import { configMapFromApi, namespaceFromApi } from "../../../control-plane/kubernetes/objects.ts";
import { namespaceObject } from "./cluster-objects.ts";

const bundle = { trustDomain: "prod.example", x509Authorities: [Buffer.from("root")], sequence: 1, refreshHintSeconds: 300 };
const pem = "-----BEGIN CERTIFICATE-----\ncm9vdA==\n-----END CERTIFICATE-----\n";
const managed = { "app.kubernetes.io/managed-by": "countersign" };
const right = { "bundle.pem": pem, trustDomain: "prod.example" };

function plan(namespaces: readonly object[], maps: readonly { namespace: string; data?: object; labels?: object }[]) {
  const configMaps = maps.map(({ namespace, data = right, labels = managed }) =>
    configMapFromApi({ metadata: { name: "countersign", namespace, uid: "u", resourceVersion: "7", labels }, data }),
  );
  return planBundleMaps({
    namespaces: new Map(namespaces.map(namespaceFromApi).map((each) => [`/${each.metadata.name}`, each])),
    configMaps: new Map(configMaps.map((each) => [`${each.metadata.namespace}/${each.metadata.name}`, each])),
    ownNamespace: "countersign-system",
    bundle,
  });
}

test("one in every namespace that takes part, and in our own", () => {
  const namespaces = [namespaceObject("shop"), namespaceObject("lab", false), namespaceObject("countersign-system", false)];
  expect(plan(namespaces, [])).toEqual(
    ["shop", "countersign-system"].map((namespace) => ({
      kind: "create",
      namespace,
      body: { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "countersign", labels: managed }, data: right },
    })),
  );
  expect(plan(namespaces, [{ namespace: "shop" }, { namespace: "countersign-system" }])).toEqual([]);
});

test.each([
  ["other roots", { data: { ...right, "bundle.pem": "of a thief" } }, {}],
  ["something more", { data: { ...right, more: "x" } }, { more: null }],
  ["nothing", { data: {} }, {}],
  ["no owner", { labels: { team: "a" } }, {}],
])("with %s it is put back, if it is still what it was seen to be", (_name, map, removed) => {
  expect(plan([namespaceObject("shop")], [{ namespace: "shop", ...map }])).toEqual([
    {
      kind: "patch",
      namespace: "shop",
      body: { metadata: { resourceVersion: "7", uid: "u", labels: managed }, data: { ...right, ...removed } },
    },
  ]);
});

test("a namespace that leaves loses it, if it is ours; one that is going is left alone", () => {
  expect(plan([namespaceObject("shop", false)], [{ namespace: "shop" }])).toEqual([
    { kind: "delete", namespace: "shop", body: { preconditions: { uid: "u", resourceVersion: "7" } } },
  ]);
  expect(plan([namespaceObject("shop", false)], [{ namespace: "shop", labels: {} }])).toEqual([]);
  const { metadata, ...rest } = namespaceObject("shop");
  expect(plan([{ ...rest, metadata: { ...metadata, deletionTimestamp: "2026-01-01T00:00:00Z" } }], [])).toEqual([]);
});
