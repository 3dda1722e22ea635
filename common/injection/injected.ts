/**
 * What the injection adds to a pod: the one definition. `injection-policy.ts` makes the MutatingAdmissionPolicy of it, and
 * `inject-pod.ts` applies it offline.
 */
import { tuning } from "./annotations.ts";
import { asText } from "./json.ts";
import { derived, type Derived, type Template } from "./cel.ts";
import {
  apiTokenFolder,
  configFolder,
  configVolume,
  emptyVolume,
  healthPort,
  initContainerName,
  meshConfigMap,
  metricsPort,
  metricsPortName,
  probesVariable,
  proxyContainerName,
  proxyId,
  systemNamespace,
  tokenAudience,
  tokenFolder,
  tokenVolume,
} from "./names.ts";

/**
 * Keys of the ConfigMap `countersign-injection`, which overlays change, and their values in the base. A memory limit that is
 * reached refuses calls before the kernel kills the sidecar, so it has to be known to it: it reads its cgroup.
 */
export const defaultSettings = {
  image: "countersign",
  controlPlane: `countersign.${systemNamespace}.svc:15012`,
  cpu: "50m",
  memory: "128Mi",
  memoryLimit: "512Mi",
  logLevel: "info",
} as const;

export type SettingName = keyof typeof defaultSettings;

function setting(name: SettingName): Derived {
  return derived(`params.data.${name}`, ({ settings }) => settings[name] ?? "");
}

const tunedNames = Object.keys(tuning) as readonly (keyof typeof tuning)[];

/** Variables of the policy: each annotation's value where it makes sense, and else empty. The guard refuses the pod and says why. */
export const tuningVariables: readonly { readonly name: string; readonly expression: string }[] = tunedNames.map((name) => {
  const { annotation, cel } = tuning[name];
  const value = `variables.annotations["${annotation}"]`;
  return { name, expression: `"${annotation}" in variables.annotations && ${cel(value)} ? ${value} : ""` };
});

function tuned(name: keyof typeof tuning, otherwise?: Derived): Derived {
  const { annotation, isValid } = tuning[name];
  const variable = `variables.${name}`;
  return derived(otherwise === undefined ? variable : `(${variable} != "" ? ${variable} : ${otherwise.cel})`, (facts) => {
    const given = facts.annotations.get(annotation);
    return given !== undefined && given !== "" && isValid(given) ? given : (otherwise?.evaluate(facts) ?? "");
  });
}

function option(name: string, value: Derived): Derived {
  return derived(`"${name}=" + ${value.cel}`, (facts) => `${name}=${asText(value.evaluate(facts))}`);
}

const unprivileged = {
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  seccompProfile: { type: "RuntimeDefault" },
} as const;

const withoutApiToken: Template = { name: emptyVolume, mountPath: apiTokenFolder, readOnly: true };

/** Sets the kernel's rules, and is the only container with NET_ADMIN; it ends before the sidecar starts. */
export const initContainer: Template = {
  name: initContainerName,
  image: setting("image"),
  args: [
    "intercept",
    "install",
    option("--skip-outbound-ports", tuned("excludeOutboundPorts")),
    option("--skip-outbound-cidrs", tuned("excludeOutboundCidrs")),
    option("--skip-inbound-ports", tuned("excludeInboundPorts")),
  ],
  resources: { requests: { cpu: "10m", memory: "64Mi" }, limits: { memory: "256Mi" } },
  volumeMounts: [withoutApiToken],
  securityContext: {
    ...unprivileged,
    runAsUser: 0,
    runAsGroup: 0,
    runAsNonRoot: false,
    capabilities: { add: ["NET_ADMIN", "NET_RAW"], drop: ["ALL"] },
  },
};

/** A native sidecar: started before, and stopped after, everything else of the pod. */
export const proxyContainer: Template = {
  name: proxyContainerName,
  image: setting("image"),
  args: ["sidecar"],
  restartPolicy: "Always",
  env: [
    { name: "COUNTERSIGN_TRUST_DOMAIN_FILE", value: `${configFolder}/trustDomain` },
    { name: "POD_IP", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } },
    { name: "COUNTERSIGN_CONTROL_PLANE", value: setting("controlPlane") },
    { name: "COUNTERSIGN_TRUST_BUNDLE", value: `${configFolder}/bundle.pem` },
    { name: "COUNTERSIGN_KUBERNETES_TOKEN_FILE", value: `${tokenFolder}/token` },
    { name: "COUNTERSIGN_INTERCEPT", value: "redirect" },
    { name: "COUNTERSIGN_OUTBOUND", value: "[::]:15001" },
    { name: "COUNTERSIGN_INBOUND", value: "[::]:15006" },
    { name: "COUNTERSIGN_ADVERTISE", value: "$(POD_IP):15006" },
    { name: "COUNTERSIGN_LOG_LEVEL", value: tuned("logLevel", setting("logLevel")) },
    { name: probesVariable, value: derived("variables.probes", ({ probes }) => probes) },
  ],
  ports: [{ name: metricsPortName, containerPort: metricsPort, protocol: "TCP" }],
  // The application starts only when calls can work.
  startupProbe: { httpGet: { path: "/readyz", port: healthPort }, periodSeconds: 1, failureThreshold: 600 },
  readinessProbe: { httpGet: { path: "/readyz", port: healthPort }, periodSeconds: 5 },
  resources: {
    requests: { cpu: tuned("cpu", setting("cpu")), memory: tuned("memory", setting("memory")) },
    limits: { memory: tuned("memory", setting("memoryLimit")) },
  },
  securityContext: {
    ...unprivileged,
    runAsUser: proxyId,
    runAsGroup: proxyId,
    runAsNonRoot: true,
    capabilities: { drop: ["ALL"] },
  },
  volumeMounts: [
    { name: tokenVolume, mountPath: tokenFolder, readOnly: true },
    { name: configVolume, mountPath: configFolder, readOnly: true },
    withoutApiToken,
  ],
};

export const volumes: readonly Template[] = [
  {
    name: tokenVolume,
    projected: { sources: [{ serviceAccountToken: { audience: tokenAudience, expirationSeconds: 3600, path: "token" } }] },
  },
  { name: configVolume, configMap: { name: meshConfigMap } },
  { name: emptyVolume, emptyDir: { sizeLimit: "1Mi" } },
];

/** Added where the pod says nothing of Prometheus itself. */
export const scrapeAnnotations: Readonly<Record<string, string>> = {
  "prometheus.io/scrape": "true",
  "prometheus.io/port": String(metricsPort),
  "prometheus.io/path": "/metrics",
};
