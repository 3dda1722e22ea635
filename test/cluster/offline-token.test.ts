/** A control plane that checks pods' tokens itself: what it may read of the cluster is enough, and an outage of the API server is none of the mesh. */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { because, missingOwnCluster, ownCluster, type Namespace, type OwnCluster } from "./harness.ts";
import { installMesh, meshed } from "./installed.ts";

const image = "countersign-shop:dev";
const system = ["--namespace", "countersign-system"];
const variable = "COUNTERSIGN_KUBERNETES_TOKENS";
const pod = {
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "idle" },
  spec: {
    terminationGracePeriodSeconds: 1,
    containers: [{ name: "idle", image, args: ["--eval", "setInterval(() => {}, 1e6)"] }],
  },
};

describe.skipIf(missingOwnCluster !== undefined)(`tokens checked offline${because(missingOwnCluster)}`, () => {
  let cluster: OwnCluster;
  let namespace: Namespace;

  async function configure(setting: string): Promise<void> {
    await cluster.kubectl([...system, "set", "env", "deployment/countersign", setting]);
    await cluster.rollout("countersign-system", "deployment/countersign");
  }

  beforeAll(async () => {
    cluster = ownCluster();
    await cluster.buildImage({ name: image, context: join(import.meta.dirname, "../../examples/shop") });
    await installMesh(cluster);
    await configure(`${variable}=offline`);
    namespace = await cluster.namespace("offline", meshed);
  }, 600_000);
  afterAll(async () => {
    await cluster.restore();
    await configure(`${variable}-`);
    await namespace[Symbol.asyncDispose]();
  });

  const inPod = async (path: string) =>
    await cluster.kubectl(["--namespace", namespace.name, "get", "pod", "idle", "-o", `jsonpath=${path}`]);

  test("a sidecar that starts anew while the API server is away gets its certificate", async () => {
    await cluster.apply(JSON.stringify(pod), ["--namespace", namespace.name]);
    await cluster.kubectl(["--namespace", namespace.name, "wait", "--for=condition=Ready", "pod/idle", "--timeout=60s"]);
    const address = await inPod("{.status.podIP}");
    const container = await inPod('{.status.initContainerStatuses[?(@.name=="countersign-proxy")].containerID}');
    const startOf = async () => {
      const { status, stdout } = await cluster.run(["curl", "-sS", "--fail", "--max-time", "2", `http://${address}:15020/metrics`]);
      return status === 0 ? /^process_start_time_seconds (\S+)/m.exec(stdout)?.[1] : undefined;
    };
    const before = await startOf();
    expect(before).toBeDefined();

    await cluster.signal("kube-apiserver", "SIGKILL");
    await cluster.killContainer(container);
    await cluster.waitFor("the sidecar to be ready again", async () => {
      const start = await startOf();
      const { status } = await cluster.run(["curl", "-sS", "--fail", "--max-time", "2", `http://${address}:15021/readyz`]);
      return start !== undefined && start !== before && status === 0 ? true : undefined;
    });
    await cluster.restore();
    const logs = await cluster.logs("countersign-system", "deployment/countersign");
    expect(logs).toContain('"event":"pod-not-looked-up"');
    expect(logs).not.toContain("tokenreviews");
  });
});
