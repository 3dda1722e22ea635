/**
 * A sidecar is ready when it can be called, and known to its callers a moment later, when the control plane has told them.
 * Programs are started after that, so that a first call finds its destination.
 */
import { setTimeout as delay } from "node:timers/promises";
import { request } from "undici";

/** What is needed of a running sidecar. */
export interface Acquaintance {
  /** `host:port` of its admin listener. */
  readonly admin: string;
  readonly spiffeId: string;
  readonly instance: string;
}

/** A destination, as `/clusters` shows it. */
interface Cluster {
  readonly identities: readonly string[];
  readonly endpoints: readonly { readonly instance: string }[];
}

const pollMs = 10;

/** Resolves when each knows every other one that it may call; rejects after `timeoutMs`, or with the signal's reason. */
export async function untilAcquainted(sidecars: readonly Acquaintance[], signal: AbortSignal, timeoutMs: number): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  for (const sidecar of sidecars) await untilKnows(sidecar, sidecars, signal, deadline - performance.now());
}

/** Resolves when one sidecar knows those of `others` that it may call. */
export async function untilKnows(
  sidecar: Acquaintance,
  others: readonly Acquaintance[],
  signal: AbortSignal,
  timeoutMs: number,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const response = await request(`http://${sidecar.admin}/clusters`, { signal });
    const clusters = (await response.body.json()) as Cluster[];
    const stranger = others.find((other) =>
      clusters.some(
        ({ identities, endpoints }) =>
          identities.includes(other.spiffeId) && !endpoints.some(({ instance }) => instance === other.instance),
      ),
    );
    if (!stranger) return;
    if (performance.now() > deadline) throw new Error(`${sidecar.spiffeId} has not heard of ${stranger.spiffeId}`);
    await delay(pollMs, undefined, { signal });
  }
}
