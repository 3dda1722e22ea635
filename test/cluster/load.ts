/** Calls that go on while a cluster is disturbed, from a meshed pod, and what became of them. */
import { chmod, mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Namespace, OwnCluster } from "./harness.ts";
import { deployment } from "./manifests.ts";
import type { LoadReport } from "./workloads/load.ts";

/** Of all client pods that there have been. */
export interface LoadTotal {
  readonly sent: number;
  readonly answered: number;
  readonly failed: number;
  readonly failures: readonly string[];
  readonly slowestMs: number;
}

export interface Load {
  total(): Promise<LoadTotal>;
  /** Resolves when that many more calls have been answered. */
  answers(more: number): Promise<void>;
  /** Ends the calls in good order, and resolves to the total when the last pod has reported its end. */
  stop(): Promise<LoadTotal>;
}

export const webImage = "countersign-web:dev";
const workloads = join(import.meta.dirname, "workloads");

export async function buildWebImage(cluster: OwnCluster): Promise<void> {
  await cluster.buildImage({ name: webImage, context: workloads, target: "web" });
}

/** A Deployment `name` of load.ts; resolves when calls are answered. */
export async function startLoad(
  cluster: OwnCluster,
  namespace: Namespace,
  { name, targets, perSecond }: { readonly name: string; readonly targets: readonly string[]; readonly perSecond: number },
): Promise<Load> {
  const folder = join(cluster.folder, "reports", namespace.name, name);
  await mkdir(folder, { recursive: true });
  await chmod(folder, 0o777);
  const manifest = deployment({
    name,
    image: webImage,
    command: ["node", "/programs/load.ts"],
    env: { TARGETS: targets.join(" "), PER_SECOND: String(perSecond) },
    container: { volumeMounts: [{ name: "reports", mountPath: "/reports" }] },
    pod: { volumes: [{ name: "reports", hostPath: { path: folder } }] },
  });
  await cluster.apply(manifest, ["--namespace", namespace.name]);
  await cluster.rollout(namespace.name, `deployment/${name}`);

  async function reports(): Promise<readonly LoadReport[]> {
    const files = (await readdir(folder)).filter((file) => file.endsWith(".json"));
    return await Promise.all(files.map(async (file) => JSON.parse(await readFile(join(folder, file), "utf8")) as LoadReport));
  }

  async function total(): Promise<LoadTotal> {
    const all = await reports();
    const sum = (of: (report: LoadReport) => number): number => all.reduce((before, report) => before + of(report), 0);
    return {
      sent: sum((report) => report.sent),
      answered: sum((report) => report.answered),
      failed: sum((report) => report.failed),
      failures: all.flatMap(({ failures }) => failures),
      slowestMs: Math.max(0, ...all.map(({ slowestMs }) => slowestMs)),
    };
  }

  async function answers(more: number): Promise<void> {
    const { answered: before } = await total();
    await cluster.waitFor(`${more} answers`, async () => ((await total()).answered >= before + more ? true : undefined), {
      namespace: namespace.name,
    });
  }

  await answers(perSecond);
  return {
    total,
    answers,
    async stop() {
      await cluster.kubectl(["--namespace", namespace.name, "scale", `deployment/${name}`, "--replicas=0"]);
      await cluster.waitFor("the end of the calls", async () => ((await reports()).every(({ ended }) => ended) ? true : undefined), {
        namespace: namespace.name,
      });
      return await total();
    },
  };
}
