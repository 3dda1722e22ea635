/**
 * Step one of an inbound call: the mesh's side of the connection. TLS 1.3 with a client certificate that proves a SPIFFE id,
 * and an application protocol agreed on by ALPN; whatever lacks one of these is closed before a request can be made, and
 * counted with the reason.
 */
import { createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, type TLSSocket } from "node:tls";
import { X509ProfileError } from "../../common/x509/error.ts";
import type { LeafCertificate } from "../../common/x509/svid-profile.ts";
import type { Clock } from "../../common/runtime/clock.ts";
import type { Address } from "../../common/runtime/environment.ts";
import { untilClosed } from "../../common/runtime/listen.ts";
import type { Logger } from "../../common/runtime/logger.ts";
import { secureContextOptions, type Identity } from "../tls/profile.ts";
import { isRevoked, type IdentityRevocations } from "../tls/peer.ts";
import { createOriginalDestination, type InterceptMode } from "../intercept/original-destination.ts";
import type { FrontConnection } from "../front/front.ts";
import { readInto } from "../front/read-into.ts";
import { serveHttp1 } from "../front/http1-front.ts";
import { serveHttp2 } from "../front/http2-front.ts";
import type { InboundCalls } from "./call.ts";
import type { Exchange } from "./exchange.ts";
import { createConnectionLives } from "./connection-lives.ts";
import type { InboundMetrics } from "./metrics.ts";
import { tlsPeer } from "./peer.ts";
import { mayBringOwnTls, servePlaintext, takesPlaintext } from "./plaintext.ts";
import type { Served } from "./served.ts";
import { readBuffer } from "../read-buffer.ts";

export interface InboundListener {
  readonly server: Server;
  /** New connections are made with it; open ones live on (connection-lives.ts). */
  useIdentity(identity: Identity): void;
  /** A snapshot came: closes what belongs to an identity that is not to be believed any more, and cuts calls that may not go on. */
  enforce(revocations: IdentityRevocations): void;
  /** Ends calls that take too long to come. */
  sweep(): void;
  /** Resolves when nobody is connected, or after the deadline; whoever comes is served meanwhile. */
  vacant(deadlineMs: number): Promise<void>;
  /** No new connections or requests; those under way are answered. */
  drain(deadlineMs: number): void;
  destroy(): void;
  /** Resolves when every connection has ended, or after the deadline. */
  idle(deadlineMs: number): Promise<void>;
}

export interface InboundListenerOptions {
  readonly calls: InboundCalls;
  readonly served: () => Served | undefined;
  /** Whether this process has memory for another connection. */
  readonly accepting: () => boolean;
  /** How connections that were going to the application come here. */
  readonly intercept: InterceptMode;
  readonly identity: Identity;
  /** Throws X509ProfileError. */
  readonly verify: (socket: TLSSocket) => LeafCertificate;
  readonly metrics: InboundMetrics;
  readonly clock: Clock;
  readonly log: Logger;
}

interface Open {
  readonly socket: Socket;
  readonly front: FrontConnection<Exchange>;
  /** Undefined for plaintext. */
  readonly leaf: LeafCertificate | undefined;
}

const handshakeTimeoutMs = 10_000;
/** First byte of a TLS connection (RFC 8446 5.1). */
const handshakeRecord = 0x16;

