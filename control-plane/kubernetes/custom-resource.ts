/**
 * The mesh's resources as custom resources of the cluster: `countersign.dev/v1`, a kind for each. What the API server has let
 * through is read here by the same rules as files are.
 */
import { z } from "zod";
import { ResourceError } from "../../common/resources/error.ts";
import { readResource } from "../../common/resources/read.ts";
import { apiVersion, defaultNamespace } from "../../common/resources/resource.ts";
import type { Kind, Resource } from "../../common/resources/resource.ts";
import { resourceKey } from "../resources/mesh-state.ts";

/** Plurals, as in the paths of the API. In the order in which they refer to each other: what is needed first comes first. */
export const pluralOfKind = {
  Mesh: "meshes",
  Policy: "policies",
  Role: "roles",
  Workload: "workloads",
  ExternalService: "externalservices",
  Service: "services",
  RoleBinding: "rolebindings",
} as const satisfies Record<Kind, string>;

export interface Condition {
  readonly type: "Accepted" | "Enforced";
  readonly status: "True" | "False";
  readonly observedGeneration: number;
  readonly lastTransitionTime: string;
  readonly reason: string;
  readonly message: string;
}

const condition = z.object({
  type: z.enum(["Accepted", "Enforced"]),
  status: z.enum(["True", "False"]),
  observedGeneration: z.int().default(0),
  lastTransitionTime: z.string(),
  reason: z.string(),
  message: z.string(),
});

const object = z.object({
  kind: z.string().optional(),
  metadata: z.object({
    name: z.string(),
    namespace: z.string().optional(),
    uid: z.string(),
    generation: z.int().default(0),
    labels: z.record(z.string(), z.string()).default({}),
    deletionTimestamp: z.string().optional(),
  }),
  spec: z.unknown(),
  status: z
    .object({
      // Others may have written conditions of their own; they are theirs.
      conditions: z
        .array(z.unknown())
        .default([])
        .transform((values) => values.flatMap((value) => condition.safeParse(value).data ?? [])),
    })
    .prefault({}),
});

export interface CustomResource {
  /** Of the store. */
  readonly key: string;
  readonly kind: Kind;
  /** Undefined for a kind without namespaces. */
  readonly namespace: string | undefined;
  readonly name: string;
  readonly uid: string;
  readonly generation: number;
  readonly conditions: readonly Condition[];
  /** What it says, or why it says nothing. */
  readonly read: { readonly resource: Resource } | { readonly problem: string };
}

/** Throws ZodError for what is no object of the API; what is wrong with its spec is part of the answer. */
export function customResourceFromApi(kind: Kind, value: unknown): CustomResource {
  const { metadata, spec, status } = object.parse(value);
  const { name, namespace, uid, generation, labels } = metadata;
  return {
    key: resourceKey(kind, namespace ?? defaultNamespace, name),
    kind,
    namespace,
    name,
    uid,
    generation,
    conditions: status.conditions,
    read: read(kind, { name, ...(namespace === undefined ? {} : { namespace }), labels }, spec ?? {}),
  };
}

function read(kind: Kind, metadata: object, spec: unknown): CustomResource["read"] {
  try {
    return { resource: readResource(JSON.stringify({ apiVersion, kind, metadata, spec }), kind) };
  } catch (error) {
    if (!(error instanceof ResourceError)) throw error;
    // Lines are those of our own text, and mean nothing to whoever wrote the object.
    const problems = error.problems.map(({ path, expected, found }) => {
      const what = [expected && `expected ${expected}`, found && (expected ? `found ${found}` : found)].filter((part) => part !== "");
      return `${path === "" ? "" : `${path}: `}${what.join(", ")}`;
    });
    return { problem: problems.join("; ") };
  }
}
