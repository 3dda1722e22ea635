/** What is called how in a cluster: shared by the manifests, the injection and the commands. */

export const systemNamespace = "countersign-system";

/** Label of a namespace whose pods are meshed. */
export const injectLabel = "countersign.dev/inject";
export const injectLabelValue = "enabled";
/** Annotation of a pod that refuses, with the value `false`. */
export const injectAnnotation = "countersign.dev/inject";

export const initContainerName = "countersign-init";
export const proxyContainerName = "countersign-proxy";
export const proxyId = 1337;

/** ConfigMap of every meshed namespace: `bundle.pem`, `trustDomain`. The control plane writes it. */
export const meshConfigMap = "countersign";
/** ConfigMap of the system namespace with what the injection fills in: image, control plane, resources. */
export const settingsConfigMap = "countersign-injection";

export const tokenVolume = "countersign-token";
export const configVolume = "countersign-config";
/** Empty, and mounted where the API server would mount the pod's own token for the cluster: the sidecar is not to have that. */
export const emptyVolume = "countersign-empty";
export const apiTokenFolder = "/var/run/secrets/kubernetes.io/serviceaccount";
export const tokenFolder = "/var/run/secrets/countersign";
export const configFolder = "/etc/countersign";
export const tokenAudience = "countersign";

export const metricsPort = 15020;
export const healthPort = 15021;
export const metricsPortName = "cs-metrics";

/** Path prefix of the sidecar's health port below which it asks the application. */
export const probePrefix = "/app/";
export const probesVariable = "COUNTERSIGN_PROBES";

/** Path of the sidecar's health port that answers when its instance has been taken leave of. */
export const farewellPath = "/farewell";
