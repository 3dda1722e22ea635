/**
 * The kinds as CustomResourceDefinitions, made from their one schema (common/resources). What that schema says by functions, which
 * JSON Schema does not show, is said here in CEL where it can be; the control plane reads every resource by the schema itself, and
 * says in its condition `Accepted` what is wrong with one that the API server took.
 *
 * `Mesh` is of the cluster, not of a namespace: whoever may write to one namespace must not set what holds for all.
 */
import { jsonSchemaOfKind } from "../../common/resources/json-schema.ts";
import { kinds, meshName, type Kind } from "../../common/resources/resource.ts";
import type { Json } from "../../common/injection/cel.ts";
import { asObject, type JsonObject } from "../../common/injection/json.ts";
import { structuralSchema, type Additions } from "./structural-schema.ts";

const group = "countersign.dev";

interface Column {
  readonly name: string;
  readonly jsonPath: string;
  readonly type?: "string" | "boolean" | "integer" | "date";
  readonly priority?: number;
}

interface KindInCluster {
  readonly plural: string;
  readonly shortName: string;
  readonly columns: readonly Column[];
  readonly additions: Readonly<Record<string, JsonObject>>;
  readonly rules?: readonly Json[];
}

const rule = (expression: string, message: string, more: JsonObject = {}): JsonObject => ({ rule: expression, message, ...more });
const rules = (...list: readonly JsonObject[]): JsonObject => ({ "x-kubernetes-validations": list });

