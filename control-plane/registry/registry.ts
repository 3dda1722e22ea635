/**
 * Which sidecars can be reached. A sidecar is registered while its Watch stream is open. An orderly end of the stream takes
 * it off at once; a lost connection, or a restart of the control plane, leaves it for a grace period in which it may come
 * back, so that trouble between a sidecar and the control plane is no trouble between sidecars.
 *
 * One control plane owns the registrations of a store: at its start it takes over those that it finds.
 */
import type { Clock } from "../../common/runtime/clock.ts";
import type { Logger } from "../../common/runtime/logger.ts";
import type { Store } from "../store/store.ts";
import { endpointKey, endpointToBytes } from "./endpoint.ts";
import type { RegisteredEndpoint } from "./endpoint.ts";

export const restartGraceMilliseconds = 60_000;
export const lostGraceMilliseconds = 10_000;

export interface Registration {
  /** `ended`: the sidecar said goodbye. `lost`: its connection broke. Only the last registration of an instance counts. */
  readonly leave: (how: "ended" | "lost") => Promise<void>;
}

export interface Registry {
  /** Resolves when the endpoint is in the store. */
  readonly join: (endpoint: RegisteredEndpoint) => Promise<Registration>;
  /** Forgets all timers and touches nothing: the next process takes over. */
  readonly close: () => void;
}

/** `found` is what the store holds at the start. */
export function createRegistry(options: {
  readonly store: Store;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly found: readonly RegisteredEndpoint[];
}): Registry {
  const { store, clock, logger } = options;
  /** Who may take a key off: the last to have joined, by identity. */
  const owners = new Map<string, symbol>();
  const timers = new Map<string, () => void>();
  let closed = false;

  async function remove(key: string, owner: symbol): Promise<void> {
    if (closed || owners.get(key) !== owner) return;
    try {
      await store.delete(key);
      if (owners.get(key) === owner) owners.delete(key);
    } catch (error) {
      logger.error({ err: error, key }, "an endpoint could not be taken off; trying again");
      removeAfter(key, owner, lostGraceMilliseconds);
    }
  }

  function removeAfter(key: string, owner: symbol, milliseconds: number): void {
    timers.get(key)?.();
    const cancel = clock.schedule(milliseconds, () => {
      timers.delete(key);
      void remove(key, owner);
    });
    timers.set(key, cancel);
  }

  for (const { spiffeId, instance } of options.found) {
    const key = endpointKey(spiffeId, instance);
    const owner = Symbol("found");
    owners.set(key, owner);
    removeAfter(key, owner, restartGraceMilliseconds);
  }

  return {
    async join(endpoint) {
      const key = endpointKey(endpoint.spiffeId, endpoint.instance);
      const owner = Symbol("joined");
      owners.set(key, owner);
      timers.get(key)?.();
      timers.delete(key);
      const value = endpointToBytes(endpoint);
      const present = await store.get(key);
      // A sidecar that comes back as it was changes nothing, and wakes nobody.
      if (present === undefined || !Buffer.from(value).equals(present.value)) await store.put(key, value);
      return {
        async leave(how) {
          if (closed || owners.get(key) !== owner) return;
          if (how === "ended") await remove(key, owner);
          else removeAfter(key, owner, lostGraceMilliseconds);
        },
      };
    },
    close() {
      closed = true;
      for (const cancel of timers.values()) cancel();
      timers.clear();
    },
  };
}
