/**
 * The mesh port: TLS 1.3 only, hybrid key agreement first, no resumption, HTTP/2 by ALPN. Clients are asked for a
 * certificate; one that shows none gets in (a join token is all it may use), one that shows a bad one does not. The TLS
 * listener is ours, so that our own certificate can be replaced while connections go on; grpc-js is handed what it accepts.
 */
import { constants } from "node:crypto";
import { createServer } from "node:tls";
import type { SecureContextOptions, TLSSocket } from "node:tls";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import type { ServiceDefinition, UntypedServiceImplementation } from "@grpc/grpc-js";
import type { Address } from "../../common/runtime/environment.ts";
import type { Clock } from "../../common/runtime/clock.ts";
import type { Logger } from "../../common/runtime/logger.ts";
import type { Metrics } from "../metrics.ts";
import { listen } from "../../common/runtime/listen.ts";
import { reasonOf } from "./peer.ts";
import type { PeerRegister } from "./peer.ts";

export interface ServerIdentity {
  /** PEM, leaf first. */
  readonly certificateChain: string;
  /** PEM, PKCS#8. */
  readonly privateKey: string;
}

export interface GrpcListener {
  readonly address: Address;
  /** Accepts nothing more, lets calls finish for that long, then ends them. */
  readonly close: (graceMilliseconds: number) => Promise<void>;
}

export interface MeshListener extends GrpcListener {
  /** For connections from now on. */
  readonly setIdentity: (identity: ServerIdentity) => void;
}

export interface GrpcService {
  readonly definition: ServiceDefinition;
  readonly implementation: UntypedServiceImplementation;
}

const handshakeMilliseconds = 10_000;
const strangerMilliseconds = 60_000;

/** Nothing a sidecar sends is larger than a CSR, a session token and a policy together. */
const meshServerOptions = {
  "grpc.max_receive_message_length": 64 * 1024,
  "grpc.max_concurrent_streams": 100,
  "grpc.keepalive_time_ms": 20_000,
  "grpc.keepalive_timeout_ms": 10_000,
  "grpc.max_metadata_size": 16 * 1024,
} as const;

function secureContextOf(identity: ServerIdentity): SecureContextOptions {
  return {
    cert: identity.certificateChain,
    key: identity.privateKey,
    minVersion: "TLSv1.3",
    maxVersion: "TLSv1.3",
    ecdhCurve: "X25519MLKEM768:X25519:P-256",
    // Without tickets OpenSSL falls back to a session cache, and Node keeps none.
    secureOptions: constants.SSL_OP_NO_TICKET,
  };
}

/** Listens. Throws what `listen` throws. */
export async function openMeshListener(options: {
  readonly address: Address;
  readonly identity: ServerIdentity;
  readonly services: readonly GrpcService[];
  readonly peers: PeerRegister;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
}): Promise<MeshListener> {
  const { peers, clock, logger, metrics } = options;
  const grpc = new Server(meshServerOptions);
  for (const { definition, implementation } of options.services) grpc.addService(definition, implementation);
  const injector = grpc.createConnectionInjector(ServerCredentials.createInsecure());
  const connections = new Set<TLSSocket>();

  const refuse = (peer: string, reason: string, error?: unknown): void => {
    metrics.handshakesRefused.inc({ reason });
    logger.warn({ peer, reason, err: error }, "a connection was refused");
  };

  const server = createServer({
    ...secureContextOf(options.identity),
    ALPNProtocols: ["h2"],
    requestCert: true,
    // Node's own check would want host names and know nothing of SPIFFE; `peers.admit` is the check.
    rejectUnauthorized: false,
    handshakeTimeout: handshakeMilliseconds,
  });

  const accept = (socket: TLSSocket): void => {
    const peer = `${socket.remoteAddress ?? ""}:${socket.remotePort ?? ""}`;
    connections.add(socket);
    socket.once("close", () => connections.delete(socket));
    socket.on("error", (error) => {
      logger.debug({ peer, err: error }, "a connection broke");
    });
    if (socket.alpnProtocol !== "h2") {
      refuse(peer, "no-h2");
      socket.destroy();
      return;
    }
    try {
      const leaf = peers.admit(socket);
      // Without a certificate there is one call to make, and no reason to stay.
      closeAt(socket, leaf === undefined ? clock.now() + strangerMilliseconds : leaf.notAfter * 1000, clock);
    } catch (error) {
      refuse(peer, reasonOf(error), error);
      socket.destroy();
      return;
    }
    injector.injectConnection(socket);
  };
  server.on("secureConnection", accept);
  server.on("tlsClientError", (error, socket) => {
    refuse(`${socket.remoteAddress ?? ""}:${socket.remotePort ?? ""}`, "handshake", error);
  });
  const bound = await listen(server, options.address);

  return {
    address: bound,
    setIdentity(identity) {
      server.setSecureContext(secureContextOf(identity));
    },
    async close(graceMilliseconds) {
      server.close();
      injector.drain(graceMilliseconds);
      const { promise, resolve } = Promise.withResolvers<void>();
      const cancel = clock.schedule(graceMilliseconds, resolve);
      if (connections.size === 0) resolve();
      for (const socket of connections) {
        socket.once("close", () => {
          if (connections.size === 0) resolve();
        });
      }
      await promise;
      cancel();
      for (const socket of connections) socket.destroy();
      grpc.forceShutdown();
    },
  };
}

/** Ends the connection after that time; looks at the clock now and then, because it may jump. */
function closeAt(socket: TLSSocket, time: number, clock: Clock): void {
  let cancel: (() => void) | undefined;
  const look = (): void => {
    const left = time - clock.now();
    if (left < 0) socket.destroy();
    else cancel = clock.schedule(Math.min(left + 1, 30_000), look);
  };
  look();
  socket.once("close", () => {
    cancel?.();
  });
}
