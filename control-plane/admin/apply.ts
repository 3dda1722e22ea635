/** Apply: a set of resources becomes part of the mesh, all or none, if each is well formed and together they make sense. */
import { ResourceError } from "../../common/resources/error.ts";
import { readResource } from "../../common/resources/read.ts";
import { describeResource } from "../../common/resources/resource.ts";
import type { Resource } from "../../common/resources/resource.ts";
import type { Logger } from "../../common/runtime/logger.ts";
import type { ApplyRequest, ApplyResponse } from "../../common/gen/mesh/v1/admin.ts";
import { keyOfResource } from "../resources/mesh-state.ts";
import type { MeshState } from "../resources/mesh-state.ts";
import type { MeshView } from "../resources/mesh-view.ts";
import { RequestError } from "../server/request-error.ts";
import { StoreError } from "../store/error.ts";
import { MAX_OPERATIONS } from "../store/store.ts";
import type { Operation, Store } from "../store/store.ts";
import { danglingReferences, unlistedHosts } from "./references.ts";

/** Throws RequestError `invalid-argument` with every mistake, `aborted` when somebody else changed the same resource meanwhile. */
export async function apply(request: ApplyRequest, store: Store, view: MeshView, logger: Logger): Promise<ApplyResponse> {
  const state = view.current();
  const resources = readAll(request.resources);
  checkTogether(resources, state, logger);
  const planned = resources.map((resource) => plan(resource, state));
  const results = planned.map(({ resource: { kind, metadata }, outcome }) => ({
    kind,
    namespace: metadata.namespace,
    name: metadata.name,
    outcome,
  }));
  const operations = planned.flatMap(({ operation }) => (operation === undefined ? [] : [operation]));
  if (request.dryRun || operations.length === 0) return { results, revision: state.revision };
  const revision = await commit(store, operations);
  await view.atLeast(revision);
  logger.info({ revision, results }, "resources applied");
  return { results, revision };
}

function invalid(reason: string, problems: readonly string[], cause?: unknown): RequestError {
  return new RequestError("invalid-argument", reason, problems.join("\n"), { cause });
}

function readAll(texts: readonly string[]): readonly Resource[] {
  const resources: Resource[] = [];
  const problems: string[] = [];
  if (texts.length > MAX_OPERATIONS) throw invalid("too-many-resources", [`at most ${MAX_OPERATIONS} resources can be applied together`]);
  for (const [index, text] of texts.entries()) {
    try {
      resources.push(readResource(text, `resources[${index}]`));
    } catch (error) {
      if (!(error instanceof ResourceError)) throw error;
      problems.push(error.message);
    }
  }
  if (problems.length > 0) throw invalid("malformed-resource", problems);
  return resources;
}

function checkTogether(resources: readonly Resource[], state: MeshState, logger: Logger): void {
  const problems: string[] = [];
  const keys = new Set<string>();
  for (const resource of resources) {
    const key = keyOfResource(resource);
    if (keys.has(key)) problems.push(`${describeResource(resource)} is given twice`);
    keys.add(key);
    if (resource.kind === "Mesh" && resource.spec.trustDomain !== state.trustDomain) {
      problems.push(`${describeResource(resource)}: spec.trustDomain: a mesh keeps its trust domain, ${state.trustDomain}`);
    }
  }
  for (const { reference, message } of danglingReferences(resources, (key) => keys.has(key) || state.resources.has(key))) {
    if (reference.required) problems.push(message);
    else logger.warn({ reason: "dangling-reference" }, message);
  }
  const external = [...state.externalServices.values(), ...resources].filter((resource) => resource.kind === "ExternalService");
  for (const message of unlistedHosts(resources, external)) logger.warn({ reason: "dangling-reference" }, message);
  if (problems.length > 0) throw invalid("inconsistent-resources", problems);
}

function plan(resource: Resource, state: MeshState): { resource: Resource; outcome: string; operation: Operation | undefined } {
  const key = keyOfResource(resource);
  const stored = state.resources.get(key);
  const value = Buffer.from(JSON.stringify(resource));
  if (stored !== undefined && value.equals(stored.entry.value)) return { resource, outcome: "unchanged", operation: undefined };
  const expectRevision = stored?.entry.revision ?? 0;
  return { resource, outcome: stored === undefined ? "created" : "configured", operation: { kind: "put", key, value, expectRevision } };
}

async function commit(store: Store, operations: readonly Operation[]): Promise<number> {
  try {
    return await store.commit(operations);
  } catch (error) {
    if (!(error instanceof StoreError) || error.code !== "conflict") throw error;
    throw new RequestError("aborted", "conflict", "a resource was changed at the same time; try again", { cause: error });
  }
}
