/** Manifests brought to the API server by server-side apply. */
import type { Json } from "../../../common/injection/cel.ts";
import { asObject, type JsonObject } from "../../../common/injection/json.ts";
import { KubernetesError } from "../../../control-plane/kubernetes/error.ts";
import type { ClusterConnection } from "../connect.ts";

/** Who fields belong to that the manifests set. */
export const fieldManager = "countersign";

export type Outcome = "created" | "configured" | "unchanged";

/** On `dryRun` nothing is kept. `force` takes fields that belong to others. Throws KubernetesError, `conflict` where others have fields. */
export async function applyManifest(
  { ask, send }: ClusterConnection,
  manifest: JsonObject,
  path: string,
  { dryRun, force }: { readonly dryRun: boolean; readonly force: boolean },
): Promise<Outcome> {
  const before = asObject((await ask(path)) as Json | undefined);
  const patch = async (force: boolean): Promise<unknown> => {
    const query = new URLSearchParams({ fieldManager, force: String(force), fieldValidation: "Strict", ...(dryRun && { dryRun: "All" }) });
    const contentType = "application/apply-patch+yaml";
    return await send({ method: "PATCH", path: `${path}?${query.toString()}`, body: manifest, contentType });
  };
  const after = await patch(force).catch(async (error: unknown) => {
    if (isOnlyWithKubectl(error)) return await patch(true);
    throw error;
  });
  if (before === undefined) return "created";
  return JSON.stringify(essence(before)) === JSON.stringify(essence(asObject(after as Json) ?? {})) ? "unchanged" : "configured";
}

/**
 * Whether the fields are those of an earlier `kubectl apply` of the same manifests. `kubectl apply --server-side` takes these over as well:
 * that command had no other way to own what it set.
 */
function isOnlyWithKubectl(error: unknown): boolean {
  if (!(error instanceof KubernetesError) || error.code !== "conflict") return false;
  const managers = [...error.message.matchAll(/conflicts? with "([^"]+)"/g)].map(([, manager]) => manager);
  return managers.length > 0 && managers.every((manager) => manager === "kubectl-client-side-apply");
}

/** Without what changes by itself, or with every request. */
function essence(object: JsonObject): Json {
  const { status: _status, metadata, ...rest } = object;
  const { managedFields: _managed, resourceVersion: _version, generation: _generation, ...others } = asObject(metadata) ?? {};
  return sorted({ ...rest, metadata: others });
}

function sorted(value: Json): Json {
  if (Array.isArray(value)) return (value as readonly Json[]).map(sorted);
  const object = asObject(value);
  if (object === undefined) return value;
  return Object.fromEntries(
    Object.entries(object)
      .sort(([a], [b]) => (a < b ? -1 : Number(a > b)))
      .map(([key, item]) => [key, sorted(item)]),
  );
}
