/** `countersign uninstall`: what it refuses, that nothing of ours is left, and that applications run on, before a restart and after it. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { countersign, countersignMust, restartApiServer } from "./command-line.ts";
import { because, missingOwnCluster, ownCluster, type Namespace, type OwnCluster } from "./harness.ts";
import { installMesh, meshed, provideVolume } from "./installed.ts";

const shop = join(import.meta.dirname, "../../examples/shop");
const services = ["storefront", "orders", "inventory"] as const;

const object = z.object({
  metadata: z.object({ name: z.string(), namespace: z.string().default(""), labels: z.record(z.string(), z.string()).default({}) }),
});
const list = z.object({ items: z.array(object).default([]) });

/** What kubectl calls a kind, and namespace and name: every object with a label, name, namespace or group of ours. */
async function ours(cluster: OwnCluster): Promise<readonly string[]> {
  const kinds = (await cluster.kubectl(["api-resources", "--verbs=list", "-o", "name"])).trim().split("\n");
  // Events are history, and end by themselves.
  const looked = kinds.filter((kind) => !/^events(?:\.|$)/.test(kind));
  const found: string[] = looked.filter((kind) => kind.includes("countersign"));
  for (const kind of looked) {
    const { items } = list.parse(JSON.parse(await cluster.kubectl(["get", kind, "--all-namespaces", "-o", "json"])));
    for (const { metadata } of items) {
      const { "countersign.dev/inject": _users, ...labels } = metadata.labels;
      const marks = [metadata.name, metadata.namespace, ...Object.entries(labels).flat()];
      if (marks.some((mark) => mark.includes("countersign"))) found.push(`${kind} ${metadata.namespace}/${metadata.name}`);
    }
  }
  return found;
}

