/**
 * A preStop hook for containers that have none: the sidecar answers it when the other sidecars have let go of this instance, and only then
 * is the application told to end. Without it the application closes its port while calls are still sent to it, because Kubernetes
 * tells it and everybody else at the same time (https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination-flow).
 *
 * A container's own hook is left as it is, and so are pods that are to end quickly.
 */
import { asObject, type JsonObject } from "./json.ts";
import { farewellPath, healthPort } from "./names.ts";

/** A pod with less time than this to end gets no hook, which may take five seconds of it. */
const leastGraceSeconds = 10;
/** Where a pod says nothing, as the API server has it. */
const defaultGraceSeconds = 30;

const httpGet = { path: farewellPath, port: healthPort, scheme: "HTTP" } as const;

/** `containers` are those of the pod's `spec` that end before its sidecars do. */
export function withFarewell(spec: JsonObject, containers: readonly JsonObject[]): readonly JsonObject[] {
  const grace = spec["terminationGracePeriodSeconds"] ?? defaultGraceSeconds;
  if (typeof grace !== "number" || grace < leastGraceSeconds) return containers;
  return containers.map((container) => {
    const lifecycle = asObject(container["lifecycle"]) ?? {};
    return "preStop" in lifecycle ? container : { ...container, lifecycle: { ...lifecycle, preStop: { httpGet } } };
  });
}

const handler = `{"httpGet": {"path": dyn("${httpGet.path}"), "port": dyn(${httpGet.port}), "scheme": dyn("${httpGet.scheme}")}}`;

/** The same as a list of JSONPatch. */
export const farewellPatches = `(object.spec.?terminationGracePeriodSeconds.orValue(${defaultGraceSeconds}) < ${leastGraceSeconds} ? [] :
  object.spec.containers.transformList(index, container, has(container.lifecycle) ? (has(container.lifecycle.preStop) ? [] : [
    JSONPatch{op: "add", path: "/spec/containers/" + string(index) + "/lifecycle/preStop", value: ${handler}}
  ]) : [
    JSONPatch{op: "add", path: "/spec/containers/" + string(index) + "/lifecycle", value: {"preStop": ${handler}}}
  ]).flatten())`;
