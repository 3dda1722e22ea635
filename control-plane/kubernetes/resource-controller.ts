/**
 * Makes custom resources part of the mesh, and says in their status what became of them. Writes under the leader's lease; `view`
 * and the sidecars counted are this process's own.
 */
import type { Kind } from "../../common/resources/resource.ts";
import type { Clock } from "../../common/runtime/clock.ts";
import type { Logger } from "../../common/runtime/logger.ts";
import { apiVersion } from "../../common/resources/resource.ts";
import type { MeshState } from "../resources/mesh-state.ts";
import type { MeshView } from "../resources/mesh-view.ts";
import { MAX_OPERATIONS } from "../store/store.ts";
import type { Lease, Operation, Store } from "../store/store.ts";
import type { KubernetesClient } from "./client.ts";
import { customResourceFromApi, pluralOfKind } from "./custom-resource.ts";
import type { CustomResource } from "./custom-resource.ts";
import { KubernetesError } from "./error.ts";
import type { ListWatch } from "./list-watch.ts";
import { planResources, resourceMarkPrefix } from "./plan-resources.ts";
import type { ResourcePlan, Verdict } from "./plan-resources.ts";
import { nextStatus } from "./resource-status.ts";
import type { Holders } from "./resource-status.ts";

const basePath = `/apis/${apiVersion}`;
const fieldManager = "countersign";

export interface ResourceController {
  readonly watches: readonly ListWatch<CustomResource>[];
  /** Brings store and statuses in step. Resolves to whether sidecars are still to take what they were sent. */
  readonly write: (lease: Lease, signal: AbortSignal) => Promise<boolean>;
}

export function createResourceController(options: {
  readonly client: Pick<KubernetesClient, "request">;
  readonly store: Store;
  readonly view: MeshView;
  readonly holders: () => Holders;
  readonly clock: Pick<Clock, "now">;
  readonly logger: Logger;
  readonly watchOf: <T>(name: string, path: string, parse: (value: unknown) => T) => ListWatch<T>;
}): ResourceController {
  const { client, store, view, holders, clock, logger, watchOf } = options;
  const watches = Object.entries(pluralOfKind).map(([kind, plural]) =>
    watchOf(`${plural}.countersign.dev`, `${basePath}/${plural}`, (value) => customResourceFromApi(kind as Kind, value)),
  );

  async function commit({ groups }: ResourcePlan, lease: Lease): Promise<MeshState> {
    let revision = 0;
    let operations: Operation[] = [];
    const flush = async () => {
      if (operations.length > 0) revision = await store.commit(operations, { lease });
      operations = [];
    };
    for (const group of groups) {
      if (operations.length + group.length > MAX_OPERATIONS) await flush();
      operations.push(...group);
    }
    await flush();
    if (groups.length > 0) logger.info({ revision, changed: groups.flat().map(({ key }) => key) }, "resources of the cluster");
    return await view.atLeast(revision);
  }

  async function writeStatus(object: CustomResource, status: object, signal: AbortSignal): Promise<void> {
    const { kind, namespace, name, uid } = object;
    const where = namespace === undefined ? "" : `namespaces/${namespace}/`;
    const path = `${basePath}/${where}${pluralOfKind[kind]}/${name}/status?fieldManager=${fieldManager}&force=true`;
    const body = { apiVersion, kind, metadata: { name, ...(namespace === undefined ? {} : { namespace }), uid }, status };
    try {
      // Server-side apply: conditions that are not ours stay.
      await client.request({ method: "PATCH", path, body, contentType: "application/apply-patch+yaml", signal });
    } catch (error) {
      // It has gone or been made anew, and its next version will come.
      if (!(error instanceof KubernetesError) || !["conflict", "not-found"].includes(error.code)) throw error;
    }
  }

  return {
    watches,
    async write(lease, signal) {
      const objects: CustomResource[] = [];
      for (const watch of watches) {
        const known = watch.objects();
        if (known === undefined) return false;
        objects.push(...known.values());
      }
      const { entries } = await store.list(resourceMarkPrefix);
      const marked = new Set(entries.map(({ key }) => `resources/${key.slice(resourceMarkPrefix.length)}`));
      const before = view.current();
      const plan = planResources({
        objects,
        stored: before.resources,
        marked,
        trustDomain: before.trustDomain,
        services: before.services.values(),
      });
      const state = await commit(plan, lease);
      const held = holders();
      for (const object of objects) {
        const verdict: Verdict = plan.verdicts.get(object.key) ?? { accepted: true };
        const revision = state.resources.get(object.key)?.entry.revision;
        const status = nextStatus({ object, verdict, revision, holders: held, now: clock.now() });
        if (status !== undefined) await writeStatus(object, status, signal);
      }
      return held.holding < held.connected;
    },
  };
}