export function createInboundListener(options: InboundListenerOptions): InboundListener {
  const { metrics, log } = options;
  const open = new Set<Open>();
  const lives = createConnectionLives(options.clock);
  /** Those that have yet to show who they are, by the client's address. */
  const arriving = new Map<string, Socket>();
  /** Told when nobody is connected. */
  const vacated = new Set<() => void>();

  const tls = createTlsServer({
    ...secureContextOptions(options.identity),
    requestCert: true,
    rejectUnauthorized: true,
    ALPNProtocols: ["h2", "http/1.1"],
    handshakeTimeout: handshakeTimeoutMs,
  });

  const server = createServer({ noDelay: true, keepAlive: true, allowHalfOpen: true }, (socket) => {
    if (!options.accepting()) {
      metrics.connectionRefused("overloaded");
      socket.destroy();
      return;
    }
    const from = clientOf(socket);
    arriving.set(from, socket);
    socket.once("close", () => arriving.delete(from));
    const original = originalOf(socket);
    // Other sidecars come to this port itself; who was redirected meant the application, and may know nothing of the mesh.
    if (original && mayBringOwnTls(options.served(), original)) plain(socket, original);
    else if (original || takesPlaintext(options.served())) sniff(socket, original);
    else tls.emit("connection", socket);
  });

  const originalOf = createOriginalDestination(options.intercept, "inbound", server);

  /** Mesh or plaintext, by the first byte. */
  function sniff(socket: Socket, original: Address | undefined): void {
    const timer = setTimeout(() => {
      metrics.connectionRefused("handshake-timeout");
      socket.destroy();
    }, handshakeTimeoutMs);
    socket.once("close", () => clearTimeout(timer));
    socket.on("error", () => undefined);
    socket.once("readable", () => {
      clearTimeout(timer);
      const first = socket.read() as Buffer | null;
      if (first === null) {
        socket.destroy();
        return;
      }
      socket.unshift(first);
      if (first[0] === handshakeRecord) tls.emit("connection", socket);
      else plain(socket, original);
    });
  }

  function plain(socket: Socket, original: Address | undefined): void {
    socket.on("error", () => undefined);
    const front = servePlaintext(socket, original, {
      calls: options.calls,
      served: options.served,
      refused(from, reason, detail) {
        metrics.connectionRefused(reason);
        log.info({ reason, from: from.remoteAddress, detail }, "connection refused");
      },
    });
    if (front) attend(socket, front, undefined);
  }

  /** Tells the front what happens on its socket. */
  function attend(socket: Socket, front: FrontConnection<Exchange>, leaf: LeafCertificate | undefined): void {
    const entry: Open = { socket, front, leaf };
    open.add(entry);
    arriving.delete(clientOf(socket));
    metrics.connections.set(open.size);
    readInto(socket, readBuffer, (chunk) => front.receive(chunk));
    socket.on("drain", () => front.writable());
    socket.on("end", () => front.finish());
    socket.once("close", () => {
      front.closed();
      open.delete(entry);
      metrics.connections.set(open.size);
      if (open.size === 0) for (const resolve of vacated) resolve();
    });
  }

  tls.on("tlsClientError", (error: Error & { code?: string }, socket) => {
    // A chain that OpenSSL refuses ends the socket without a word of it in the error; the code is left on the socket.
    const refusal = socket.authorizationError as unknown;
    const code = typeof refusal === "string" ? refusal : (error.code ?? "");
    const reason = handshakeReason(code);
    metrics.connectionRefused(reason);
    log.info({ reason, from: socket.remoteAddress, detail: typeof refusal === "string" ? refusal : error.message }, "connection refused");
    // Of this one Node only tells; after the others it sends its alert, and closes.
    if (reason === "handshake-timeout") socket.destroy();
  });

  tls.on("secureConnection", (socket: TLSSocket) => {
    const refuse = (reason: string, detail: string) => {
      metrics.connectionRefused(reason);
      log.info({ reason, from: socket.remoteAddress, detail }, "connection refused");
      socket.destroy();
    };
    // An error ends in `close`, which says all that matters.
    socket.on("error", () => undefined);
    const protocol = socket.alpnProtocol;
    if (protocol !== "h2" && protocol !== "http/1.1") {
      refuse("no-alpn", "the client agreed on no application protocol");
      return;
    }
    let leaf: LeafCertificate;
    try {
      leaf = options.verify(socket);
    } catch (error) {
      refuse(error instanceof X509ProfileError ? error.code : "unreadable", String(error));
      return;
    }
    const calls = options.calls.accept(tlsPeer(socket, leaf));
    const renewed = lives.begin(socket, leaf);
    attend(socket, protocol === "h2" ? serveHttp2(socket, calls, renewed) : serveHttp1(socket, calls), leaf);
  });

  return {
    server,
    useIdentity(identity) {
      tls.setSecureContext(secureContextOptions(identity));
    },
    enforce(revocations) {
      for (const { socket, front, leaf } of open) {
        if (!leaf || !isRevoked(revocations, leaf)) {
          front.calls((exchange) => options.calls.recheck(exchange));
          continue;
        }
        metrics.connectionRefused("revoked");
        log.warn({ peer: leaf.spiffeId, reason: "revoked" }, "connection closed");
        socket.destroy();
      }
    },
    sweep() {
      for (const { front } of open) front.calls((exchange) => options.calls.expire(exchange));
    },
    async vacant(deadlineMs) {
      if (open.size === 0) return;
      const { promise, resolve } = Promise.withResolvers<void>();
      vacated.add(resolve);
      const timer = setTimeout(resolve, deadlineMs);
      await promise;
      clearTimeout(timer);
      vacated.delete(resolve);
    },
    drain(deadlineMs) {
      server.close();
      for (const socket of arriving.values()) socket.destroy();
      for (const { front } of open) front.drain(deadlineMs);
    },
    destroy() {
      for (const { socket } of open) socket.destroy();
    },
    idle: (deadlineMs) => untilClosed(server, deadlineMs),
  };
}

function clientOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}

/** OpenSSL's words for what clients do wrong, as a closed list of ours: what a peer sends must not become a label. */
function handshakeReason(code: string): string {
  switch (code) {
    case "ERR_SSL_HTTP_REQUEST":
    case "ERR_SSL_WRONG_VERSION_NUMBER":
    case "ERR_SSL_PACKET_LENGTH_TOO_LONG":
      return "plaintext";
    case "ERR_SSL_UNSUPPORTED_PROTOCOL":
    case "ERR_SSL_VERSION_TOO_LOW":
      return "tls-version";
    case "ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE":
      return "no-client-certificate";
    case "ERR_SSL_NO_APPLICATION_PROTOCOL":
    case "ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL":
      return "no-alpn";
    case "ERR_TLS_HANDSHAKE_TIMEOUT":
      return "handshake-timeout";
    case "ECONNRESET":
      return "reset";
    case "CERT_HAS_EXPIRED":
      return "expired";
    case "CERT_NOT_YET_VALID":
      return "not-yet-valid";
    case "UNABLE_TO_GET_ISSUER_CERT":
    case "UNABLE_TO_GET_ISSUER_CERT_LOCALLY":
    case "UNABLE_TO_VERIFY_LEAF_SIGNATURE":
    case "SELF_SIGNED_CERT_IN_CHAIN":
    case "DEPTH_ZERO_SELF_SIGNED_CERT":
      return "unknown-issuer";
    default:
      return "handshake";
  }
}
