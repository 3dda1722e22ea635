/** `countersign install` on a real API server: what it does, what it leaves alone, and what it refuses before it changes anything. */
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse, stringify } from "yaml";
import { countersign, countersignMust, program, restartApiServer } from "./command-line.ts";
import { because, missingOwnCluster, ownCluster, type OwnCluster } from "./harness.ts";
import { installMesh, provideVolume } from "./installed.ts";

const system = "countersign-system";

interface Kubeconfig {
  readonly clusters: readonly { readonly name: string; readonly cluster: { readonly server: string } }[];
  readonly users: readonly object[];
}

describe.skipIf(missingOwnCluster !== undefined)(`countersign install${because(missingOwnCluster)}`, () => {
  let cluster: OwnCluster;
  let folder: string;
  let image: readonly string[];

  beforeAll(async () => {
    cluster = ownCluster();
    image = ["--image", cluster.image];
    folder = await mkdtemp(join(tmpdir(), "countersign-install-"));
    await countersignMust(cluster, ["uninstall", "--yes"]);
    await restartApiServer(cluster);
    await cluster.kubectl(["delete", "persistentvolume", "countersign", "--ignore-not-found"]);
  });
  afterAll(async () => {
    await rm(folder, { recursive: true });
    await restartApiServer(cluster);
    await installMesh(cluster);
  });

  const isInstalled = async (): Promise<boolean> => (await cluster.tryKubectl(["get", "namespace", system])).status === 0;

  /** The admin's kubeconfig with something else in it. */
  async function kubeconfig(name: string, change: (config: Kubeconfig) => object): Promise<string> {
    const path = join(folder, name);
    await writeFile(path, stringify(change(parse(await readFile(cluster.kubeconfig, "utf8")) as Kubeconfig)));
    return path;
  }

  const toServer = (server: string) => (config: Kubeconfig) => ({
    ...config,
    clusters: config.clusters.map((each) => ({ ...each, cluster: { ...each.cluster, server } })),
  });

  test("says that nothing gives its claim a volume, and changes nothing", async () => {
    const { status, stdout, stderr } = await countersign(cluster, ["install", ...image]);
    expect({ status, stderr }).toEqual({ status: 1, stderr: "countersign: nothing was changed\n" });
    expect(stdout).toContain("FAILED nothing gives the claim countersign in countersign-system a volume: no default StorageClass");
    expect(await isInstalled()).toBe(false);
  });

  test("stops at an API server that cannot be reached", async () => {
    const nobody = await kubeconfig("nobody", toServer("https://127.0.0.1:1"));
    const { status, stdout, stderr } = await countersign(cluster, ["install", ...image, "--kubeconfig", nobody]);
    expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
    expect(stderr).toMatch(/^countersign: GET .*: connect ECONNREFUSED 127\.0\.0\.1:1\n$/);
  });

  test("stops at a context that the kubeconfig does not have", async () => {
    const { status, stderr } = await countersign(cluster, ["install", ...image, "--context", "elsewhere"]);
    expect(status).toBe(1);
    expect(stderr).toContain('there is no context "elsewhere"');
  });

  test("stops at a user who may not, says what, and changes nothing", async () => {
    await using namespace = await cluster.namespace("nobody");
    const token = (await cluster.kubectl(["--namespace", namespace.name, "create", "token", "default"])).trim();
    const user = await kubeconfig("user", (config) => ({ ...config, users: config.users.map((each) => ({ ...each, user: { token } })) }));
    const { status, stdout } = await countersign(cluster, ["install", ...image, "--kubeconfig", user]);
    expect(status).toBe(1);
    expect(stdout).toContain("FAILED you may not get, create, patch clusterroles.rbac.authorization.k8s.io");
    expect(stdout).toContain(`FAILED you may not get, create, patch deployments.apps in namespace ${system}`);
    expect(await isInstalled()).toBe(false);
  });

  test("stops at an API server without MutatingAdmissionPolicy, names it, and changes nothing", async () => {
    const port = 6444;
    const without = ["--disable-admission-plugins=MutatingAdmissionPolicy"];
    without.push("--runtime-config=admissionregistration.k8s.io/v1/mutatingadmissionpolicies=false");
    const old = await secondApiServer(cluster, port, without);
    try {
      const config = await kubeconfig("old", toServer(`https://10.88.0.1:${port}`));
      await cluster.waitFor("the second API server", async () => {
        const { status } = await cluster.tryKubectl(["--kubeconfig", config, "get", "--raw", "/readyz"]);
        return status === 0 ? true : undefined;
      });
      const { status, stdout } = await countersign(cluster, ["install", ...image, "--kubeconfig", config]);
      expect(status).toBe(1);
      expect(stdout).toContain(
        "serves no MutatingAdmissionPolicy of admissionregistration.k8s.io/v1: injection by policy needs Kubernetes 1.36",
      );
      expect(await isInstalled()).toBe(false);
    } finally {
      await old();
    }
  });

  test("on trial says what would be created, and changes nothing", async () => {
    await provideVolume(cluster);
    const output = await countersignMust(cluster, ["install", ...image, "--dry-run"]);
    expect(output).toContain("created    Deployment countersign-system/countersign\n");
    expect(output).toMatch(/note {3}[1-9][0-9]* more can be tried only in their namespace/);
    expect(await isInstalled()).toBe(false);
  });

  test("installs, says what comes up, and what to do next", async () => {
    const output = await countersignMust(cluster, ["install", ...image]);
    expect(output).toContain("created    Namespace countersign-system\n");
    expect(output).toContain("created    MutatingAdmissionPolicy countersign-inject\n");
    expect(output).toContain("ready      7 custom resource definitions established\n");
    expect(output).toContain("ready      ValidatingAdmissionPolicy countersign-guard checked\n");
    expect(output).toContain("ready      Deployment countersign-system/countersign rolled out\n");
    expect(output).toMatch(/\nNext: kubectl label namespace NAME countersign\.dev\/inject=enabled.*\n$/);
    expect(await countersignMust(cluster, ["check"])).not.toContain("FAILED");
  });

  test("changes nothing when it is run again", async () => {
    const events = (await countersignMust(cluster, ["install", ...image, "--json"])).trim().split("\n");
    const applied = events
      .map((each) => JSON.parse(each) as { event: string; outcome?: string })
      .filter(({ event }) => event === "applied");
    expect(applied.length).toBeGreaterThan(20);
    expect(applied.filter(({ outcome }) => outcome !== "unchanged")).toEqual([]);
  });

  test("prints what kubectl applies to the same end", async () => {
    const manifests = await countersignMust(cluster, ["install", ...image, "--output", "yaml"]);
    const said = await cluster.kubectl(["apply", "--server-side", "--field-manager=countersign", "-f", "-"], { input: manifests });
    expect(said.match(/serverside-applied/g)?.length).toBeGreaterThan(20);
    expect(await countersignMust(cluster, ["install", ...image, "--no-wait"])).not.toMatch(/^(?:configured|created)/m);
    const list = JSON.parse(await countersignMust(cluster, ["install", ...image, "-o", "json"])) as { items: object[] };
    expect(list.items).toHaveLength(said.trim().split("\n").length);
  });

  test("leaves alone what somebody else has set, names the field, and takes it when it is told to", async () => {
    const patch = JSON.stringify({ data: { cpu: "60m" } });
    const map = ["--namespace", system, "configmap", "countersign-injection"];
    await cluster.kubectl(["patch", ...map, "--field-manager=somebody", "--patch", patch]);
    const { status, stdout } = await countersign(cluster, ["install", ...image]);
    expect(status).toBe(1);
    expect(stdout).toMatch(/FAILED ConfigMap countersign-system\/countersign-injection: .*conflict with "somebody".*\.data\.cpu/);
    expect(stdout).not.toMatch(/^configured/m);
    const forced = await countersignMust(cluster, ["install", ...image, "--force-conflicts"]);
    expect(forced.match(/^configured.*$/gm)).toEqual(["configured ConfigMap countersign-system/countersign-injection"]);
    expect(await cluster.kubectl(["get", ...map, "-o", "jsonpath={.data.cpu}"])).toBe("50m");
  });

  test("takes over what kubectl apply has installed", async () => {
    await installMesh(cluster);
    const output = await countersignMust(cluster, ["install", ...image]);
    expect(output).toContain("ready      the control plane answers");
  });

  test("does not make another trust domain of a mesh", async () => {
    const { status, stdout } = await countersign(cluster, ["install", ...image, "--trust-domain", "other.example"]);
    expect(status).toBe(1);
    expect(stdout).toContain("FAILED a mesh of the trust domain cluster.local is installed already, and it cannot become other.example");
  });

  test("ends at Ctrl-C while it waits, and says what stays", async () => {
    const command = cluster.inNetwork([program, "install", "--image", "127.0.0.1:1/countersign:none", "--kubeconfig", cluster.kubeconfig]);
    const [name = "", ...args] = command;
    const child = spawn(name, args, { stdio: ["ignore", "pipe", "pipe"] });
    let stderr = "";
    child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
    const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
    let stdout = "";
    await new Promise<void>((resolve) => {
      child.stdout.on("data", (chunk: Buffer) => {
        stdout += chunk.toString();
        if (/waiting +Deployment .*(?:ErrImage|ImagePull)/.test(stdout)) resolve();
      });
      void ended.then(() => resolve());
    });
    child.kill("SIGINT");
    expect(await ended).toBe(130);
    expect(stderr).toBe("countersign: interrupted; what was applied stays, and countersign status says how far it is\n");
    expect(stdout).toContain("configured Deployment countersign-system/countersign\n");
    expect(await countersignMust(cluster, ["install", ...image])).toContain(
      "ready      Deployment countersign-system/countersign rolled out\n",
    );
  });
});

/** Beside the cluster's own, on the same store; it announces itself to nobody. Returns what ends it. */
async function secondApiServer(cluster: OwnCluster, port: number, more: readonly string[]): Promise<() => Promise<void>> {
  const pid = (await cluster.must(["cat", join(cluster.folder, "pid/kube-apiserver")])).trim();
  const [executable = "", ...args] = (await readFile(`/proc/${pid}/cmdline`, "utf8")).split("\0").filter((each) => each !== "");
  const own = args.map((each) => (each.startsWith("--secure-port=") ? `--secure-port=${port}` : each));
  const [name = "", ...rest] = cluster.inNetwork([executable, ...own, "--endpoint-reconciler-type=none", ...more]);
  const child = spawn(name, rest, { cwd: cluster.folder, stdio: "ignore" });
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  return async () => {
    child.kill("SIGTERM");
    await ended;
  };
}
