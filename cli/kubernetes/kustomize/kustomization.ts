/** The fields of a kustomization.yaml that are rendered here. What is not among them is refused, never passed over. */
import { join } from "node:path";
import { z } from "zod";
import { KustomizeError } from "./error.ts";
import { documentsOf, type ReadText } from "./read.ts";

const labels = z.record(z.string(), z.string());
const selector = z.strictObject({
  group: z.string().optional(),
  version: z.string().optional(),
  kind: z.string().optional(),
  name: z.string().optional(),
  namespace: z.string().optional(),
  labelSelector: z.string().optional(),
  annotationSelector: z.string().optional(),
});
const source = selector.omit({ labelSelector: true, annotationSelector: true });
const generatorOptions = z.strictObject({
  disableNameSuffixHash: z.boolean().default(false),
  labels: labels.default({}),
  annotations: labels.default({}),
});
const pieceOptions = z.strictObject({ delimiter: z.string().optional(), index: z.int().default(0), create: z.boolean().default(false) });

const kustomization = z.strictObject({
  apiVersion: z.enum(["kustomize.config.k8s.io/v1beta1", "kustomize.config.k8s.io/v1alpha1"]),
  kind: z.enum(["Kustomization", "Component"]),
  resources: z.array(z.string()).default([]),
  components: z.array(z.string()).default([]),
  images: z
    .array(
      z.strictObject({ name: z.string(), newName: z.string().optional(), newTag: z.string().optional(), digest: z.string().optional() }),
    )
    .default([]),
  labels: z
    .array(z.strictObject({ pairs: labels, includeSelectors: z.literal(false).optional(), includeTemplates: z.boolean().default(false) }))
    .default([]),
  patches: z.array(z.strictObject({ path: z.string().optional(), patch: z.string().optional(), target: selector.optional() })).default([]),
  generatorOptions: generatorOptions.optional(),
  configMapGenerator: z
    .array(
      z.strictObject({
        name: z.string(),
        namespace: z.string().optional(),
        behavior: z.literal("create").optional(),
        files: z.array(z.string()).default([]),
        literals: z.array(z.string()).default([]),
        options: generatorOptions.optional(),
      }),
    )
    .default([]),
  replacements: z
    .array(
      z.strictObject({
        source: source.extend({ fieldPath: z.string().default("metadata.name"), options: pieceOptions.optional() }).optional(),
        sourceValue: z.string().optional(),
        targets: z.array(
          z.strictObject({
            select: selector,
            reject: z.array(selector).default([]),
            fieldPaths: z.array(z.string()).default(["metadata.name"]),
            options: pieceOptions.optional(),
          }),
        ),
      }),
    )
    .default([]),
});

export type Kustomization = z.infer<typeof kustomization>;
export type Selector = z.infer<typeof selector>;

export const kustomizationFile = "kustomization.yaml";

/** Throws KustomizeError: `unsupported` names the fields that are not rendered here. */
export function readKustomization(folder: string, kind: Kustomization["kind"], read: ReadText): Kustomization {
  const path = join(folder, kustomizationFile);
  const [document, ...more] = documentsOf(read(path), path);
  if (document === undefined || more.length > 0) throw new KustomizeError("invalid", `${path}: expected one document`);
  const { data, error } = kustomization.safeParse(document);
  if (error !== undefined) {
    const [issue] = error.issues;
    const at = [...(issue?.path ?? []), ...(issue?.code === "unrecognized_keys" ? [issue.keys.join(", ")] : [])].join(".");
    const unknown = issue?.code === "unrecognized_keys";
    const why = unknown ? "not among what is rendered here: use kubectl apply -k" : (issue?.message ?? "");
    throw new KustomizeError(unknown ? "unsupported" : "invalid", `${path}: ${at}: ${why}`, { cause: error });
  }
  if (data.kind !== kind) throw new KustomizeError("invalid", `${path}: expected kind ${kind}, found ${data.kind}`);
  return data;
}
