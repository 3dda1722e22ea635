/** Pods as far as they say why they do not run. Fields are those of https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/. */
import { z } from "zod";

const optionalText = z.string().default("");
const terminated = z.object({ exitCode: z.int(), reason: optionalText, message: optionalText });
const stateOfContainer = z.object({
  waiting: z.object({ reason: optionalText, message: optionalText }).optional(),
  running: z.object({}).optional(),
  terminated: terminated.optional(),
});
const containerStatus = z.object({
  name: z.string(),
  ready: z.boolean(),
  restartCount: z.int().default(0),
  state: stateOfContainer.prefault({}),
  lastState: stateOfContainer.prefault({}),
});
const container = z.object({ name: z.string(), image: optionalText, restartPolicy: z.string().optional() });
const pod = z.object({
  metadata: z.object({
    name: z.string(),
    namespace: optionalText,
    labels: z.record(z.string(), z.string()).default({}),
    annotations: z.record(z.string(), z.string()).default({}),
    deletionTimestamp: z.string().optional(),
  }),
  spec: z.object({
    hostNetwork: z.boolean().default(false),
    initContainers: z.array(container).default([]),
    containers: z.array(container).default([]),
  }),
  status: z
    .object({
      phase: z.string().default("Pending"),
      reason: optionalText,
      message: optionalText,
      conditions: z.array(z.object({ type: z.string(), status: z.string(), reason: optionalText, message: optionalText })).default([]),
      initContainerStatuses: z.array(containerStatus).default([]),
      containerStatuses: z.array(containerStatus).default([]),
    })
    .prefault({}),
});
export type Pod = z.infer<typeof pod>;
/** Throws ZodError for what is no pod. */
export const podFromApi = (value: unknown): Pod => pod.parse(value);

const event = z.object({
  type: optionalText,
  reason: optionalText,
  message: optionalText,
  involvedObject: z.object({ kind: optionalText, name: optionalText }).prefault({}),
  lastTimestamp: z.string().nullish(),
  eventTime: z.string().nullish(),
});
export type ClusterEvent = z.infer<typeof event>;
/** Throws ZodError for what is no event. */
export const eventFromApi = (value: unknown): ClusterEvent => event.parse(value);

export function timeOf({ lastTimestamp, eventTime }: ClusterEvent): number {
  return Date.parse(lastTimestamp ?? eventTime ?? "") || 0;
}

export interface Trouble {
  /** The word that Kubernetes has for it, such as ImagePullBackOff; `NotReady` for what runs and is not ready. */
  readonly reason: string;
  readonly message: string;
  readonly container?: string;
  /** It has run, and ended: its log says why. */
  readonly ended: boolean;
}

/** Waiting, but not for long: these say nothing of a trouble. */
const passing = ["PodInitializing", "ContainerCreating", ""];

/** Why it is not ready, by its status and what was told of it last; undefined where it is ready, or done. */
export function troubleOf(pod: Pod, events: readonly ClusterEvent[]): Trouble | undefined {
  const { status, metadata } = pod;
  if (status.phase === "Succeeded" || isReady(pod)) return undefined;
  const unscheduled = status.conditions.find(({ type, status: is }) => type === "PodScheduled" && is === "False");
  if (unscheduled !== undefined) return { reason: unscheduled.reason, message: unscheduled.message, ended: false };
  const states = [...status.initContainerStatuses, ...status.containerStatuses];
  for (const { name, state, lastState } of states) {
    const { waiting } = state;
    if (waiting !== undefined && !passing.includes(waiting.reason)) {
      const last = lastState.terminated;
      const message =
        last === undefined ? waiting.message : `it ended with ${last.exitCode}${last.message === "" ? "" : `: ${last.message.trim()}`}`;
      return { reason: waiting.reason, message, container: name, ended: last !== undefined };
    }
    if (state.terminated !== undefined && state.terminated.exitCode !== 0) {
      const { exitCode, reason, message } = state.terminated;
      const said = message === "" ? "" : `: ${message.trim()}`;
      return { reason: reason || "Error", message: `it ended with ${exitCode}${said}`, container: name, ended: true };
    }
  }
  if (status.phase === "Failed") return { reason: status.reason || "Failed", message: status.message, ended: false };
  const told = events
    .filter(({ involvedObject }) => involvedObject.kind === "Pod" && involvedObject.name === metadata.name)
    .filter(({ type, reason }) => type === "Warning" || reason === "Pulling" || reason === "Pulled")
    .sort((a, b) => timeOf(b) - timeOf(a))
    .at(0);
  const pending = states.find(({ state, ready }) => !ready && state.terminated === undefined);
  // Pulling takes as long as a registry lets one wait, and nothing else is said meanwhile.
  if (told !== undefined && told.reason !== "Pulled") {
    return { reason: told.reason, message: told.message, ended: false, ...(pending !== undefined && { container: pending.name }) };
  }
  if (pending === undefined) return { reason: status.phase, message: "", ended: false };
  const reason = pending.state.waiting?.reason || "NotReady";
  return { reason, message: "", container: pending.name, ended: false };
}

export function isReady({ status }: Pod): boolean {
  return status.conditions.some(({ type, status: is }) => type === "Ready" && is === "True");
}

/** One line, such as `ImagePullBackOff of control-plane: no such image`. */
export function textOfTrouble({ reason, message, container }: Trouble): string {
  const text = message.replaceAll(/\s+/g, " ").trim();
  return `${reason}${container === undefined ? "" : ` of ${container}`}${text === "" ? "" : `: ${text}`}`;
}
