/** Leases within one process. Tokens are kept in the file, so that they rise across restarts. */
import type { DatabaseSync } from "node:sqlite";
import { StoreError } from "./error.ts";
import type { Lease } from "./store.ts";

export interface Leases {
  /** Undefined while another holds it. */
  readonly acquire: (name: string, timeToLiveMilliseconds: number) => Lease | undefined;
  /** Throws StoreError `lease-lost` unless the lease is held at this moment. */
  readonly check: (lease: Lease) => void;
}

/** `monotonicNow` in milliseconds from any start. */
export function createLeases(database: DatabaseSync, monotonicNow: () => number): Leases {
  const held = new Map<string, { readonly token: number; expiresAt: number }>();
  const nextToken = database.prepare("INSERT INTO leases VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET token = token + 1 RETURNING token");

  const holdingOf = ({ name, token }: { name: string; token: number }) => {
    const holding = held.get(name);
    return holding?.token === token && monotonicNow() < holding.expiresAt ? holding : undefined;
  };
  const check = (lease: { name: string; token: number }) => {
    const holding = holdingOf(lease);
    if (holding === undefined) throw new StoreError("lease-lost", `the lease ${lease.name} is no longer held`);
    return holding;
  };

  return {
    acquire(name, timeToLiveMilliseconds) {
      const present = held.get(name);
      if (present !== undefined && holdingOf({ name, token: present.token }) !== undefined) return undefined;
      const token = nextToken.get(name)!["token"] as number;
      held.set(name, { token, expiresAt: monotonicNow() + timeToLiveMilliseconds });
      return {
        name,
        token,
        async renew() {
          check({ name, token }).expiresAt = monotonicNow() + timeToLiveMilliseconds;
        },
        async release() {
          if (held.get(name)?.token === token) held.delete(name);
        },
      };
    },
    check,
  };
}