describe.skipIf(missingOwnCluster !== undefined)(`countersign uninstall${because(missingOwnCluster)}`, () => {
  let cluster: OwnCluster;
  let namespace: Namespace;
  let image: readonly string[];

  beforeAll(async () => {
    cluster = ownCluster();
    image = ["--image", cluster.image];
    await cluster.buildImage({ name: "countersign-shop:dev", context: shop });
    await countersignMust(cluster, ["uninstall", "--yes"]);
    await restartApiServer(cluster);
    await provideVolume(cluster);
    await countersignMust(cluster, ["install", ...image]);
    namespace = await cluster.namespace("uninstall", meshed);
    await cluster.apply(await readFile(join(shop, "kubernetes/shop.yaml"), "utf8"), ["--namespace", namespace.name]);
    await rolledOut();
  }, 600_000);
  afterAll(async () => {
    await namespace[Symbol.asyncDispose]();
    await restartApiServer(cluster);
    await installMesh(cluster);
  });

  async function rolledOut(): Promise<void> {
    for (const name of services) await cluster.rollout(namespace.name, `deployment/${name}`);
  }

  async function restart(): Promise<void> {
    await cluster.kubectl(["--namespace", namespace.name, "rollout", "restart", "deployment"]);
    await rolledOut();
  }

  /** The status of a call from the storefront through orders to inventory. */
  async function order(): Promise<string> {
    const init = JSON.stringify({ method: "POST", body: JSON.stringify({ item: "42" }) });
    const script = `fetch("http://orders/orders", ${init}).then((r) => console.log(r.status), (e) => console.log(String(e.cause?.code ?? e)))`;
    const command = ["exec", "deployment/storefront", "-c", "storefront", "--", "node", "--eval", script];
    return (await cluster.kubectl(["--namespace", namespace.name, ...command])).trim();
  }

  const sidecars = async (): Promise<number> => {
    const names = await cluster.kubectl([
      "--namespace",
      namespace.name,
      "get",
      "pods",
      "-o",
      "jsonpath={.items[*].spec.initContainers[*].name}",
    ]);
    return names.split(" ").filter((name) => name === "countersign-proxy").length;
  };

  async function makeResource(): Promise<void> {
    const resource = { apiVersion: "countersign.dev/v1", kind: "Service", metadata: { name: "inventory" }, spec: { tier: "standard" } };
    await cluster.apply(JSON.stringify(resource), ["--namespace", namespace.name]);
    await cluster.kubectl(["--namespace", namespace.name, "wait", "--for=condition=Enforced", "cssvc/inventory", "--timeout=60s"]);
  }

  test("status and check find nothing wrong with what is to go", async () => {
    await makeResource();
    // Sessions that there are outlive the control plane.
    expect(await order()).toBe("201");
    const page = await countersignMust(cluster, ["status"]);
    expect(page).toMatch(/^control plane {3}1 of 1 ready/);
    expect(page).toMatch(new RegExp(`\n${namespace.name} +3 +3 +0 +0\n`));
    expect(page).toMatch(/\nresources +[1-9][0-9]*, /);
    expect(await countersignMust(cluster, ["check"])).toContain("ok     the Service countersign answers\n");
  });

  test("it refuses while pods have sidecars and custom resources are there, says what would become of them, and removes nothing", async () => {
    const before = await ours(cluster);
    const { status, stdout, stderr } = await countersign(cluster, ["uninstall"]);
    expect({ status, stderr }).toEqual({
      status: 1,
      stderr: "countersign: nothing was removed; countersign uninstall --yes removes it nevertheless\n",
    });
    expect(stdout).toMatch(new RegExp(`^warning +3 pods of ${namespace.name} still have their sidecar`));
    expect(stdout).toContain(`kubectl label namespace ${namespace.name} countersign.dev/inject-`);
    expect(stdout).toContain(`1 custom resource will be deleted: Service ${namespace.name}/inventory`);
    const trial = await countersignMust(cluster, ["uninstall", "--dry-run"]);
    expect(trial).toContain("would be deleted MutatingAdmissionPolicy countersign-inject\n");
    expect(await ours(cluster)).toEqual(before);
  });

  test("with --yes it leaves nothing of ours, and says what stays", async () => {
    const output = await countersignMust(cluster, ["uninstall", "--yes"]);
    const volume = "note       the PersistentVolume countersign stays, with the certificate authority's keys";
    expect(output).toContain(volume);
    expect(output).toContain(`note       namespace ${namespace.name} keeps its label`);
    expect(await ours(cluster)).toEqual(["persistentvolumes /countersign"]);
  });

  test("the applications' pods run on with their sidecars", async () => {
    expect(await sidecars()).toBe(3);
    expect(await order()).toBe("201");
  });

  test("and plain after a restart", async () => {
    await restart();
    await cluster.waitFor("the last pod with a sidecar to go", async () => ((await sidecars()) === 0 ? true : undefined));
    expect(await order()).toBe("201");
  });

  test("when it is run again, there is nothing to do", async () => {
    const { status, stdout } = await countersign(cluster, ["uninstall"]);
    expect(status).toBe(1);
    expect(stdout).toMatch(/^warning {4}the label countersign\.dev\/inject at .* will mean nothing/);
    expect(await countersignMust(cluster, ["uninstall", "--yes"])).toContain(
      "done       there is nothing of Countersign in this cluster\n",
    );
  });

  test("a volume of the mesh that is gone is not taken for a free one", async () => {
    const { status, stdout } = await countersign(cluster, ["install", ...image]);
    expect(status).toBe(1);
    expect(stdout).toContain("FAILED the PersistentVolume countersign is an earlier installation's, and still claimed by it");
  });

  test("the mesh comes back, and takes the namespace in again", async () => {
    await provideVolume(cluster);
    await countersignMust(cluster, ["install", ...image]);
    await restart();
    await cluster.waitFor("three pods with their sidecars", async () => ((await sidecars()) === 3 ? true : undefined));
    expect(await order()).toBe("201");
  });

  test("definitions and resources are kept, and labels taken off, where that is said", async () => {
    await makeResource();
    const output = await countersignMust(cluster, ["uninstall", "--yes", "--keep-crds", "--remove-labels"]);
    expect(output).toContain(`unlabelled Namespace ${namespace.name}\n`);
    expect(await cluster.kubectl(["--namespace", namespace.name, "get", "cssvc", "-o", "name"])).toBe(
      "service.countersign.dev/inventory\n",
    );
    const label = await cluster.kubectl(["get", "namespace", namespace.name, "-o", "jsonpath={.metadata.labels}"]);
    expect(label).not.toContain("countersign");
    await countersignMust(cluster, ["uninstall", "--yes"]);
    await cluster.kubectl(["delete", "persistentvolume", "countersign"]);
    expect(await ours(cluster)).toEqual([]);
  });
});
