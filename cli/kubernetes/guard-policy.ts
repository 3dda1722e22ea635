/**
 * What keeps pods of meshed namespaces in the mesh: a ValidatingAdmissionPolicy that refuses pods without their sidecar, containers
 * that could pass for the sidecar or change the kernel's rules, and annotations that make no sense.
 */
import { annotationPrefix, podAnnotations } from "../../common/injection/annotations.ts";
import { celList, type Json } from "../../common/injection/cel.ts";
import { proxyContainer, volumes } from "../../common/injection/injected.ts";
import { meshedNamespaces, meshedPods, parameters } from "./injection-policy.ts";
import { emptyVolume, initContainerName, proxyContainerName, proxyId } from "../../common/injection/names.ts";

const name = "countersign-guard";

type Named = readonly { readonly name?: unknown; readonly mountPath?: unknown }[];
const proxy = proxyContainer as { readonly env: Named; readonly volumeMounts: Named };
const namesOf = (list: Named) => list.map((each) => String(each.name));

/** Ours is what has our image, our command and nothing that could make another program of it. */
const ours = `object.spec.?initContainers.orValue([]).filter(container,
  container.image == params.data.image && !has(container.command) && !has(container.envFrom) && !has(container.lifecycle) && !has(container.volumeDevices) &&
  !container.?startupProbe.?exec.hasValue() && !container.?readinessProbe.?exec.hasValue() && !container.?livenessProbe.?exec.hasValue() && (
    container.name == "${initContainerName}" && container.?args.orValue([]).size() >= 2 &&
      container.args[0] == "intercept" && container.args[1] == "install" && !has(container.env) &&
      container.?volumeMounts.orValue([]).all(mount, mount.name == "${emptyVolume}") &&
      !container.?securityContext.?privileged.orValue(false)
    ||
    container.name == "${proxyContainerName}" && container.?args.orValue([]) == ["sidecar"] && container.?restartPolicy.orValue("") == "Always" &&
      container.?env.orValue([]).all(variable, variable.name in ${celList(namesOf(proxy.env))}) &&
      container.?volumeMounts.orValue([]).all(mount, mount.name in ${celList(namesOf(volumes as unknown as Named))}) &&
      container.?securityContext.?runAsUser.orValue(0) == ${proxyId} &&
      !container.?securityContext.?privileged.orValue(false) &&
      container.?securityContext.?capabilities.?add.orValue([]).size() == 0
  )
).map(container, container.name)`;

const others = `(object.spec.?initContainers.orValue([]).filter(container, !(container.name in variables.ours)) +
  object.spec.containers + object.spec.?ephemeralContainers.orValue([])).map(container, dyn(container))`;

const netAdmin = `container.?securityContext.?privileged.orValue(false) ||
  container.?securityContext.?capabilities.?add.orValue([]).exists(capability, capability.upperAscii() in ["ALL", "NET_ADMIN", "CAP_NET_ADMIN"])`;

/** Our own image runs as the sidecar's user unless something else is said. */
const asProxy = `container.?securityContext.?runAsUser.orValue(object.spec.?securityContext.?runAsUser.orValue(
  container.image == params.data.image ? ${proxyId} : -1)) == ${proxyId}`;

const whole = `request.?subResource.orValue("") == ""`;

const refuse = (offenders: string, text: string) => ({
  expression: `${offenders}.size() == 0`,
  messageExpression: `"container " + ${offenders}.join(", ") + ${JSON.stringify(` ${text}`)}`,
});

const known = podAnnotations.map(({ annotation }) => annotation);
const unknownAnnotations = `variables.annotations.map(name, name).filter(name, name.startsWith("${annotationPrefix}") && !(name in ${celList(known)}))`;

const annotationRules = podAnnotations.map(({ annotation, expected, cel }) => {
  const value = `variables.annotations["${annotation}"]`;
  return {
    expression: `!(${whole}) || !("${annotation}" in variables.annotations) || ${cel(value)}`,
    messageExpression: `${JSON.stringify(`annotation ${annotation}: expected ${expected}, found `)} + variables.annotations[?"${annotation}"].orValue("")`,
  };
});

export function guardManifests(): readonly Json[] {
  const missing = (container: string) => ({
    expression: `!(${whole}) || "${container}" in variables.ours`,
    message: `this namespace is meshed, and the pod has no container ${container} as the mesh makes it; countersign check tells why`,
  });
  return [
    {
      apiVersion: "admissionregistration.k8s.io/v1",
      kind: "ValidatingAdmissionPolicy",
      metadata: { name },
      spec: {
        paramKind: parameters.paramKind,
        matchConstraints: {
          namespaceSelector: meshedNamespaces,
          resourceRules: [
            { apiGroups: [""], apiVersions: ["v1"], operations: ["CREATE"], resources: ["pods"], scope: "*" },
            { apiGroups: [""], apiVersions: ["v1"], operations: ["UPDATE"], resources: ["pods/ephemeralcontainers"], scope: "*" },
          ],
        },
        matchConditions: meshedPods.map((condition) => ({ ...condition })),
        variables: [
          { name: "annotations", expression: "object.metadata.?annotations.orValue({})" },
          { name: "ours", expression: ours },
          { name: "others", expression: others },
          { name: "asProxy", expression: `variables.others.filter(container, ${asProxy}).map(container, string(container.name))` },
          { name: "netAdmin", expression: `variables.others.filter(container, ${netAdmin}).map(container, string(container.name))` },
          { name: "unknown", expression: unknownAnnotations },
        ],
        failurePolicy: "Fail",
        validations: [
          ...annotationRules,
          {
            expression: `!(${whole}) || variables.unknown.size() == 0`,
            messageExpression: `"annotation " + variables.unknown.join(", ") + ": there is none of that name; those of a pod are ${known.join(", ")}"`,
          },
          missing(proxyContainerName),
          missing(initContainerName),
          refuse("variables.asProxy", `runs as user ${proxyId}, whose connections are not redirected: that is for the sidecar alone`),
          refuse("variables.netAdmin", "may change the kernel's rules (NET_ADMIN, or privileged), and so leave the mesh"),
        ],
      },
    },
    {
      apiVersion: "admissionregistration.k8s.io/v1",
      kind: "ValidatingAdmissionPolicyBinding",
      metadata: { name },
      spec: { policyName: name, validationActions: ["Deny"], paramRef: parameters.paramRef },
    },
  ];
}
