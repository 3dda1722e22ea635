/**
 * The declarative kinds. One definition makes the type, the validation and the JSON Schema; parsing applies defaults and
 * turns short forms into long ones, and parsing the result again changes nothing.
 */
import { z } from "zod";
import { externalServiceSpec } from "./external-service.ts";
import { meshSpec } from "./mesh.ts";
import { label, serviceName, tags } from "./names.ts";
import { policySpec } from "./policy.ts";
import { roleBindingSpec } from "./role-binding.ts";
import { roleSpec } from "./role.ts";
import { serviceSpec } from "./service.ts";
import { workloadSpec } from "./workload.ts";

export const apiVersion = "countersign.dev/v1";
export const defaultNamespace = "default";

const metadata = z.strictObject({ name: label, namespace: label.default(defaultNamespace), labels: tags.default({}) });

function kind<const K extends string, S extends z.ZodType>(name: K, spec: S) {
  return z.strictObject({ apiVersion: z.literal(apiVersion), kind: z.literal(name), metadata, spec });
}

export const meshName = "mesh";
/** Where the `Mesh` is. What is declared there can be for all namespaces. */
export const meshNamespace = defaultNamespace;
const mesh = kind("Mesh", meshSpec).extend({
  // There is one for all namespaces; a second name would only hide which of two is in force.
  metadata: metadata
    .extend({
      name: z.literal(meshName, `"${meshName}": there is one Mesh`),
      namespace: z.literal(meshNamespace).default(meshNamespace),
    })
    .default({ name: meshName, namespace: meshNamespace, labels: {} }),
});

const service = kind("Service", serviceSpec).extend({ metadata: metadata.extend({ name: serviceName }) });

export const kindSchemas = {
  Mesh: mesh,
  Service: service,
  Workload: kind("Workload", workloadSpec),
  Role: kind("Role", roleSpec),
  Policy: kind("Policy", policySpec),
  RoleBinding: kind("RoleBinding", roleBindingSpec),
  ExternalService: kind("ExternalService", externalServiceSpec),
} as const;

export type Kind = keyof typeof kindSchemas;
export const kinds = Object.keys(kindSchemas) as readonly Kind[];

export function isKind(text: string): text is Kind {
  return Object.hasOwn(kindSchemas, text);
}

export type MeshResource = z.infer<typeof kindSchemas.Mesh>;
export type ServiceResource = z.infer<typeof kindSchemas.Service>;
export type WorkloadResource = z.infer<typeof kindSchemas.Workload>;
export type RoleResource = z.infer<typeof kindSchemas.Role>;
export type PolicyResource = z.infer<typeof kindSchemas.Policy>;
export type RoleBindingResource = z.infer<typeof kindSchemas.RoleBinding>;
export type ExternalServiceResource = z.infer<typeof kindSchemas.ExternalService>;
export type Resource =
  | MeshResource
  | ServiceResource
  | WorkloadResource
  | RoleResource
  | PolicyResource
  | RoleBindingResource
  | ExternalServiceResource;

/** `Service shop/orders`, for messages. */
export function describeResource(resource: Resource): string {
  return `${resource.kind} ${resource.metadata.namespace}/${resource.metadata.name}`;
}
