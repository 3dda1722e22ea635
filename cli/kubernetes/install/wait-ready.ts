/** Waits until what was applied is there: definitions established, policies checked, workloads rolled out, the control plane answering. */
import { setTimeout as delay } from "node:timers/promises";
import { z } from "zod";
import type { JsonObject } from "../../../common/injection/json.ts";
import { meshConfigMap, systemNamespace } from "../../../common/injection/names.ts";
import { KubernetesError } from "../../../control-plane/kubernetes/error.ts";
import type { Ask } from "../connect.ts";
import { identityOf, textOf } from "../kustomize/resource.ts";
import { listAll } from "../lists.ts";
import { eventFromApi, podFromApi, textOfTrouble, troubleOf } from "../pods.ts";
import { controlPlaneSelector } from "../status/control-plane.ts";
import { InstallError } from "./error.ts";
import { pathOfManifest, typeOf, type ResourceType } from "./resource-types.ts";

const condition = z.object({ type: z.string(), status: z.string(), message: z.string().default("") });
const definition = z.object({ status: z.object({ conditions: z.array(condition).default([]) }).prefault({}) });
const policy = z.object({
  metadata: z.object({ generation: z.int().default(0) }),
  status: z
    .object({
      observedGeneration: z.int().default(0),
      typeChecking: z
        .object({ expressionWarnings: z.array(z.object({ fieldRef: z.string(), warning: z.string() })).default([]) })
        .optional(),
    })
    .prefault({}),
});
const workload = z.object({
  metadata: z.object({ generation: z.int().default(0) }),
  spec: z.object({ replicas: z.int().default(1) }).prefault({}),
  status: z
    .object({
      observedGeneration: z.int().default(0),
      replicas: z.int().default(0),
      updatedReplicas: z.int().default(0),
      availableReplicas: z.int().default(0),
    })
    .prefault({}),
});
const endpointSlices = z.object({
  items: z.array(
    z.object({ endpoints: z.array(z.object({ conditions: z.object({ ready: z.boolean().nullish() }).prefault({}) })).nullish() }),
  ),
});

export interface WaitOptions {
  readonly ask: Ask;
  readonly manifests: readonly JsonObject[];
  readonly types: readonly ResourceType[];
  readonly timeoutMilliseconds: number;
  readonly signal: AbortSignal;
  /** Hears of what came up, and of what keeps something from coming up, each once. */
  readonly say: (state: "ready" | "waiting", what: string) => void;
}

const pause = 500;

/** What is not so yet, in words; undefined where all is as it should be. */
type Probe = () => Promise<string | undefined>;

/** Throws InstallError: `not-ready` with what was the matter last, `interrupted`. */
export async function waitUntilReady(options: WaitOptions): Promise<void> {
  const { manifests, types, ask } = options;
  const end = performance.now() + options.timeoutMilliseconds;
  const ofKind = (kind: string) => manifests.filter((manifest) => manifest["kind"] === kind);
  const get = async (manifest: JsonObject): Promise<unknown> => {
    const type = typeOf(manifest, types);
    return type === undefined ? undefined : await ask(pathOfManifest(manifest, type));
  };
  const definitions = ofKind("CustomResourceDefinition");
  await waitFor(`${definitions.length} custom resource definitions established`, () => established(definitions, get), options, end);
  for (const guard of ofKind("ValidatingAdmissionPolicy")) {
    await waitFor(`${textOf(identityOf(guard))} checked`, () => checked(guard, get), options, end);
  }
  for (const kind of ["Deployment", "StatefulSet"]) {
    for (const manifest of ofKind(kind)) {
      await waitFor(`${textOf(identityOf(manifest))} rolled out`, () => rolledOut(manifest, get, ask), options, end);
    }
  }
  await waitFor("the control plane answers, and its trust bundle is there", () => answering(ask), options, end);
}

/** Definitions alone, for what is applied after them. The same errors. */
export async function waitUntilEstablished(options: WaitOptions): Promise<void> {
  const definitions = options.manifests.filter((manifest) => manifest["kind"] === "CustomResourceDefinition");
  const get = async (manifest: JsonObject): Promise<unknown> => {
    const type = typeOf(manifest, options.types);
    return type === undefined ? undefined : await options.ask(pathOfManifest(manifest, type));
  };
  const end = performance.now() + options.timeoutMilliseconds;
  await waitFor("custom resource definitions established", () => established(definitions, get), { ...options, say: () => {} }, end);
}

