/** Work that one process of many does: whoever holds the lease. */
import { wait } from "../../common/runtime/clock.ts";
import type { Clock } from "../../common/runtime/clock.ts";
import type { Logger } from "../../common/runtime/logger.ts";
import { runTasks } from "../../common/runtime/tasks.ts";
import { StoreError } from "../store/error.ts";
import type { Lease, Store } from "../store/store.ts";

const timeToLiveMilliseconds = 15_000;
const renewMilliseconds = 5000;

/**
 * Runs `lead` while the lease is held, and waits for it otherwise, until the signal aborts. `lead` is aborted when the lease is
 * lost; what it writes under the lease fails from then on in any case.
 */
export async function whileLeading(options: {
  readonly store: Store;
  readonly name: string;
  readonly lead: (lease: Lease, signal: AbortSignal) => Promise<void>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}): Promise<void> {
  const { store, name, lead, clock, logger, signal } = options;
  while (!signal.aborted) {
    const lease = await acquire();
    if (lease !== undefined) {
      try {
        await runTasks(
          [
            { name: "lease", run: (ending) => renew(lease, ending) },
            { name, run: (ending) => lead(lease, ending) },
          ],
          signal,
        );
      } catch (error) {
        logger.warn({ err: error, lease: name }, "the lease was lost, or the work under it failed; another may take it");
      } finally {
        await lease.release().catch(() => undefined);
      }
    }
    if (!signal.aborted) await wait(clock, renewMilliseconds, signal);
  }

  async function acquire(): Promise<Lease | undefined> {
    try {
      const lease = await store.acquireLease(name, timeToLiveMilliseconds);
      if (lease !== undefined) logger.info({ lease: name, holder: lease.token }, "leading");
      return lease;
    } catch (error) {
      if (error instanceof StoreError && error.code === "store-closed") throw error;
      logger.warn({ err: error, lease: name }, "the lease could not be asked for; trying again");
      return undefined;
    }
  }

  async function renew(lease: Lease, ending: AbortSignal): Promise<void> {
    for (;;) {
      await wait(clock, renewMilliseconds, ending);
      await lease.renew();
    }
  }
}
