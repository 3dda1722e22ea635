/**
 * How many calls of one service may be with its application at once. One over that is refused before it is forwarded, so
 * that an application that has become slow is not buried under what it will never get to. Hot path: a look-up and an addition.
 */

/** The calls of one service that are under way. */
export interface ConcurrencySlot {
  active: number;
}

export interface Concurrency {
  /** Counts a call in; undefined where the service has as many as it may. `limit` 0 is none. */
  enter(scope: string, limit: number): ConcurrencySlot | undefined;
  /** Services by their scope, with the calls under way. */
  active(): ReadonlyMap<string, ConcurrencySlot>;
}

export function createConcurrency(): Concurrency {
  const slots = new Map<string, ConcurrencySlot>();
  return {
    enter(scope, limit) {
      let slot = slots.get(scope);
      if (!slot) {
        slot = { active: 0 };
        slots.set(scope, slot);
      }
      if (limit > 0 && slot.active >= limit) return undefined;
      slot.active++;
      return slot;
    },
    active: () => slots,
  };
}

/** Counts a call out; to be called once for each that `enter` let in. */
export function leave(slot: ConcurrencySlot): void {
  slot.active--;
}
