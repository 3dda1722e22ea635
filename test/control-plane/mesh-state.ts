/** A MeshState made from YAML, without a store. */
import { readResources } from "../../common/resources/read.ts";
import { fromString } from "../../common/spiffe/id.ts";
import { serviceRecordKey } from "../../control-plane/kubernetes/service-record.ts";
import type { ServiceRecord } from "../../control-plane/kubernetes/service-record.ts";
import { buildMeshState, keyOfResource } from "../../control-plane/resources/mesh-state.ts";
import type { MeshState, Parsed } from "../../control-plane/resources/mesh-state.ts";
import { endpointKey } from "../../control-plane/registry/endpoint.ts";

const mesh = (spec: string) => `{ apiVersion: countersign.dev/v1, kind: Mesh, spec: { trustDomain: prod.example, ${spec} } }\n---\n`;

/** Beside resources: service records of namespace shop, by name. */
export type Records = Readonly<Record<string, ServiceRecord>>;

/** The Mesh is added, with those settings; `endpoints` are `<service account>@<instance>@<address>` of namespace shop. */
export function stateFromYaml(
  yaml: string,
  endpoints: readonly string[] = [],
  revision = 1,
  meshSpec = "",
  records: Records = {},
): MeshState {
  const entries = new Map<string, Parsed>();
  for (const resource of readResources(mesh(meshSpec) + yaml, "state.yaml")) {
    const key = keyOfResource(resource);
    const value = Buffer.from(JSON.stringify(resource));
    entries.set(key, { kind: "resource", stored: { resource, entry: { key, value, revision, createdRevision: revision } } });
  }
  const bundle = { trustDomain: "prod.example", x509Authorities: [Buffer.from("root")], sequence: 1, refreshHintSeconds: 300 };
  entries.set("distribution/bundle", { kind: "bundle", bundle });
  for (const text of endpoints) {
    const [account = "", instance = "", address = ""] = text.split("@");
    const spiffeId = fromString(`spiffe://prod.example/ns/shop/sa/${account}`);
    entries.set(endpointKey(spiffeId, instance), { kind: "endpoint", endpoint: { spiffeId, instance, address } });
  }
  for (const [name, record] of Object.entries(records)) {
    entries.set(serviceRecordKey("shop", name), { kind: "service-record", record });
  }
  return buildMeshState(revision, entries);
}
