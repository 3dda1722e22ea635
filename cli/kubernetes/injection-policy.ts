/**
 * The injection as the API server does it: a MutatingAdmissionPolicy, so that no webhook of ours stands in the way of a pod. Its
 * parameters are a ConfigMap, which overlays change by kustomize's own means.
 */
import { celOfTemplate, celString, type Json } from "../../common/injection/cel.ts";
import {
  defaultSettings,
  initContainer,
  proxyContainer,
  scrapeAnnotations,
  tuningVariables,
  volumes,
} from "../../common/injection/injected.ts";
import {
  injectAnnotation,
  injectLabel,
  injectLabelValue,
  probesVariable,
  proxyContainerName,
  settingsConfigMap,
  systemNamespace,
} from "../../common/injection/names.ts";
import { farewellPatches } from "../../common/injection/farewell-hook.ts";
import { probePatches, probeVariables } from "../../common/injection/probes.ts";

const name = "countersign-inject";

/** The namespaces that are meshed; never our own, nor those of the cluster itself, whatever label they carry. */
export const meshedNamespaces = {
  matchLabels: { [injectLabel]: injectLabelValue },
  matchExpressions: [
    { key: "kubernetes.io/metadata.name", operator: "NotIn", values: [systemNamespace, "kube-system", "kube-public", "kube-node-lease"] },
  ],
} as const;

/** Where pods are left alone; `object` is a pod. Pods that a node mirrors from its own files are made by the node. */
export const meshedPods = [
  {
    name: "not-refused",
    expression: `object.metadata.?annotations[?${celString(injectAnnotation)}].orValue("") != "false"`,
  },
  { name: "own-network", expression: "!object.spec.?hostNetwork.orValue(false)" },
  { name: "not-windows", expression: `object.spec.?os.?name.orValue("") != "windows"` },
  { name: "not-mirrored", expression: `!("system:nodes" in request.userInfo.groups)` },
] as const;

export const parameters = {
  paramKind: { apiVersion: "v1", kind: "ConfigMap" },
  paramRef: { name: settingsConfigMap, namespace: systemNamespace, parameterNotFoundAction: "Deny" },
} as const;

const scrapeNames = Object.keys(scrapeAnnotations);
const escapePointer = (key: string) => key.replaceAll("~", "~0").replaceAll("/", "~1");

const addScrapeAnnotations = `${JSON.stringify(scrapeNames)}.exists(name, name in variables.annotations) ? [] : [
  ${Object.entries(scrapeAnnotations)
    .map(([key, value]) => `JSONPatch{op: "add", path: "/metadata/annotations/${escapePointer(key)}", value: ${celString(value)}}`)
    .join(",\n  ")}
]`;

/** JSON Patch appends to lists that are there, so each is made first. */
const make = (path: string, missing: string, empty: string) =>
  `(${missing} ? [JSONPatch{op: "add", path: "${path}", value: ${empty}}] : [])`;

const addContainers = [
  make("/spec/initContainers", "!has(object.spec.initContainers)", "dyn([])"),
  `[
  JSONPatch{op: "add", path: "/spec/initContainers/0", value: ${celOfTemplate(initContainer, "Object.spec.initContainers", "  ")}},
  JSONPatch{op: "add", path: "/spec/initContainers/1", value: ${celOfTemplate(proxyContainer, "Object.spec.initContainers", "  ")}}
]`,
  make("/spec/volumes", "!has(object.spec.volumes)", "dyn([])"),
  `[
  ${volumes
    .map((volume) => `JSONPatch{op: "add", path: "/spec/volumes/-", value: ${celOfTemplate(volume, "Object.spec.volumes", "  ")}}`)
    .join(",\n  ")}
]`,
  make("/metadata/annotations", "!has(object.metadata.annotations)", "dyn({})"),
  `(${addScrapeAnnotations})`,
].join(" +\n");

/** For a pod that is meshed already, to which somebody added a probe since. */
const refreshProbes = `object.spec.initContainers.transformList(index, container, container.name != "${proxyContainerName}" ? [] :
  container.?env.orValue([]).transformList(at, variable, variable.name == "${probesVariable}" && variable.?value.orValue("") != variables.probes
    ? [JSONPatch{op: "add", path: "/spec/initContainers/" + string(index) + "/env/" + string(at) + "/value", value: variables.probes}]
    : []).flatten()).flatten()`;

const mutation = `${probePatches} +
${farewellPatches} +
(variables.injected ? ${refreshProbes} :
${addContainers})`;

export function injectionManifests(): readonly Json[] {
  return [
    {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: settingsConfigMap, namespace: systemNamespace },
      data: { ...defaultSettings },
    },
    {
      apiVersion: "admissionregistration.k8s.io/v1",
      kind: "MutatingAdmissionPolicy",
      metadata: { name },
      spec: {
        paramKind: parameters.paramKind,
        matchConstraints: {
          namespaceSelector: meshedNamespaces,
          resourceRules: [{ apiGroups: [""], apiVersions: ["v1"], operations: ["CREATE"], resources: ["pods"], scope: "*" }],
        },
        matchConditions: meshedPods.map((condition) => ({ ...condition })),
        variables: [
          { name: "annotations", expression: "object.metadata.?annotations.orValue({})" },
          {
            name: "injected",
            expression: `object.spec.?initContainers.orValue([]).exists(container, container.name == "${proxyContainerName}")`,
          },
          ...tuningVariables.map((variable) => ({ ...variable })),
          ...probeVariables.map((variable) => ({ ...variable })),
        ],
        failurePolicy: "Fail",
        reinvocationPolicy: "IfNeeded",
        mutations: [{ patchType: "JSONPatch", jsonPatch: { expression: mutation } }],
      },
    },
    {
      apiVersion: "admissionregistration.k8s.io/v1",
      kind: "MutatingAdmissionPolicyBinding",
      metadata: { name },
      spec: { policyName: name, paramRef: parameters.paramRef },
    },
  ];
}
