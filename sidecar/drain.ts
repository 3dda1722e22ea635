/**
 * How a sidecar ends, so that no call is lost. In this order:
 *
 * 1. It leaves the registry: its Watch stream has ended when this begins, and callers' sidecars are told of it.
 * 2. It goes on as ever until they know: those that do let go of their connections. One that does not know yet would meet a closed
 *    port, and might know of no other instance.
 * 3. It takes no new calls from the mesh, and answers those it has.
 * 4. The application's own calls end last, because those of the mesh may need them.
 *
 * A kubelet ends a native sidecar after the pod's other containers. What it has then is mostly idle connections, so that all of it
 * takes half a second, and no time where nothing is served, as in a Job. Where the grace period is short, or nothing orders the
 * ends (systemd, `countersign up`), the application is told at the same time, and finishes through its sidecar. No hook is needed.
 */
import { wait, type Clock } from "../common/runtime/clock.ts";

/** One direction of a sidecar. */
export interface Drained {
  readonly listener: {
    drain(deadlineMs: number): void;
  };
  idle(deadlineMs: number): Promise<void>;
}

export interface DrainOptions {
  readonly inbound: Drained & { readonly listener: { vacant(deadlineMs: number): Promise<void> } };
  readonly outbound: Drained;
  /** Whether anybody may know this instance as one to call. */
  readonly serves: boolean;
  /** For all of it. */
  readonly deadlineMs: number;
  readonly clock: Clock;
}

/** Until a caller's sidecar that has no connection yet has heard. */
const newsMs = 500;
/** Until those that have one have let go of it; longer only where calls last. */
const farewellMs = 5000;

/** Resolves when both sides are idle, or after the deadline. */
export async function drain({ inbound, outbound, serves, deadlineMs, clock }: DrainOptions): Promise<void> {
  const end = clock.now() + deadlineMs;
  const left = () => Math.max(0, end - clock.now());
  const farewellEnd = clock.now() + Math.min(farewellMs, deadlineMs / 4);
  if (serves) {
    await wait(clock, Math.min(newsMs, deadlineMs / 4), new AbortController().signal);
    await inbound.listener.vacant(Math.max(0, farewellEnd - clock.now()));
  }
  inbound.listener.drain(left());
  await inbound.idle(left());
  outbound.listener.drain(left());
  await outbound.idle(left());
}
