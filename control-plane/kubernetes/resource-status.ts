/** The status of a custom resource: whether the mesh has accepted it, and whether every connected sidecar goes by it. */
import type { Condition, CustomResource } from "./custom-resource.ts";
import type { Verdict } from "./plan-resources.ts";

/** How many sidecars are connected, and how many of them hold what the present state says. */
export interface Holders {
  readonly connected: number;
  readonly holding: number;
}

const maxMessageCharacters = 4000;

/** The status to be written; undefined where the one there says the same. A pure function. */
export function nextStatus(options: {
  readonly object: CustomResource;
  readonly verdict: Verdict;
  /** Revision at which the resource came into the mesh's state as it is; undefined where it is not. */
  readonly revision: number | undefined;
  readonly holders: Holders;
  readonly now: number;
}): object | undefined {
  const { object, verdict, revision, holders, now } = options;
  const { generation } = object;
  const time = new Date(Math.floor(now / 1000) * 1000).toISOString().replace(".000Z", "Z");
  const make = (type: Condition["type"], is: boolean, reason: string, message: string): Condition => {
    const status = is ? "True" : "False";
    const before = object.conditions.find((each) => each.type === type);
    const lastTransitionTime = before?.status === status ? before.lastTransitionTime : time;
    return { type, status, observedGeneration: generation, lastTransitionTime, reason, message: message.slice(0, maxMessageCharacters) };
  };
  const isEnforced = object.conditions.some(
    (each) => each.type === "Enforced" && each.status === "True" && each.observedGeneration === generation,
  );
  // Once held, always held: a sidecar that comes later is told all there is, and other changes are not this one's.
  if (verdict.accepted && isEnforced) return undefined;
  const conditions = verdict.accepted
    ? [make("Accepted", true, "Accepted", "part of the mesh"), enforced(make, holders)]
    : [
        make("Accepted", false, verdict.reason, verdict.message),
        make("Enforced", false, "NotAccepted", "this version is not part of the mesh; what was accepted before it stays in force"),
      ];
  if (conditions.every((each) => isSaid(each, object.conditions))) return undefined;
  return { observedGeneration: generation, ...(revision === undefined || !verdict.accepted ? {} : { revision }), conditions };
}

function enforced(
  make: (type: Condition["type"], is: boolean, reason: string, message: string) => Condition,
  { connected, holding }: Holders,
): Condition {
  const sidecars = connected === 1 ? "1 sidecar" : `${connected} sidecars`;
  if (holding < connected) return make("Enforced", false, "Distributing", `held by ${holding} of ${sidecars}`);
  return make("Enforced", true, "Enforced", connected === 0 ? "no sidecar is connected" : `held by all of ${sidecars}`);
}

/** Numbers alone are no news: they change with every pod that comes and goes. */
function isSaid(wanted: Condition, present: readonly Condition[]): boolean {
  const found = present.find(({ type }) => type === wanted.type);
  if (found === undefined || found.status !== wanted.status || found.observedGeneration !== wanted.observedGeneration) return false;
  return found.reason === wanted.reason && (wanted.type === "Enforced" || found.message === wanted.message);
}
