/**
 * Step one of an outbound call: the application's connections. Those that were redirected say where they were going, others
 * take this for a proxy. What a connection speaks is what its port declares, or shows in its first bytes; the rest is for the
 * front of that protocol.
 */
import { createServer, type Server, type Socket } from "node:net";
import { Counter, type Registry } from "prom-client";
import { untilClosed } from "../../common/runtime/listen.ts";
import { createOriginalDestination, type InterceptMode } from "../intercept/original-destination.ts";
import type { OutboundCall } from "./call.ts";
import { serveConnection, type ConnectionOptions, type ServedConnection } from "./connection.ts";
import { explicitOrigin } from "./origin.ts";

export interface OutboundListener {
  readonly server: Server;
  /** Those under way. */
  calls(visit: (call: OutboundCall) => void): void;
  /** No new connections or calls; those under way are answered, until the deadline. */
  drain(deadlineMs: number): void;
  destroy(): void;
  /** Resolves when every connection has ended, or after the deadline. */
  idle(deadlineMs: number): Promise<void>;
}

export interface OutboundListenerOptions extends Omit<ConnectionOptions, "detectionTimedOut"> {
  readonly intercept: InterceptMode;
  /** Whether this process has memory for another connection. */
  readonly accepting: () => boolean;
  readonly registry: Registry;
}

export function createOutboundListener(options: OutboundListenerOptions): OutboundListener {
  const refused = new Counter({
    name: "countersign_outbound_connections_refused_total",
    help: "Connections of the application that were closed at once: not redirected while interception is on, or no memory left",
    labelNames: ["reason"],
    registers: [options.registry],
  });
  const timeouts = new Counter({
    name: "countersign_outbound_detection_timeouts_total",
    help: "Connections that were silent for so long that they were taken for a protocol whose server speaks first; declare the port's protocol",
    registers: [options.registry],
  });
  const connectionOptions: ConnectionOptions = { ...options, detectionTimedOut: () => timeouts.inc() };
  const open = new Set<ServedConnection>();
  const server = createServer({ noDelay: true, keepAlive: true, allowHalfOpen: true }, accept);
  const originalOf = createOriginalDestination(options.intercept, "outbound", server);

  function accept(socket: Socket): void {
    if (!options.accepting()) {
      refuse(socket, "overloaded");
      return;
    }
    const address = originalOf(socket);
    if (!address && options.intercept !== "off") {
      // Whoever comes here by himself wants this process to connect to itself, or hides where he goes.
      refuse(socket, "not-redirected");
      return;
    }
    const connection = serveConnection(socket, address ? { address, inside: "tcp" } : explicitOrigin, connectionOptions);
    open.add(connection);
    socket.once("close", () => open.delete(connection));
  }

  function refuse(socket: Socket, reason: string): void {
    refused.labels(reason).inc();
    socket.destroy();
  }

  return {
    server,
    calls(visit) {
      for (const connection of open) connection.calls(visit);
    },
    drain(deadlineMs) {
      server.close();
      for (const connection of open) connection.drain(deadlineMs);
    },
    destroy() {
      for (const connection of open) connection.destroy();
    },
    idle: (deadlineMs) => untilClosed(server, deadlineMs),
  };
}