async function waitFor(what: string, probe: Probe, { signal, say, timeoutMilliseconds }: WaitOptions, end: number): Promise<void> {
  let said: string | undefined;
  for (;;) {
    let missing: string | undefined;
    try {
      missing = await probe();
    } catch (error) {
      if (signal.aborted) throw new InstallError("interrupted", "interrupted", { cause: error });
      if (!(error instanceof KubernetesError)) throw error;
      missing = error.message;
    }
    if (missing === undefined) {
      say("ready", what);
      return;
    }
    if (missing !== said) say("waiting", missing);
    said = missing;
    if (performance.now() >= end) {
      const seconds = Math.round(timeoutMilliseconds / 1000);
      throw new InstallError("not-ready", `after ${seconds} s: ${missing}; countersign status says more`);
    }
    await delay(pause, undefined, { signal }).catch((error: unknown) => {
      throw new InstallError("interrupted", "interrupted", { cause: error });
    });
  }
}

async function established(
  definitions: readonly JsonObject[],
  get: (manifest: JsonObject) => Promise<unknown>,
): Promise<string | undefined> {
  for (const manifest of definitions) {
    const { conditions } = definition.parse((await get(manifest)) ?? {}).status;
    const refused = conditions.find(({ type, status }) => type === "NamesAccepted" && status === "False");
    const { name } = identityOf(manifest);
    if (refused !== undefined) return `CustomResourceDefinition ${name}: ${refused.message}`;
    if (!conditions.some(({ type, status }) => type === "Established" && status === "True"))
      return `CustomResourceDefinition ${name} is not established yet`;
  }
  return undefined;
}

async function checked(manifest: JsonObject, get: (manifest: JsonObject) => Promise<unknown>): Promise<string | undefined> {
  const { metadata, status } = policy.parse(await get(manifest));
  const what = textOf(identityOf(manifest));
  if (status.observedGeneration < metadata.generation || status.typeChecking === undefined) return `${what} is not checked yet`;
  const [warning] = status.typeChecking.expressionWarnings;
  return warning === undefined ? undefined : `${what}: ${warning.fieldRef}: ${warning.warning}`;
}

async function rolledOut(manifest: JsonObject, get: (manifest: JsonObject) => Promise<unknown>, ask: Ask): Promise<string | undefined> {
  const { metadata, spec, status } = workload.parse(await get(manifest));
  const { replicas } = spec;
  const isDone =
    status.observedGeneration >= metadata.generation &&
    status.updatedReplicas >= replicas &&
    status.availableReplicas >= replicas &&
    status.replicas <= status.updatedReplicas;
  if (isDone) return undefined;
  const what = textOf(identityOf(manifest));
  const known = status.observedGeneration >= metadata.generation ? status.availableReplicas : 0;
  return `${what}: ${known} of ${replicas} available${await whyNot(ask)}`;
}

/** The trouble of the control plane's pods. */
async function whyNot(ask: Ask): Promise<string> {
  const pods = await listAll(ask, `/api/v1/namespaces/${systemNamespace}/pods`, podFromApi, { labelSelector: controlPlaneSelector });
  const events = await listAll(ask, `/api/v1/namespaces/${systemNamespace}/events`, eventFromApi);
  const troubles = pods
    .filter(({ metadata }) => metadata.deletionTimestamp === undefined)
    .flatMap((pod) => {
      const trouble = troubleOf(pod, events);
      return trouble === undefined ? [] : [`${pod.metadata.name}: ${textOfTrouble(trouble)}`];
    });
  return troubles.length === 0 ? "" : `; ${troubles.join("; ")}`;
}

/** The Service has somebody behind it, and the controllers have written what pods need. */
async function answering(ask: Ask): Promise<string | undefined> {
  const selector = encodeURIComponent("kubernetes.io/service-name=countersign");
  const { items } = endpointSlices.parse(
    await ask(`/apis/discovery.k8s.io/v1/namespaces/${systemNamespace}/endpointslices?labelSelector=${selector}`),
  );
  const ready = items.flatMap(({ endpoints }) => endpoints ?? []).some(({ conditions }) => conditions.ready === true);
  if (!ready) return "the Service countersign has nobody ready behind it";
  const bundle = await ask(`/api/v1/namespaces/${systemNamespace}/configmaps/${meshConfigMap}`);
  return bundle === undefined ? `the control plane has not written the ConfigMap ${meshConfigMap} yet` : undefined;
}