/** Of a list whose items differ by that field: the API server merges and compares them by it. */
const byField = (field: string): JsonObject => ({ "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [field] });

const longestIp = 45;
const longestHost = 255;
const hostLabel = "[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?";
const tagKey = String.raw`^[\\p{L}\\p{Z}\\p{N}_.:/=+@-]{1,128}$`;

const kindsInCluster: Readonly<Record<Kind, KindInCluster>> = {
  Mesh: {
    plural: "meshes",
    shortName: "csmesh",
    columns: [
      { name: "Trust domain", jsonPath: ".spec.trustDomain" },
      { name: "Egress", jsonPath: ".spec.egress" },
    ],
    additions: {
      "spec.trustDomain": rules(rule("self == oldSelf", "is in every identity, and cannot be changed")),
    },
  },
  Service: {
    plural: "services",
    shortName: "cssvc",
    columns: [
      { name: "Tier", jsonPath: ".spec.tier" },
      { name: "Enforcement", jsonPath: ".spec.enforcement" },
    ],
    additions: {
      "spec.ports": { ...byField("port"), maxItems: 64 },
      "spec.addresses[]": { maxLength: longestIp, ...rules(rule("isIP(self)", "expected an IP address")) },
    },
    rules: [
      rule(
        "!(self.metadata.name in ['external', 'iam', 'sts'])",
        "metadata.name: external, iam and sts are what ARNs use for other things",
      ),
    ],
  },
  Workload: {
    plural: "workloads",
    shortName: "cswl",
    columns: [{ name: "Quarantine", jsonPath: ".spec.quarantine", type: "boolean" }],
    additions: {},
  },
  Role: {
    plural: "roles",
    shortName: "csrole",
    columns: [{ name: "Revoked before", jsonPath: ".spec.revokeSessionsIssuedBefore", priority: 1 }],
    additions: {
      "spec.tags": {
        maxProperties: 50,
        ...rules(rule(`self.all(key, key.matches('${tagKey}'))`, "expected keys of 1 to 128 letters, digits, spaces and _.:/=+-@")),
      },
    },
  },
  Policy: {
    plural: "policies",
    shortName: "cspol",
    columns: [{ name: "Mode", jsonPath: ".spec.mode" }],
    additions: {},
  },
  RoleBinding: {
    plural: "rolebindings",
    shortName: "csrb",
    columns: [{ name: "Workload", jsonPath: ".spec.workload" }],
    additions: {},
  },
  ExternalService: {
    plural: "externalservices",
    shortName: "csext",
    columns: [
      { name: "Hosts", jsonPath: ".spec.hosts" },
      { name: "Policy", jsonPath: ".spec.policy" },
    ],
    additions: {
      "spec.hosts[]": {
        maxLength: longestHost,
        ...rules(
          rule(
            String.raw`isIP(self) || self.matches('^(?:[*][.])?(?:${hostLabel}[.])*${hostLabel}$') && !self.matches('(?:^|[.])(?:[0-9]+|0x[0-9a-f]*)$')`,
            "expected a lower-case host name without port, such as api.example.com or *.example.com, or an IP address",
          ),
        ),
      },
      "spec.ports": { ...byField("port"), maxItems: 64 },
      "spec.addresses[]": {
        maxLength: longestIp + 4,
        ...rules(
          rule(
            "isIP(self) || isCIDR(self) && cidr(self).masked() == cidr(self)",
            "expected an IP address, or a network such as 10.0.0.0/8 with nothing behind its length",
          ),
        ),
      },
    },
  },
};

/** As the API server names them in paths. */
export const pluralsInCluster: readonly string[] = kinds.map((kind) => kindsInCluster[kind].plural);

const conditionColumn = (type: string): Column => ({ name: type, jsonPath: `.status.conditions[?(@.type=="${type}")].status` });

const status: JsonObject = {
  type: "object",
  properties: {
    observedGeneration: { type: "integer", format: "int64", description: "The generation that the conditions are about." },
    revision: { type: "integer", format: "int64", description: "Of the mesh's state, since which this resource is in it." },
    conditions: {
      type: "array",
      ...byField("type"),
      items: {
        type: "object",
        required: ["type", "status", "lastTransitionTime", "reason", "message"],
        properties: {
          type: { type: "string", maxLength: 316 },
          status: { type: "string", enum: ["True", "False", "Unknown"] },
          observedGeneration: { type: "integer", format: "int64", minimum: 0 },
          lastTransitionTime: { type: "string", format: "date-time" },
          reason: { type: "string", minLength: 1, maxLength: 1024 },
          message: { type: "string", maxLength: 32_768 },
        },
      },
    },
  },
};

export function customResourceDefinitions(): readonly Json[] {
  return kinds.map((kind) => definitionOf(kind, kindsInCluster[kind]));
}

function definitionOf(kind: Kind, { plural, shortName, columns, additions, rules: ofKind = [] }: KindInCluster): Json {
  const schema = asObject(jsonSchemaOfKind(kind) as JsonObject) ?? {};
  const properties = asObject(schema["properties"]) ?? {};
  const laid: Additions = new Map(Object.entries(additions));
  const name = asObject(asObject(asObject(properties["metadata"])?.["properties"])?.["name"]) ?? {};
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `${plural}.${group}`, labels: { "app.kubernetes.io/part-of": "countersign" } },
    spec: {
      group,
      scope: kind === "Mesh" ? "Cluster" : "Namespaced",
      names: { kind, plural, singular: kind.toLowerCase(), shortNames: [shortName], categories: ["countersign"] },
      versions: [
        {
          name: "v1",
          served: true,
          storage: true,
          subresources: { status: {} },
          additionalPrinterColumns: [
            ...columns,
            conditionColumn("Accepted"),
            conditionColumn("Enforced"),
            { name: "Age", jsonPath: ".metadata.creationTimestamp", type: "date" as const },
          ].map(({ type = "string", ...column }) => ({ ...column, type })),
          schema: {
            openAPIV3Schema: {
              type: "object",
              required: ["spec"],
              properties: {
                apiVersion: { type: "string" },
                kind: { type: "string" },
                metadata: { type: "object", properties: { name: nameSchema(kind, name) } },
                spec: structuralSchema(asObject(properties["spec"]) ?? {}, "spec", laid),
                status,
              },
              ...(ofKind.length === 0 ? {} : { "x-kubernetes-validations": ofKind }),
            },
          },
        },
      ],
    },
  };
}

function nameSchema(kind: Kind, schema: JsonObject): JsonObject {
  if (kind === "Mesh") return { type: "string", enum: [meshName] };
  return structuralSchema(schema, "metadata.name", new Map());
}
