/**
 * Who still calls without the mesh: what has to be known before a port stops taking plaintext. Bounded; when it is full, those
 * seen longest ago make room.
 */
import { Counter, type Registry } from "prom-client";

export interface PlaintextCaller {
  /** IP address it came from. */
  readonly address: string;
  readonly service: string;
  readonly port: number;
  readonly calls: number;
  /** Epoch milliseconds. */
  readonly firstAt: number;
  readonly lastAt: number;
}

export interface PlaintextCallers {
  /** A call, or a connection of what is not HTTP, that was taken in plaintext. */
  seen(address: string, service: string, port: number): void;
  /** Latest last. */
  list(): PlaintextCaller[];
}

const capacity = 1024;

export function createPlaintextCallers(registry: Registry, now: () => number): PlaintextCallers {
  const counter = new Counter({
    name: "countersign_inbound_plaintext_total",
    help: "Calls, or connections of what is not HTTP, that a permissive port took in plaintext",
    labelNames: ["service", "port"],
    registers: [registry],
  });
  const callers = new Map<string, PlaintextCaller>();

  return {
    seen(address, service, port) {
      counter.labels(service, String(port)).inc();
      const key = `${address} ${service} ${port}`;
      const known = callers.get(key);
      const at = now();
      callers.delete(key);
      callers.set(key, { address, service, port, calls: (known?.calls ?? 0) + 1, firstAt: known?.firstAt ?? at, lastAt: at });
      if (callers.size > capacity) {
        for (const oldest of callers.keys()) {
          callers.delete(oldest);
          break;
        }
      }
    },
    list: () => [...callers.values()],
  };
}
