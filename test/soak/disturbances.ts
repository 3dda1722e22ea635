/** What happens to the mesh while it is used. Each goes on for itself; only the control plane is not asked for anything while it is away. */
import { setTimeout as delay } from "node:timers/promises";
import type { GateHistory } from "./gate-history.ts";
import type { Sidecar, SoakMesh } from "./mesh.ts";
import { gateResources, type GateState } from "./resources.ts";

export interface Disturbances {
  readonly flips: number;
  readonly receiverRestarts: number;
  readonly planeRestarts: number;
}

export interface Disturber {
  counts(): Disturbances;
  /** Until `stop`, and until what has begun is over. Rejects when a part does not come back. */
  run(stop: AbortSignal): Promise<void>;
}

const flipEveryMs = 2000;
const receiverEveryMs = 12_000;
const planeEveryMs = 20_000;
const planeDownMs = 2000;
/** A change is at every receiver by then, or the mesh has failed. */
const spreadMs = 15_000;
const pollMs = 20;

/** Open every other time, so that both ways of refusing are entered and left. */
const cycle: readonly GateState[] = ["denied", "open", "not-allowed", "open"];

interface ConfigView {
  readonly revision: number;
}

async function revisionOf({ admin }: Sidecar): Promise<number> {
  const response = await fetch(`http://${admin}/config`);
  return ((await response.json()) as ConfigView).revision;
}

export function createDisturber(mesh: SoakMesh, history: GateHistory, httpPort: number, now: () => number): Disturber {
  let receiverRestarts = 0;
  let planeRestarts = 0;
  let planeInUse: Promise<unknown> = Promise.resolve();

  /** One at a time. */
  function withPlane<T>(work: () => Promise<T>): Promise<T> {
    const turn = planeInUse.then(work);
    planeInUse = turn.catch(() => undefined);
    return turn;
  }

  /** Until everybody who is up has that revision; who comes up later has it from the beginning. */
  async function untilEverywhere(revision: number): Promise<void> {
    const deadline = now() + spreadMs;
    for (;;) {
      const receivers = mesh.receivers();
      const reached = await Promise.all(receivers.map((sidecar) => revisionOf(sidecar).catch(() => 0)));
      const missing = receivers.filter((sidecar, index) => (reached[index] ?? 0) < revision && mesh.receivers().includes(sidecar));
      if (missing.length === 0) return;
      if (now() > deadline) throw new Error(`${missing.map(({ name }) => name).join(", ")} never had revision ${revision}`);
      await delay(pollMs);
    }
  }

  async function flip(state: GateState): Promise<void> {
    await withPlane(async () => {
      history.requested(state, now());
      history.stored(await mesh.apply(gateResources(state, httpPort)));
      await untilEverywhere(history.latestRevision());
      history.confirmed(now());
    });
  }

  async function every(milliseconds: number, stop: AbortSignal, work: (round: number) => Promise<void>): Promise<void> {
    for (let round = 0; ; round++) {
      await delay(milliseconds, undefined, { signal: stop }).catch(() => undefined);
      if (stop.aborted) return;
      await work(round);
    }
  }

  return {
    counts: () => ({ flips: history.count(), receiverRestarts, planeRestarts }),
    async run(stop) {
      await Promise.all([
        every(flipEveryMs, stop, (round) => flip(cycle[round % cycle.length] ?? "open")),
        every(receiverEveryMs, stop, async () => {
          await mesh.restartReceiver(await withPlane(() => mesh.joinToken()));
          receiverRestarts++;
        }),
        every(planeEveryMs, stop, async (round) => {
          await withPlane(() => mesh.restartControlPlane(round % 2 === 0 ? "SIGKILL" : "SIGTERM", planeDownMs));
          planeRestarts++;
        }),
      ]);
    },
  };
}
