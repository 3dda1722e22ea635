/** AdminService: for whoever may open the admin socket. */
import type { AdminServiceServer, ConnectedSidecar, DeleteResourceRequest } from "../../common/gen/mesh/v1/admin.ts";
import { defaultNamespace, describeResource, isKind, kinds } from "../../common/resources/resource.ts";
import { identityOfWorkload } from "../../common/resources/service-names.ts";
import type { Clock } from "../../common/runtime/clock.ts";
import { createJoinToken, defaultTokenSeconds, maxTokenSeconds } from "../attestation/join-token.ts";
import { resourceKey } from "../resources/mesh-state.ts";
import type { MeshState } from "../resources/mesh-state.ts";
import type { MeshView } from "../resources/mesh-view.ts";
import { RequestError } from "../server/request-error.ts";
import { unary } from "../server/unary.ts";
import type { CallReport } from "../server/unary.ts";
import type { Store } from "../store/store.ts";
import { apply } from "./apply.ts";
import { danglingReferences } from "./references.ts";

export function createAdminService(options: {
  readonly store: Store;
  readonly view: MeshView;
  readonly clock: Pick<Clock, "now">;
  readonly connected: () => readonly ConnectedSidecar[];
  readonly report: CallReport;
}): AdminServiceServer {
  const { store, view, clock, connected, report } = options;
  return {
    apply: unary("Apply", report, (request) => apply(request, store, view, report.logger)),

    getResources: unary("GetResources", report, async ({ kind, namespace, name }) => {
      if (kind !== "") checkKind(kind);
      const resources = [...view.current().resources.values()].map(({ resource }) => resource);
      const wanted = resources.filter(
        (resource) =>
          (kind === "" || resource.kind === kind) &&
          (namespace === "" || resource.metadata.namespace === namespace) &&
          (name === "" || resource.metadata.name === name),
      );
      return { resources: wanted.map((resource) => JSON.stringify(resource)) };
    }),

    deleteResource: unary("DeleteResource", report, async (request) => {
      const key = deletableKey(request, view.current());
      const revision = await store.delete(key);
      await view.atLeast(revision);
      report.logger.info({ key, revision }, "resource deleted");
      return {};
    }),

    createJoinToken: unary("CreateJoinToken", report, async ({ namespace, workload: name, ttlSeconds }) => {
      const state = view.current();
      if (ttlSeconds > maxTokenSeconds) {
        throw new RequestError("invalid-argument", "bad-lifetime", `a join token lives at most ${maxTokenSeconds} seconds`);
      }
      const reference = { namespace: namespace === "" ? defaultNamespace : namespace, name };
      const workload = state.workloads.get(`${reference.namespace}/${name}`);
      if (workload === undefined) throw notFound(`Workload ${reference.namespace}/${name}`);
      const lifetime = ttlSeconds === 0 ? defaultTokenSeconds : ttlSeconds;
      const { token, expiresAtSeconds } = await createJoinToken(store, clock.now(), reference, lifetime);
      const spiffeId = identityOfWorkload(workload, state.trustDomain);
      report.logger.info({ spiffeId, expiresAtSeconds }, "join token minted");
      return { token, spiffeId, expiresAtSeconds };
    }),

    getStatus: unary("GetStatus", report, async () => {
      const { trustDomain, revision } = view.current();
      return { trustDomain, revision, sidecars: [...connected()] };
    }),
  };
}

function notFound(what: string): RequestError {
  return new RequestError("not-found", "not-found", `there is no ${what}`);
}

function checkKind(kind: string) {
  if (isKind(kind)) return kind;
  throw new RequestError("invalid-argument", "unknown-kind", `a kind is one of ${kinds.join(", ")}`);
}

/** The key of a resource that nothing else needs. */
function deletableKey({ kind, namespace: givenNamespace, name }: DeleteResourceRequest, state: MeshState): string {
  const namespace = givenNamespace === "" ? defaultNamespace : givenNamespace;
  const key = resourceKey(checkKind(kind), namespace, name);
  const stored = state.resources.get(key);
  if (stored === undefined) throw notFound(`${kind} ${namespace}/${name}`);
  if (stored.resource.kind === "Mesh") throw new RequestError("failed-precondition", "in-use", "the Mesh cannot be deleted");
  const others = [...state.resources.values()].map(({ resource }) => resource).filter((resource) => resource !== stored.resource);
  const broken = danglingReferences(others, (other) => other !== key && state.resources.has(other)).filter(
    ({ reference }) => reference.required && resourceKey(reference.kind, reference.namespace, reference.name) === key,
  );
  if (broken.length === 0) return key;
  const users = [...new Set(broken.map(({ from }) => describeResource(from)))].join(", ");
  throw new RequestError("failed-precondition", "in-use", `${describeResource(stored.resource)} is used by ${users}`);
}
