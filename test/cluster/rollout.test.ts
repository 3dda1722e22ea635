/** Rollouts under load: nobody is asked again, and nothing is lost. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { because, missingOwnCluster, ownCluster, type Namespace, type OwnCluster } from "./harness.ts";
import { installMesh, meshed } from "./installed.ts";
import { buildWebImage, startLoad, webImage, type Load, type LoadTotal } from "./load.ts";
import { deployment } from "./manifests.ts";

const perSecond = 120;

describe.skipIf(missingOwnCluster !== undefined)(`rollouts under load${because(missingOwnCluster)}`, () => {
  let cluster: OwnCluster;
  let namespace: Namespace;
  let load: Load;
  let inNamespace: readonly string[];

  beforeAll(async () => {
    cluster = ownCluster();
    await buildWebImage(cluster);
    await installMesh(cluster);
    namespace = await cluster.namespace("rollout", meshed);
    inNamespace = ["--namespace", namespace.name];
    const server = { image: webImage, command: ["node", "/programs/web-server.ts"], port: 8080 };
    // One alone has nobody to take over its calls; one that is rude ends with whatever it has.
    await cluster.apply(deployment({ ...server, name: "alone", env: { MANNERS: "polite" } }), inNamespace);
    await cluster.apply(deployment({ ...server, name: "rude", replicas: 2, env: { MANNERS: "rude" } }), inNamespace);
    for (const name of ["alone", "rude"]) await cluster.rollout(namespace.name, `deployment/${name}`);
    const targets = ["http://alone/", "http://alone/slow", "http://rude/", "http://rude/slow"];
    load = await startLoad(cluster, namespace, { name: "client", targets, perSecond });
  }, 600_000);
  afterAll(async () => {
    await namespace[Symbol.asyncDispose]();
  });

  const restart = async (where: string, ...names: readonly string[]): Promise<void> => {
    await cluster.kubectl(["--namespace", where, "rollout", "restart", ...names.map((name) => `deployment/${name}`)]);
    for (const name of names) await cluster.rollout(where, `deployment/${name}`);
  };
  /** Waits until calls were answered after the last of it, and for the pods that it ended. */
  const settled = async (): Promise<void> => {
    await cluster.waitFor("the old pods' end", async () => {
      const pods = await cluster.kubectl([...inNamespace, "get", "pods", "-o", "jsonpath={.items[*].metadata.deletionTimestamp}"]);
      return pods === "" ? true : undefined;
    });
    await load.answers(perSecond);
  };
  const during = async (what: string, disturb: () => Promise<void>): Promise<LoadTotal> => {
    const before = await load.total();
    await disturb();
    await settled();
    const after = await load.total();
    const [answered, failed] = [after.answered - before.answered, after.failed - before.failed];
    process.stderr.write(`${what}: ${answered} calls answered, ${failed} failed; the slowest so far took ${after.slowestMs} ms\n`);
    return { ...after, answered, failed, failures: after.failures.slice(before.failures.length) };
  };
  const nothingLost = { failed: 0, failures: [] };

  test("of a server that is alone", async () => {
    expect(await during("rollout of a server alone", () => restart(namespace.name, "alone"))).toMatchObject(nothingLost);
  });

  test("of servers that end at once", async () => {
    expect(await during("rollout of two rude servers", () => restart(namespace.name, "rude"))).toMatchObject(nothingLost);
  });

  test("of the client", async () => {
    expect(await during("rollout of the client", () => restart(namespace.name, "client"))).toMatchObject(nothingLost);
  });

  test("of the control plane", async () => {
    expect(await during("rollout of the control plane", () => restart("countersign-system", "countersign"))).toMatchObject(nothingLost);
  });

  test("of servers, client and control plane at once", async () => {
    const all = async (): Promise<void> => {
      await Promise.all([restart(namespace.name, "alone", "rude", "client"), restart("countersign-system", "countersign")]);
    };
    expect(await during("rollout of all at once", all)).toMatchObject(nothingLost);
  });

  test("scaled up and down, and a pod deleted", async () => {
    const scale = async (replicas: number): Promise<void> => {
      await cluster.kubectl([...inNamespace, "scale", "deployment/alone", "deployment/rude", `--replicas=${replicas}`]);
      for (const name of ["alone", "rude"]) await cluster.rollout(namespace.name, `deployment/${name}`);
    };
    const disturb = async (): Promise<void> => {
      await scale(3);
      const pods = await cluster.kubectl([...inNamespace, "get", "pods", "-l", "app=rude", "-o", "name"]);
      await cluster.kubectl([...inNamespace, "delete", pods.split("\n")[0] ?? ""]);
      await scale(1);
    };
    expect(await during("scaling to 3 and to 1, and deleting a pod", disturb)).toMatchObject(nothingLost);
  });

  test("and in all not one call failed", async () => {
    const { sent, answered, failed, slowestMs } = await load.stop();
    process.stderr.write(`in all: ${sent} calls, ${failed} failed; the slowest took ${slowestMs} ms\n`);
    expect({ answered, failed }).toEqual({ answered: sent, failed: 0 });
  });
});
