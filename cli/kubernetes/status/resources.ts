/** Custom resources, and those that are not in force. */
import { z } from "zod";
import type { Ask } from "../connect.ts";
import { pluralsInCluster } from "../custom-resources.ts";
import { listAll } from "../lists.ts";

export interface ResourceStatus {
  readonly total: number;
  /** Kinds that the API server does not know. */
  readonly undefinedKinds: readonly string[];
  readonly notInForce: readonly {
    readonly plural: string;
    readonly namespace: string;
    readonly name: string;
    readonly condition: "Accepted" | "Enforced";
    readonly reason: string;
    readonly message: string;
  }[];
}

const resourceList = z.object({ resources: z.array(z.object({ name: z.string() })) });
const resource = z.object({
  metadata: z.object({
    name: z.string(),
    namespace: z.string().default(""),
    generation: z.int().default(0),
    deletionTimestamp: z.string().optional(),
  }),
  status: z
    .object({
      conditions: z
        .array(
          z.object({
            type: z.string(),
            status: z.string(),
            reason: z.string().default(""),
            message: z.string().default(""),
            observedGeneration: z.int().default(0),
          }),
        )
        .default([]),
    })
    .prefault({}),
});
type Resource = z.infer<typeof resource>;
const version = "/apis/countersign.dev/v1";

/** Throws KubernetesError. */
export async function resourceStatus(ask: Ask): Promise<ResourceStatus> {
  const served = resourceList.safeParse(await ask(version)).data?.resources.map(({ name }) => name) ?? [];
  const notInForce: ResourceStatus["notInForce"][number][] = [];
  let total = 0;
  for (const plural of pluralsInCluster) {
    if (!served.includes(plural)) continue;
    const found = await listAll(ask, `${version}/${plural}`, (item) => resource.parse(item));
    total += found.length;
    for (const each of found) {
      const missing = each.metadata.deletionTimestamp === undefined ? missingOf(each) : undefined;
      if (missing !== undefined) notInForce.push({ plural, namespace: each.metadata.namespace, name: each.metadata.name, ...missing });
    }
  }
  return { total, undefinedKinds: pluralsInCluster.filter((plural) => !served.includes(plural)), notInForce };
}

/** What of an older generation was said does not count. */
function missingOf({ metadata, status }: Resource): { condition: "Accepted" | "Enforced"; reason: string; message: string } | undefined {
  for (const condition of ["Accepted", "Enforced"] as const) {
    const found = status.conditions.find(({ type, observedGeneration }) => type === condition && observedGeneration >= metadata.generation);
    if (found === undefined) return { condition, reason: "Unknown", message: "the control plane has not looked at this version yet" };
    if (found.status !== "True") return { condition, reason: found.reason, message: found.message };
  }
  return undefined;
}
