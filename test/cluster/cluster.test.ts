import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { because, missingCluster, missingOwnCluster, ownCluster, theCluster, type Cluster, type Namespace } from "./harness.ts";

const version = z.object({ serverVersion: z.object({ major: z.string(), minor: z.string() }) });
const pod = z.object({
  status: z.object({
    phase: z.string(),
    containerStatuses: z.array(z.object({ state: z.object({ terminated: z.object({ exitCode: z.number() }).optional() }) })).optional(),
  }),
});

describe.skipIf(missingCluster !== undefined)(`the cluster${because(missingCluster)}`, () => {
  let cluster: Cluster;
  let namespace: Namespace;
  beforeAll(async () => {
    cluster = theCluster();
    namespace = await cluster.namespace("image", { "pod-security.kubernetes.io/enforce": "restricted" });
  });
  afterAll(() => namespace[Symbol.asyncDispose]());

  /** A pod of the image under test, as Pod Security's `restricted` and a read-only root demand it. */
  const podOfImage = (name: string, container: object): string =>
    JSON.stringify({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, namespace: namespace.name },
      spec: {
        restartPolicy: "Never",
        securityContext: { runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } },
        containers: [
          {
            name,
            image: cluster.image,
            securityContext: { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ["ALL"] } },
            volumeMounts: [{ name: "data", mountPath: "/data" }],
            ...container,
          },
        ],
        volumes: [{ name: "data", emptyDir: {} }],
      },
    });
  const read = async (name: string): Promise<z.infer<typeof pod>["status"]> =>
    pod.parse(JSON.parse(await cluster.kubectl(["--namespace", namespace.name, "get", "pod", name, "-o", "json"]))).status;
  const exitCode = (status: z.infer<typeof pod>["status"]): number | undefined => status.containerStatuses?.[0]?.state.terminated?.exitCode;

  test("is Kubernetes 1.36 or later, with a node that is ready", async () => {
    const { serverVersion } = version.parse(JSON.parse(await cluster.kubectl(["version", "-o", "json"])));
    expect(Number(serverVersion.major)).toBe(1);
    expect(Number.parseInt(serverVersion.minor, 10)).toBeGreaterThanOrEqual(36);
    await cluster.kubectl(["wait", "--for=condition=Ready", "node", "--all", "--timeout=30s"]);
  });

  test("a pod of the image runs the command line, with nothing but a read-only root, and ends", async () => {
    await cluster.apply(podOfImage("help", { args: ["--help"] }));
    const code = await cluster.waitFor("the pod's end", async () => exitCode(await read("help")), { namespace: namespace.name });
    expect(code).toBe(0);
    expect(await cluster.logs(namespace.name, "help")).toContain("Usage: countersign");
  });

  test("a control plane of the image starts, and as PID 1 ends when it is told to", async () => {
    await cluster.apply(
      podOfImage("control-plane", {
        args: ["control-plane"],
        env: [
          { name: "COUNTERSIGN_DATA", value: "/data" },
          { name: "COUNTERSIGN_TRUST_DOMAIN", value: "test.example" },
          { name: "COUNTERSIGN_METRICS", value: "0.0.0.0:15014" },
        ],
        readinessProbe: { httpGet: { path: "/metrics", port: 15014 }, periodSeconds: 1 },
      }),
    );
    const name = ["--namespace", namespace.name, "pod/control-plane"];
    await cluster.waitFor(
      "the control plane",
      async () => {
        const { status } = await cluster.tryKubectl(["wait", "--for=condition=Ready", "--timeout=1s", ...name]);
        return status === 0 ? true : undefined;
      },
      { namespace: namespace.name },
    );
    // A finalizer keeps the pod readable when it has ended.
    const patch = (finalizers: readonly string[]): Promise<string> =>
      cluster.kubectl(["patch", ...name, "--type=merge", "-p", JSON.stringify({ metadata: { finalizers } })]);
    await patch(["countersign.dev/test"]);
    try {
      await cluster.kubectl(["delete", "--wait=false", "--grace-period=60", ...name]);
      const code = await cluster.waitFor("its end", async () => exitCode(await read("control-plane")), {
        seconds: 30,
        namespace: namespace.name,
      });
      expect(code).toBe(0);
    } finally {
      await patch([]);
    }
  });

  test.skipIf(missingOwnCluster !== undefined)(`its programs stop and start again${because(missingOwnCluster)}`, async () => {
    const own = ownCluster();
    await own.signal("kube-scheduler", "SIGTERM");
    try {
      await cluster.apply(podOfImage("unscheduled", { args: ["--version"] }));
      expect(await own.run(["curl", "--silent", "--insecure", "https://127.0.0.1:10259/healthz"])).toMatchObject({ status: 7 });
    } finally {
      await own.restore();
    }
    const code = await cluster.waitFor("the pod's end", async () => exitCode(await read("unscheduled")), { namespace: namespace.name });
    expect(code).toBe(0);
  });

  test("what is waited for in vain is an error that says what the namespace was doing", async () => {
    const never = cluster.waitFor("Godot", async () => undefined, { seconds: 1, namespace: namespace.name });
    await expect(never).rejects.toThrow(/gave up after 1 s waiting for Godot[^]*kubectl get pods[^]*kubectl get events/);
  });
});
