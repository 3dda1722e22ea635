/**
 * Removal in an order in which nothing is stuck half-way: the guard before the injection, so that pods can be made at any moment; the
 * control plane before what it would write again; definitions with their resources, which have no finalizers; the namespace last.
 */
import { setTimeout as delay } from "node:timers/promises";
import { z } from "zod";
import { systemNamespace } from "../../../common/injection/names.ts";
import { KubernetesError } from "../../../control-plane/kubernetes/error.ts";
import type { ClusterConnection } from "../connect.ts";
import { InstallError } from "../install/error.ts";
import type { Present } from "./find.ts";

const order = [
  "ValidatingAdmissionPolicyBinding",
  "ValidatingWebhookConfiguration",
  "ValidatingAdmissionPolicy",
  "MutatingAdmissionPolicyBinding",
  "MutatingWebhookConfiguration",
  "MutatingAdmissionPolicy",
];
const last = ["CustomResourceDefinition", "ClusterRoleBinding", "ClusterRole", "Namespace"];

/** As they are to be removed. */
export function inRemovalOrder(objects: readonly Present[]): readonly Present[] {
  const rank = ({ kind }: Present) => (order.includes(kind) ? order.indexOf(kind) - order.length : last.indexOf(kind) + 1);
  return [...objects].sort((a, b) => rank(a) - rank(b));
}

export interface RemoveOptions {
  readonly timeoutMilliseconds: number;
  readonly signal: AbortSignal;
  readonly say: (state: "deleted" | "waiting", what: string) => void;
}

const namespaceStatus = z.object({
  status: z
    .object({ conditions: z.array(z.object({ type: z.string(), status: z.string(), message: z.string().default("") })).default([]) })
    .prefault({}),
});
const podNames = z.object({ items: z.array(z.object({ metadata: z.object({ name: z.string() }) })) });
const deployments = `/apis/apps/v1/namespaces/${systemNamespace}/deployments`;
const pods = `/api/v1/namespaces/${systemNamespace}/pods`;

/** `objects` in their order. Returns when all of them are gone. Throws KubernetesError, and InstallError `not-ready` and `interrupted`. */
export async function remove(cluster: ClusterConnection, objects: readonly Present[], options: RemoveOptions): Promise<void> {
  const { say } = options;
  const end = performance.now() + options.timeoutMilliseconds;
  const isFirst = ({ kind }: Present) => order.includes(kind);
  for (const present of objects.filter(isFirst)) await removeOne(cluster, present, say);
  await stopControlPlane(cluster, options, end);
  for (const present of objects.filter((each) => !isFirst(each))) await removeOne(cluster, present, say);
  for (const { kind, name, path } of objects) {
    await waitUntil(`${kind} ${name} is gone`, async () => await stillThere(cluster, kind, path), options, end);
  }
}

async function removeOne({ send }: ClusterConnection, present: Present, say: RemoveOptions["say"]): Promise<void> {
  try {
    await send({ method: "DELETE", path: present.path, body: { propagationPolicy: "Background" } });
  } catch (error) {
    if (!(error instanceof KubernetesError) || error.code !== "not-found") throw error;
  }
  say("deleted", `${present.kind} ${present.namespace === "" ? "" : `${present.namespace}/`}${present.name}`);
}

/** A control plane that still runs would write its ConfigMaps again. */
async function stopControlPlane(cluster: ClusterConnection, options: RemoveOptions, end: number): Promise<void> {
  const name = "countersign";
  if ((await cluster.ask(`${deployments}/${name}`)) === undefined) return;
  const present = { kind: "Deployment", namespace: systemNamespace, name, path: `${deployments}/${name}` };
  await removeOne(cluster, present, options.say);
  const selector = encodeURIComponent("app.kubernetes.io/component=control-plane");
  await waitUntil(
    "the control plane has ended",
    async () => {
      const { items } = podNames.parse(await cluster.ask(`${pods}?labelSelector=${selector}`));
      return items.length === 0 ? undefined : `${items.map(({ metadata }) => metadata.name).join(", ")} still runs`;
    },
    options,
    end,
  );
}

/** Why it is there; undefined where it is not. */
async function stillThere({ ask }: ClusterConnection, kind: string, path: string): Promise<string | undefined> {
  const found = await ask(path);
  if (found === undefined) return undefined;
  const { conditions } = namespaceStatus.parse(kind === "Namespace" ? found : {}).status;
  const stuck = conditions.filter(({ status }) => status === "True").map(({ message }) => message);
  return stuck.length === 0 ? "it is still there" : stuck.join("; ");
}

async function waitUntil(what: string, probe: () => Promise<string | undefined>, options: RemoveOptions, end: number): Promise<void> {
  let said: string | undefined;
  for (;;) {
    const missing = await probe();
    if (missing === undefined) return;
    if (said !== undefined && missing !== said) options.say("waiting", `until ${what}: ${missing}`);
    said = missing;
    if (performance.now() >= end) {
      const seconds = Math.round(options.timeoutMilliseconds / 1000);
      throw new InstallError("not-ready", `after ${seconds} s not yet so that ${what}: ${missing}; run it again`);
    }
    await delay(300, undefined, { signal: options.signal }).catch((error: unknown) => {
      throw new InstallError("interrupted", "interrupted", { cause: error });
    });
  }
}
