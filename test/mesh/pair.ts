/**
 * The mesh that a protocol is tried in: `caller` and `target`, each beside its sidecar. `caller` may do anything at the services
 * `target`, `fragile` (an application that can be taken away) and `absent` (where none listens), and only DELETE at `guarded`, which
 * is served as `target` is. `modern` is `target` where it is declared to speak HTTP/2, `classic` is `fragile` where it is
 * declared to speak HTTP/1.1.
 */
import type { Server } from "node:net";
import { startMesh, type SidecarSettings, type TestMesh } from "./harness.ts";

const workload = (name: string) => `---
{ apiVersion: countersign.dev/v1, kind: Workload, metadata: { name: ${name}, namespace: shop }, spec: {} }
`;
const service = (name: string, spec: string, protocol = "") => `---
{ apiVersion: countersign.dev/v1, kind: Service, metadata: { name: ${name}, namespace: shop }, spec: { ports: [{ port: 80${protocol} }]${spec} } }
`;
const yaml = (protocol: string) => [
  "{ apiVersion: countersign.dev/v1, kind: Mesh, metadata: { name: mesh }, spec: { trustDomain: test.example, auditSample: 1 } }\n",
  workload("caller"),
  workload("target"),
  workload("fragile"),
  workload("absent"),
  service("caller", ", calls: [target, fragile, absent, modern, classic, { service: guarded, actions: [DELETE] }]"),
  service("target", "", protocol),
  service("fragile", "", protocol),
  service("absent", "", protocol),
  service("guarded", ", identities: [{ serviceAccount: target }]", protocol),
  service("modern", ", identities: [{ serviceAccount: target }]", ", protocol: h2"),
  service("classic", ", identities: [{ serviceAccount: fragile }]", ", protocol: http"),
];

export interface Pair {
  readonly mesh: TestMesh;
  /** Of the caller's sidecar. */
  readonly outbound: string;
}

/** An application of the test: a server of Node's, or the port of whatever else listens on loopback. */
export type Application = Server | number;

function settings(application: Application): SidecarSettings {
  return typeof application === "number" ? { environment: { COUNTERSIGN_APP: `127.0.0.1:${application}` } } : { application };
}

/** `declared`: what the services other than `modern` and `classic` say that they speak. */
export async function startPair(target: Application, fragile: Application = target, declared = ""): Promise<Pair> {
  const mesh = await startMesh({
    yaml: yaml(declared && `, protocol: ${declared}`).join(""),
    workloads: { caller: {}, target: settings(target), fragile: settings(fragile), absent: {} },
  });
  return { mesh, outbound: mesh.sidecar("caller").outbound };
}
