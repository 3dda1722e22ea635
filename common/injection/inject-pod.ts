/** The injection as TypeScript: what the MutatingAdmissionPolicy does to a pod, done to the text of one. */
import { evaluateTemplate, type Json, type PodFacts } from "./cel.ts";
import { initContainer, proxyContainer, scrapeAnnotations, volumes, type defaultSettings } from "./injected.ts";
import { annotationPrefix, podAnnotations } from "./annotations.ts";
import { asObject, asObjects, asText, type JsonObject } from "./json.ts";
import { withFarewell } from "./farewell-hook.ts";
import { injectAnnotation, probesVariable, proxyContainerName } from "./names.ts";
import { rewriteProbes } from "./probes.ts";

export type InjectionSettings = Readonly<Record<keyof typeof defaultSettings, string>>;

/** A pod or the template of one: `metadata` and `spec`. */
export type PodLike = JsonObject;

export class InjectError extends Error {
  override readonly name = "InjectError";
  readonly code: "bad-annotation" | "unreadable";

  constructor(code: "bad-annotation" | "unreadable", message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** Why a pod is left as it is; undefined where it is not. */
export function leftAlone(pod: PodLike): "annotation" | "host-network" | "windows" | undefined {
  const spec = asObject(pod["spec"]);
  if (annotationsOf(pod).get(injectAnnotation) === "false") return "annotation";
  if (spec?.["hostNetwork"] === true) return "host-network";
  return asText(asObject(spec?.["os"])?.["name"]) === "windows" ? "windows" : undefined;
}

/**
 * The pod with its sidecar; the same again changes nothing. Throws InjectError `bad-annotation` with each annotation of ours that
 * makes no sense.
 */
export function injectPod(pod: PodLike, settings: InjectionSettings): PodLike {
  const annotations = annotationsOf(pod);
  const problems = annotationProblems(annotations);
  if (problems.length > 0) throw new InjectError("bad-annotation", problems.join("; "));
  if (leftAlone(pod) !== undefined) return pod;
  const spec = asObject(pod["spec"]) ?? {};
  const before = asObjects(spec["initContainers"]);
  // Of the containers that end before the others start, none can be asked anything.
  const lasting = before.map((container) => container["restartPolicy"] === "Always" && container["name"] !== proxyContainerName);
  const containers = asObjects(spec["containers"]);
  const rewritten = rewriteProbes([...containers, ...before.filter((_, index) => lasting[index])]);
  const sidecars = rewritten.containers.slice(containers.length).values();
  const others = before.map((container, index) => (lasting[index] ? (sidecars.next().value ?? container) : container));
  const facts: PodFacts = { annotations, settings, probes: rewritten.probes };
  const rest = { ...spec, containers: withFarewell(spec, rewritten.containers.slice(0, containers.length)) };
  if (before.some(({ name }) => name === proxyContainerName)) {
    return { ...pod, spec: { ...rest, initContainers: others.map((container) => withProbes(container, rewritten.probes)) } };
  }
  const added = (template: Parameters<typeof evaluateTemplate>[0]) => evaluateTemplate(template, facts);
  return {
    ...pod,
    metadata: withScrapeAnnotations(asObject(pod["metadata"]) ?? {}),
    spec: {
      ...rest,
      initContainers: [added(initContainer), added(proxyContainer), ...others],
      volumes: [...asObjects(spec["volumes"]), ...volumes.map(added)],
    },
  };
}

function withProbes(container: JsonObject, probes: string): JsonObject {
  if (container["name"] !== proxyContainerName) return container;
  const env = asObjects(container["env"]).map((each): Json => (each["name"] === probesVariable ? { ...each, value: probes } : each));
  return { ...container, env };
}

function withScrapeAnnotations(metadata: JsonObject): JsonObject {
  const annotations = asObject(metadata["annotations"]) ?? {};
  if (Object.keys(annotations).some((name) => name in scrapeAnnotations)) return metadata;
  return { ...metadata, annotations: { ...annotations, ...scrapeAnnotations } };
}

function annotationsOf(pod: PodLike): ReadonlyMap<string, string> {
  return new Map(Object.entries(asObject(asObject(pod["metadata"])?.["annotations"]) ?? {}).map(([name, value]) => [name, asText(value)]));
}

/** A sentence for each annotation of ours that makes no sense; the guard in the cluster has the same. */
function annotationProblems(annotations: ReadonlyMap<string, string>): readonly string[] {
  const known = new Set(podAnnotations.map(({ annotation }) => annotation));
  const unknown = [...annotations.keys()].filter((name) => name.startsWith(annotationPrefix) && !known.has(name));
  const strange = unknown.map((name) => `annotation ${name}: there is none of that name; those of a pod are ${[...known].join(", ")}`);
  const wrong = podAnnotations.flatMap(({ annotation, expected, isValid }) => {
    const value = annotations.get(annotation);
    return value === undefined || isValid(value) ? [] : [`annotation ${annotation}: expected ${expected}, found ${JSON.stringify(value)}`];
  });
  return [...wrong, ...strange];
}
