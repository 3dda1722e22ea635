/**
 * What becomes of a call whose try failed: it goes to another endpoint, or waits a moment to hear of one, where the whole of the other
 * sidecar is out of reach. In a rollout the only instance that was known may be gone before the news of the next has come.
 *
 * A call that waits goes on with the first snapshot that names an endpoint it has not failed at; otherwise it fails as it would have.
 */
import { performance } from "node:perf_hooks";
import type { Clock } from "../../common/runtime/clock.ts";
import type { Reason } from "../reason.ts";
import type { OutboundCall } from "./call.ts";
import type { Destination, Destinations, Endpoint } from "./destinations.ts";
import type { TrafficManager } from "./traffic/manager.ts";
import type { TryFailure } from "./traffic/retry.ts";

/** What the application is told where nothing else can be done. */
export interface Blame {
  readonly reason: Reason;
  readonly detail: string;
}

/**
 * False when the call may not go again. Otherwise it is on its way, or waits, and what comes on its old stream is not for it. `event`: the
 * lost connection, or that there was none.
 */
export type Again = (call: OutboundCall, failure: TryFailure, blame: Blame, event?: object) => boolean;

export interface AgainOptions {
  readonly destinations: () => Destinations;
  readonly traffic: TrafficManager<Endpoint, OutboundCall>;
  readonly schedule: Clock["schedule"];
  readonly route: (call: OutboundCall, destination: Destination, now: number) => void;
  readonly fail: (call: OutboundCall, reason: Reason, detail: string) => void;
}

/** How long news may take: from a pod that is ready to a sidecar that knows it. */
const newsMs = 2000;

export function createAgain({ destinations, traffic, schedule, route, fail }: AgainOptions): {
  readonly again: Again;
  /** A snapshot came. */
  readonly news: () => void;
} {
  const waiting = new Map<OutboundCall, { readonly failure: TryFailure; readonly cancel: () => void }>();

  function start(call: OutboundCall, destination: Destination, now: number): void {
    call.stream = undefined;
    call.chunks = undefined;
    call.bodySent = false;
    route(call, destination, now);
  }

  function wait(call: OutboundCall, failure: TryFailure, destination: Destination, { reason, detail }: Blame): boolean {
    if (!traffic.mayWait(call, failure) || !traffic.hold(call, destination)) return false;
    call.stream = undefined;
    const cancel = schedule(newsMs, () => {
      waiting.delete(call);
      traffic.unhold(call);
      fail(call, reason, detail);
    });
    waiting.set(call, { failure, cancel });
    return true;
  }

  /** As the last snapshot has it, which may be a later one than the call began with. */
  function presentOf({ destination }: OutboundCall): Destination | undefined {
    return destination && (destinations().byScope.get(destination.scope) ?? destination);
  }

  return {
    again(call, failure, blame, event) {
      const destination = presentOf(call);
      if (!destination) return false;
      call.destination = destination;
      const now = performance.now();
      if (!traffic.failed(call, failure, now, event)) return event !== undefined && wait(call, failure, destination, blame);
      start(call, destination, now);
      return true;
    },
    news() {
      const now = performance.now();
      for (const [call, { failure, cancel }] of waiting) {
        const destination = presentOf(call);
        if (!call.done && destination) {
          call.destination = destination;
          if (!traffic.goesAgain(call, failure, now)) continue;
        }
        waiting.delete(call);
        cancel();
        if (call.done || !destination) continue;
        traffic.unhold(call);
        start(call, destination, now);
      }
    },
  };
}
