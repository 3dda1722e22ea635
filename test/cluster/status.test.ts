/** `countersign status` of what does not start: it says so within half a minute, and why. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { countersign, countersignMust } from "./command-line.ts";
import { because, missingOwnCluster, ownCluster, type Namespace, type OwnCluster } from "./harness.ts";
import { installMesh, meshed } from "./installed.ts";

const system = "countersign-system";
const failing = "countersign-failing:dev";
/** Whose registry refuses at once: one that does not exist at all lets one wait for a minute. */
const missing = "127.0.0.1:1/countersign:none";

describe.skipIf(missingOwnCluster !== undefined)(`countersign status${because(missingOwnCluster)}`, () => {
  let cluster: OwnCluster;
  let namespace: Namespace;

  beforeAll(async () => {
    cluster = ownCluster();
    await installMesh(cluster);
    const context = await mkdtemp(join(tmpdir(), "countersign-failing-"));
    const command = JSON.stringify(["/bin/sh", "-c", "echo there is no such thing >&2; exit 7"]);
    await writeFile(join(context, "Dockerfile"), `FROM debian:bookworm-slim\nUSER 1337:1337\nENTRYPOINT ${command}\n`);
    await cluster.buildImage({ name: failing, context });
    await rm(context, { recursive: true });
    namespace = await cluster.namespace("status", meshed);
  }, 600_000);
  afterAll(async () => {
    await namespace[Symbol.asyncDispose]();
    await countersignMust(cluster, ["install", "--image", cluster.image, "--force-conflicts"]);
    await installMesh(cluster);
  });

  /** What status says of it, as soon as it does. */
  async function said(pattern: RegExp): Promise<string> {
    const began = performance.now();
    const found = await cluster.waitFor(
      `status to say ${pattern.source}`,
      async () => {
        const { status, stdout } = await countersign(cluster, ["status"]);
        return status === 1 && pattern.test(stdout) ? stdout : undefined;
      },
      { seconds: 30 },
    );
    process.stderr.write(`status says ${pattern.source} after ${Math.round(performance.now() - began)} ms\n`);
    return found;
  }

  /** A pod as an application would have it, whose sidecar has that image. */
  async function podWithSidecar(name: string, image: string): Promise<void> {
    const patch = JSON.stringify({ data: { image } });
    await cluster.kubectl(["--namespace", system, "patch", "configmap", "countersign-injection", "--patch", patch]);
    const app = { name: "app", image: "countersign:dev", command: ["sleep", "infinity"], securityContext: { runAsUser: 1000 } };
    const pod = { apiVersion: "v1", kind: "Pod", metadata: { name }, spec: { terminationGracePeriodSeconds: 1, containers: [app] } };
    await cluster.waitFor("the injection to have the image", async () => {
      await cluster.apply(JSON.stringify(pod), ["--namespace", namespace.name]);
      const images = await cluster.kubectl([
        "--namespace",
        namespace.name,
        "get",
        "pod",
        name,
        "-o",
        "jsonpath={.spec.initContainers[*].image}",
      ]);
      if (images.includes(image)) return true;
      await cluster.kubectl(["--namespace", namespace.name, "delete", "pod", name]);
      return undefined;
    });
  }

  test("a control plane whose image is not there", async () => {
    await countersignMust(cluster, ["install", "--no-wait", "--image", missing, "--force-conflicts"]);
    const page = await said(/ErrImagePull|ImagePullBackOff/);
    expect(page).toMatch(
      /FAILED the control plane's pod countersign-\S+ is not ready: (?:ErrImagePull|ImagePullBackOff) of control-plane: .*127\.0\.0\.1:1\/countersign/,
    );
    expect(page).toContain("countersign install --image NAME:TAG");
    expect(await countersign(cluster, ["check"])).toMatchObject({ status: 1, stdout: expect.stringContaining("ImagePull") as string });
  });

  test("install ends with it, when its time is over", async () => {
    const { status, stdout, stderr } = await countersign(cluster, ["install", "--image", missing, "--force-conflicts", "--timeout", "1s"]);
    expect(status).toBe(1);
    expect(stdout).toMatch(/waiting {4}Deployment countersign-system\/countersign: 0 of 1 available; .*ImagePull/);
    expect(stderr).toMatch(
      /^countersign: after 1 s: Deployment countersign-system\/countersign: 0 of 1 available; .*; countersign status says more\n$/,
    );
  });

  test("a control plane that ends as soon as it starts", async () => {
    await countersignMust(cluster, ["install", "--no-wait", "--image", failing, "--force-conflicts"]);
    const page = await said(/it ended with 7; it said/);
    expect(page).toMatch(
      /FAILED the control plane's pod countersign-\S+ is not ready: \S+ of control-plane: it ended with 7; it said: there is no such thing\n/,
    );
    expect(page).toMatch(/\n +kubectl logs -n countersign-system countersign-\S+ -c control-plane --previous\n/);
  });

  test("a sidecar whose image is not there, and one that ends as soon as it starts", async () => {
    await countersignMust(cluster, ["install", "--image", cluster.image, "--force-conflicts"]);
    await podWithSidecar("missing", missing);
    await podWithSidecar("failing", failing);
    const page = await said(
      /missing is not ready: (?:Err|Image)[^]*failing is not ready: \S+ of countersign-init: it ended|failing is not ready: \S+ of countersign-init: it ended[^]*missing is not ready: (?:Err|Image)/,
    );
    expect(page).toMatch(new RegExp(`\n${namespace.name} +2 +0 +0 +0\n`));
    expect(page).toContain(`kubectl logs -n ${namespace.name} failing -c countersign-init --previous`);
  });

  test("what cannot make its pods, because the guard refuses them", async () => {
    const app = { name: "app", image: "countersign:dev", securityContext: { runAsUser: 1000, privileged: true } };
    const template = { metadata: { labels: { app: "refused" } }, spec: { containers: [app] } };
    const deployment = {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name: "refused" },
      spec: { selector: { matchLabels: { app: "refused" } }, template },
    };
    await cluster.apply(JSON.stringify(deployment), ["--namespace", namespace.name]);
    const page = await said(/cannot make its pods/);
    expect(page).toMatch(
      new RegExp(`FAILED namespace ${namespace.name}: ReplicaSet refused-\\S+ cannot make its pods: .*container app .*`),
    );
  });

  test("a custom resource that is not accepted", async () => {
    const resource = {
      apiVersion: "countersign.dev/v1",
      kind: "Policy",
      metadata: { name: "wrong" },
      spec: { document: { Version: "1999" } },
    };
    await cluster.apply(JSON.stringify(resource), ["--namespace", namespace.name]);
    const page = await said(/is not Accepted: (?!Unknown)/);
    expect(page).toContain(`FAILED policies/wrong -n ${namespace.name} is not Accepted: `);
  });

  test("as JSON, with the findings", async () => {
    const { stdout } = await countersign(cluster, ["status", "--json"]);
    const page = JSON.parse(stdout) as { controlPlane: { replicas: object }; findings: { state: string }[] };
    expect(page.controlPlane.replicas).toEqual({ wanted: 1, ready: 1 });
    expect(page.findings.filter(({ state }) => state === "failed").length).toBeGreaterThan(0);
  });
});
