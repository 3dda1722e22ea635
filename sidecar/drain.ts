/**
 * How a sidecar ends, so that no call is lost. In this order:
 *
 * 1. It leaves the registry: its Watch stream has ended when this begins, and callers' sidecars are told of it.
 * 2. It goes on as ever until they know: those that do let go of their connections. One that does not know yet would meet a closed
 *    port, and might know of no other instance.
 * 3. It takes no new calls from the mesh, and answers those it has.
 * 4. The application's own calls end last, because those of the mesh may need them.
 *
 * A kubelet ends a native sidecar after the pod's other containers, and those once their preStop hook is over, which is this sidecar's
 * `takeLeave`: the application hears of its end when nobody calls it any more. What the sidecar has after that is mostly idle
 * connections, so that all of it takes half a second, and no time where nothing is served, as in a Job. Where nothing orders the ends
 * (systemd, `countersign up`), the application is told at the same time, and finishes through its sidecar.
 */
import { wait, type Clock } from "../common/runtime/clock.ts";

/** One direction of a sidecar. */
export interface Drained {
  readonly listener: {
    drain(deadlineMs: number): void;
  };
  idle(deadlineMs: number): Promise<void>;
}

export interface LeaveOptions {
  readonly inbound: { readonly listener: { vacant(deadlineMs: number): Promise<void> } };
  /** Whether anybody may know this instance as one to call. */
  readonly serves: boolean;
  /** Whether the mesh was told of this instance, as far as this sidecar has heard. Of one that hears nothing any more, false. */
  readonly listed: () => boolean;
  /** For all of it. */
  readonly deadlineMs: number;
  readonly clock: Clock;
}

export interface DrainOptions extends LeaveOptions {
  readonly inbound: Drained & LeaveOptions["inbound"];
  readonly outbound: Drained;
}

/** Until this instance is taken off the list of those to be called. */
const listedMs = 2000;
const lookMs = 50;
/** Until a caller's sidecar that has no connection yet has heard. */
const newsMs = 500;
/** Until those that have one have let go of it; longer only where calls last. */
const farewellMs = 5000;

/**
 * Resolves when the callers' sidecars have had time to hear that this instance ends, and have let go of it, or after a quarter of the
 * deadline. Changes nothing: whoever comes meanwhile is served, so that it does no harm where nothing ends.
 */
export async function takeLeave({ inbound, serves, listed, deadlineMs, clock }: LeaveOptions): Promise<void> {
  if (!serves) return;
  const end = clock.now() + Math.min(farewellMs, deadlineMs / 4);
  const { signal } = new AbortController();
  // The only instance there is stays listed: better an ending one than none.
  const listedEnd = clock.now() + Math.min(listedMs, deadlineMs / 8);
  while (listed() && clock.now() < listedEnd) await wait(clock, lookMs, signal);
  await wait(clock, Math.min(newsMs, Math.max(0, end - clock.now())), signal);
  await inbound.listener.vacant(Math.max(0, end - clock.now()));
}

/** Resolves when both sides are idle, or after the deadline. */
export async function drain(options: DrainOptions): Promise<void> {
  const { inbound, outbound, deadlineMs, clock } = options;
  const end = clock.now() + deadlineMs;
  const left = () => Math.max(0, end - clock.now());
  await takeLeave(options);
  inbound.listener.drain(left());
  await inbound.idle(left());
  outbound.listener.drain(left());
  await outbound.idle(left());
}
