/** The mesh as a user installs it, by kubectl and k8s/overlays/dev; once for all files that ask for it. */
import { chown, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { builtImage, missingOwnCluster, ownCluster, type Cluster } from "./harness.ts";

const overlay = join(import.meta.dirname, "../../k8s/overlays/dev");
const system = "countersign-system";
const owner = 1337;

/** Resolves when the control plane is ready. On a cluster of this machine, which provides no volumes, it gets a folder of the node's. */
export async function installMesh(cluster: Cluster): Promise<void> {
  const own = missingOwnCluster === undefined;
  if (own) await provideVolume(cluster);
  const manifests = await cluster.kubectl(["kustomize", overlay]);
  await cluster.apply(manifests.replaceAll("countersign:dev", cluster.image));
  // Of an image built anew under the same name nobody would notice.
  const annotations = { "test/image": own ? builtImage() : cluster.image };
  const patch = JSON.stringify({ spec: { template: { metadata: { annotations } } } });
  await cluster.kubectl(["--namespace", system, "patch", "deployment", "countersign", "--patch", patch]);
  await cluster.rollout(system, "deployment/countersign");
}

/** Of a cluster of this machine, where nothing else does; at once where the claim is there. */
export async function provideVolume(cluster: Cluster): Promise<void> {
  const { status } = await cluster.tryKubectl(["--namespace", system, "get", "persistentvolumeclaim", "countersign"]);
  if (status === 0) return;
  const path = join(ownCluster().folder, `countersign-${Date.now()}`);
  await mkdir(path, { recursive: true });
  await chown(path, owner, owner);
  await cluster.tryKubectl(["delete", "persistentvolume", "countersign", "--ignore-not-found"]);
  await cluster.apply(
    JSON.stringify({
      apiVersion: "v1",
      kind: "PersistentVolume",
      metadata: { name: "countersign" },
      spec: {
        capacity: { storage: "1Gi" },
        accessModes: ["ReadWriteOnce"],
        claimRef: { namespace: system, name: "countersign" },
        hostPath: { path, type: "Directory" },
      },
    }),
  );
}

export const meshed = { "countersign.dev/inject": "enabled" } as const;
