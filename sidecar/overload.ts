/**
 * Whether this process can take more. New requests are refused before memory runs out or the event loop falls behind, because
 * a process that is killed loses every call it has; later ones fewer. It looks a few times a second and remembers, so that
 * asking costs nothing.
 *
 * What is refused and what is relieved have different marks (hysteresis): at the limit it would otherwise change its mind with
 * every sample.
 */
import { Gauge, type Registry } from "prom-client";
import { wait, type Clock } from "../common/runtime/clock.ts";
import type { Logger } from "../common/runtime/logger.ts";

export interface Overload {
  /** New requests are to be refused (503 `overloaded`, `retry-after`). */
  readonly shedding: () => boolean;
  /** New connections are to be taken; false is worse than shedding. */
  readonly accepting: () => boolean;
  /** Looks until the signal aborts, and then rejects with its reason. */
  watchForever(signal: AbortSignal): Promise<void>;
}

/** Bytes in use and bytes there are; a limit of 0 is none. */
export interface MemoryUse {
  readonly used: number;
  readonly limit: number;
}

export interface OverloadOptions {
  /** Each kind of memory that can run out. */
  readonly memory: () => readonly MemoryUse[];
  /** Ms of a clock that never goes back. */
  readonly monotonic: () => number;
  readonly clock: Clock;
  readonly registry: Registry;
  readonly log: Logger;
}

/** Shares of the limit. */
const shedAt = 0.9;
const shedUntil = 0.85;
const closeAt = 0.95;
const closeUntil = 0.9;
/** How late the event loop may be. A single late turn is a pause (garbage, a suspended machine), several in a row are load. */
const lateAtMs = 500;
const lateUntilMs = 200;
const lateTurns = 3;
const intervalMs = 250;

export function createOverload(options: OverloadOptions): Overload {
  const { clock, monotonic, log, registry } = options;
  let fullness = 0;
  let lagMs = 0;
  let late = 0;
  let lagging = false;
  let shedding = false;
  let closed = false;

  for (const [name, help, read] of [
    ["countersign_overload_shedding", "Whether new requests are refused because memory or time runs out", () => (shedding ? 1 : 0)],
    ["countersign_overload_accepting", "Whether new connections are taken", () => (closed ? 0 : 1)],
    ["countersign_overload_memory_ratio", "The fullest kind of memory, as a share of its limit", () => fullness],
    ["countersign_overload_lag_seconds", "How late the event loop was when it was last looked at", () => lagMs / 1000],
  ] as const) {
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        this.set(read());
      },
    });
  }

  function look(): void {
    fullness = 0;
    for (const { used, limit } of options.memory()) if (limit > 0) fullness = Math.max(fullness, used / limit);
    late = lagMs >= lateAtMs ? late + 1 : 0;
    lagging = lagging ? lagMs >= lateUntilMs : late >= lateTurns;
    closed = fullness >= (closed ? closeUntil : closeAt);
    const before = shedding;
    shedding = lagging || closed || fullness >= (shedding ? shedUntil : shedAt);
    if (shedding === before) return;
    const state = { memory: Math.round(fullness * 100) / 100, lagMs: Math.round(lagMs) };
    if (shedding) log.warn({ event: "shedding", ...state }, "overloaded: new requests are refused");
    else log.info({ event: "relieved", ...state }, "new requests are taken again");
  }

  return {
    shedding: () => shedding,
    accepting: () => !closed,
    async watchForever(signal) {
      for (;;) {
        look();
        const due = monotonic() + intervalMs;
        await wait(clock, intervalMs, signal);
        lagMs = Math.max(0, monotonic() - due);
      }
    },
  };
}
