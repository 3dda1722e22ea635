/**
 * Keeps the mesh in step with the cluster: Services, EndpointSlices and Pods become service records in the store, custom resources
 * become resources, and every namespace that takes part has the ConfigMap with the trust bundle. Every process keeps copies of the cluster's objects; only the
 * one that leads writes, under its lease.
 *
 * All are level-triggered: what should be is made from everything that is known, held against what is, and only the difference
 * written. Nothing is written before all of the cluster has been read once, and nothing when it cannot be reached: what was known
 * stays.
 */
import { wait } from "../../common/runtime/clock.ts";
import type { Clock } from "../../common/runtime/clock.ts";
import type { Logger } from "../../common/runtime/logger.ts";
import { runTasks } from "../../common/runtime/tasks.ts";
import type { Metrics } from "../metrics.ts";
import type { MeshView } from "../resources/mesh-view.ts";
import { MAX_OPERATIONS } from "../store/store.ts";
import type { Lease, Operation, Store } from "../store/store.ts";
import { bundleMapName, planBundleMaps } from "./bundle-maps.ts";
import type { BundleMapAction } from "./bundle-maps.ts";
import type { KubernetesClient } from "./client.ts";
import { deriveServices } from "./derive-services.ts";
import { KubernetesError } from "./error.ts";
import { whileLeading } from "./leadership.ts";
import { createListWatch, defaultTimes } from "./list-watch.ts";
import type { ListWatch, ListWatchTimes } from "./list-watch.ts";
import { createResourceController } from "./resource-controller.ts";
import type { Holders } from "./resource-status.ts";
import { configMapFromApi, endpointSliceFromApi, namespaceFromApi, podFromApi, serviceFromApi } from "./objects.ts";
import { serviceRecordPrefix, serviceRecordToBytes } from "./service-record.ts";

const leaseName = "kubernetes-controllers";
/** Changes that come close together are written together: a rollout is many. */
const coalesceMilliseconds = 50;
const resyncMilliseconds = 60_000;
const retryMilliseconds = 2000;
/** How soon sidecars are looked at again that were just sent something new. */
const holdersMilliseconds = 100;
const defaultNamespace = "countersign-system";

export interface Controllers {
  /** Runs until the signal aborts. */
  readonly run: (signal: AbortSignal) => Promise<void>;
}

export function createControllers(options: {
  readonly client: KubernetesClient;
  readonly store: Store;
  readonly view: MeshView;
  /** How far the connected sidecars are. */
  readonly holders: () => Holders;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Pick<Metrics, "kubernetesErrors" | "kubernetesSynced">;
  readonly times?: ListWatchTimes;
}): Controllers {
  const { client, store, view, holders, clock, logger, metrics, times = defaultTimes } = options;
  const ownNamespace = client.namespace ?? defaultNamespace;
  const changes = createSignal();

  function watchOf<T>(name: string, path: string, parse: (value: unknown) => T): ListWatch<T> {
    metrics.kubernetesSynced.set({ resource: name }, 0);
    return createListWatch({
      name,
      path,
      client,
      parse,
      clock,
      logger,
      times,
      random: Math.random,
      onChange() {
        metrics.kubernetesSynced.set({ resource: name }, 1);
        changes.raise();
      },
      onError: (reason) => metrics.kubernetesErrors.inc({ resource: name, reason }),
    });
  }

  const namespaces = watchOf("namespaces", "/api/v1/namespaces", namespaceFromApi);
  const services = watchOf("services", "/api/v1/services", serviceFromApi);
  const slices = watchOf("endpointslices", "/apis/discovery.k8s.io/v1/endpointslices", endpointSliceFromApi);
  const pods = watchOf("pods", "/api/v1/pods", podFromApi);
  const ownMaps = new URLSearchParams({ fieldSelector: `metadata.name=${bundleMapName}` }).toString();
  const configMaps = watchOf("configmaps", `/api/v1/configmaps?${ownMaps}`, configMapFromApi);
  const resources = createResourceController({ client, store, view, holders, clock, logger, watchOf });
  const watches = [namespaces, services, slices, pods, configMaps, ...resources.watches];
  let said = "";

  async function writeServices(lease: Lease): Promise<void> {
    const cluster = { namespaces: namespaces.objects(), services: services.objects(), slices: slices.objects(), pods: pods.objects() };
    if (!isComplete(cluster)) return;
    const { records, problems } = deriveServices(cluster);
    sayOnce(problems);
    const wanted = new Map([...records].map(([key, record]) => [key, serviceRecordToBytes(record)]));
    const { entries } = await store.list(serviceRecordPrefix);
    const present = new Map(entries.map((entry) => [entry.key, entry]));
    const operations: Operation[] = [];
    for (const [key, value] of wanted) {
      const entry = present.get(key);
      if (entry === undefined || !Buffer.from(value).equals(entry.value)) operations.push({ kind: "put", key, value });
    }
    for (const key of present.keys()) if (!wanted.has(key)) operations.push({ kind: "delete", key });
    for (let from = 0; from < operations.length; from += MAX_OPERATIONS) {
      await store.commit(operations.slice(from, from + MAX_OPERATIONS), { lease });
    }
    if (operations.length > 0) logger.info({ records: wanted.size, written: operations.length }, "services of the cluster");
  }

  function sayOnce(problems: readonly string[]): void {
    const text = problems.join("\n");
    if (text !== said) for (const problem of problems) logger.warn({ reason: "service-left-out" }, problem);
    said = text;
  }

  async function writeBundleMaps(lease: Lease, signal: AbortSignal): Promise<void> {
    const known = { namespaces: namespaces.objects(), configMaps: configMaps.objects() };
    if (!isComplete(known)) return;
    const actions = planBundleMaps({ ...known, ownNamespace, bundle: view.current().bundle });
    let failure: unknown;
    for (const action of actions) {
      // The API server knows nothing of our lease; whoever has lost it finds out here, or by the versions it goes by.
      await lease.renew();
      try {
        await carryOut(action, signal);
        logger.info({ namespace: action.namespace, action: action.kind }, "trust bundle of a namespace");
      } catch (error) {
        // The next change of the copy tells; a namespace that is going refuses what is new.
        if (error instanceof KubernetesError && ["conflict", "not-found"].includes(error.code)) continue;
        failure ??= error;
      }
    }
    if (failure !== undefined) throw failure;
  }

  async function carryOut({ kind, namespace, body }: BundleMapAction, signal: AbortSignal): Promise<void> {
    const path = `/api/v1/namespaces/${namespace}/configmaps`;
    if (kind === "create") await client.request({ method: "POST", path, body, signal });
    else if (kind === "delete") await client.request({ method: "DELETE", path: `${path}/${bundleMapName}`, body, signal });
    else {
      const contentType = "application/merge-patch+json";
      await client.request({ method: "PATCH", path: `${path}/${bundleMapName}`, body, contentType, signal });
    }
  }

  /** Each by itself: a namespace that takes no ConfigMap must not keep services from being known. */
  async function writeAll(lease: Lease, signal: AbortSignal): Promise<{ readonly again: boolean; readonly failures: readonly unknown[] }> {
    let again = false;
    const failures: unknown[] = [];
    const parts = [
      () => writeServices(lease),
      () => writeBundleMaps(lease, signal),
      async () => {
        again = await resources.write(lease, signal);
      },
    ];
    for (const part of parts) {
      try {
        await part();
      } catch (error) {
        signal.throwIfAborted();
        failures.push(error);
      }
    }
    return { again, failures };
  }

  async function lead(lease: Lease, signal: AbortSignal): Promise<void> {
    let known = new Set<string>();
    for (;;) {
      const { again, failures } = await writeAll(lease, signal);
      for (const error of failures) {
        metrics.kubernetesErrors.inc({ resource: "controllers", reason: error instanceof KubernetesError ? error.code : "internal" });
        // What goes on failing is said once; the metric counts.
        if (!known.has(String(error))) logger.error({ err: error }, "the cluster could not be followed; trying again");
      }
      known = new Set(failures.map(String));
      // Throws where the lease is lost, and with that ends.
      if (failures.length > 0) await lease.renew();
      await changes.wait(clock, failures.length > 0 ? retryMilliseconds : again ? holdersMilliseconds : resyncMilliseconds, signal);
      await wait(clock, coalesceMilliseconds, signal);
    }
  }

  return {
    async run(signal) {
      const stop = view.subscribe(
        bundleWatcher(view, () => {
          changes.raise();
        }),
      );
      try {
        await runTasks(
          [
            ...watches.map(({ name, run }) => ({ name: `watch of ${name}`, run })),
            { name: "controllers", run: (ending) => whileLeading({ store, name: leaseName, lead, clock, logger, signal: ending }) },
          ],
          signal,
        );
      } finally {
        stop();
      }
    },
  };
}

function bundleWatcher(view: MeshView, raise: () => void): () => void {
  let { bundle } = view.current();
  return () => {
    const next = view.current().bundle;
    if (next !== bundle) raise();
    bundle = next;
  };
}

type Complete<T> = { readonly [Name in keyof T]: Exclude<T[Name], undefined> };

function isComplete<T extends object>(parts: T): parts is T & Complete<T> {
  return Object.values(parts).every((part) => part !== undefined);
}

/** That something changed since it was last waited for. */
function createSignal() {
  let raised = false;
  let wake: (() => void) | undefined;
  return {
    raise() {
      raised = true;
      wake?.();
    },
    /** Resolves when it is raised, or after that long; rejects with the signal's reason. */
    async wait(clock: Clock, milliseconds: number, signal: AbortSignal): Promise<void> {
      if (!raised) {
        const waking = new AbortController();
        wake = () => {
          waking.abort();
        };
        try {
          await wait(clock, milliseconds, AbortSignal.any([signal, waking.signal]));
        } catch {
          signal.throwIfAborted();
        } finally {
          wake = undefined;
        }
      }
      raised = false;
    },
  };
}
