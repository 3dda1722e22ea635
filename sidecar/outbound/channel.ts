/**
 * A connection to one receiving sidecar: HTTP/2 over mutual TLS, long-lived. It comes to be only when the certificate at its
 * far end names an identity that may answer, by our own check and not by OpenSSL's alone.
 */
import type { OnReadOpts } from "node:net";
import { connect as connectTls, type ConnectionOptions, type SecureContext } from "node:tls";
import type { SpiffeId } from "../../common/spiffe/id.ts";
import type { LeafCertificate } from "../../common/x509/svid-profile.ts";
import { X509ProfileError } from "../../common/x509/error.ts";
import { createHttp2Connection, type Http2Connection } from "../http2/connection.ts";
import type { Http2Handler } from "../http2/state.ts";
import { attachHttp2, type Http2Transport } from "../http2/transport.ts";
import { channelBinding } from "../tls/channel-binding.ts";
import { tlsProfile } from "../tls/profile.ts";
import type { verifyTlsPeer } from "../tls/peer.ts";
import type { Reason } from "../reason.ts";
import type { Endpoint } from "./destinations.ts";
import { readBuffer } from "../read-buffer.ts";

export interface Channel {
  readonly endpoint: Endpoint;
  readonly http2: Http2Connection;
  readonly peer: SpiffeId;
  /** What it was opened with: the own certificate of that time. */
  readonly secureContext: SecureContext;
  /** Names the connection to its peer, over another one. */
  readonly binding: Buffer;
  /** Epoch milliseconds at which the peer's certificate ends, and with it what it proves. */
  readonly peerExpiresAt: number;
  /** Seconds since 1970. */
  readonly peerNotBefore: number;
  /** Resolves with the channel when the peer's first settings have come. */
  readonly settled: Promise<Channel>;
  /** No new streams; closes when the open ones have ended, or then. Called again, it sets the deadline anew. */
  drain(deadlineMs: number): void;
  destroy(): void;
}

export class ChannelError extends Error {
  override readonly name = "ChannelError";
  readonly reason: Reason;

  constructor(reason: Reason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}

export interface ChannelOptions {
  readonly secureContext: () => SecureContext;
  /** Throws X509ProfileError. */
  readonly verify: (socket: Parameters<typeof verifyTlsPeer>[0]) => LeafCertificate;
  readonly answers: ChannelAnswers;
  readonly now: () => number;
}

/** What comes back on a channel, each for the call whose stream it came on. */
export type ChannelAnswers = Pick<Http2Handler, "onInformational" | "onResponse" | "onData" | "onTrailers" | "onReset" | "onWritable">;

const alpn = ["h2"];

/** Rejects with ChannelError. `connectTimeoutMs` is for TCP and TLS together. `onClosed` follows once for a channel that was given out. */
export function openChannel(
  endpoint: Endpoint,
  options: ChannelOptions,
  connectTimeoutMs: number,
  onClosed: (channel: Channel) => void,
): Promise<Channel> {
  return new Promise((resolve, reject) => {
    const { host, port } = endpoint.address;
    const secureContext = options.secureContext();
    let transport: Http2Transport | undefined;
    // Node takes `onread` here (net.connect); its type is missing from tls.connect's.
    const connectOptions: ConnectionOptions & { readonly onread: OnReadOpts } = {
      host,
      port,
      secureContext,
      minVersion: tlsProfile.minVersion,
      maxVersion: tlsProfile.maxVersion,
      ALPNProtocols: alpn,
      // Names are SPIFFE ids here: verified below, once the whole chain is at hand.
      checkServerIdentity: () => undefined,
      onread: {
        buffer: readBuffer,
        callback(length, buffer) {
          // Nothing is read before the handshake is complete, and then the transport is there.
          transport?.receive((buffer as Buffer).subarray(0, length));
          return true;
        },
      },
    };
    const socket = connectTls(connectOptions);
    socket.setNoDelay(true);
    const timer = setTimeout(() => socket.destroy(new Error(`no connection within ${connectTimeoutMs} ms`)), connectTimeoutMs);
    const fail = (reason: Reason, message: string, cause?: unknown) => {
      clearTimeout(timer);
      socket.destroy();
      reject(new ChannelError(reason, `${host}:${port}: ${message}`, { cause }));
    };
    const onError = (error: Error) => fail("peer-unreachable", error.message, error);
    const onEarlyClose = () => fail("peer-unreachable", "closed during the handshake");
    socket.once("error", onError);
    socket.once("close", onEarlyClose);
    socket.once("secureConnect", () => {
      clearTimeout(timer);
      let leaf: LeafCertificate;
      try {
        leaf = options.verify(socket);
      } catch (error) {
        const code = error instanceof X509ProfileError ? error.code : "unreadable";
        fail("peer-identity", `its certificate is refused: ${code}`, error);
        return;
      }
      if (leaf.spiffeId !== endpoint.spiffeId) {
        fail("peer-identity", `it shows ${leaf.spiffeId}, not ${endpoint.spiffeId}`);
        return;
      }
      if (socket.alpnProtocol !== "h2") {
        fail("peer-identity", "it does not speak h2");
        return;
      }
      socket.off("error", onError);
      socket.off("close", onEarlyClose);
      const settled = Promise.withResolvers<Channel>();
      const attached = attachHttp2(
        socket,
        handlerOf(options.answers, () => settled.resolve(channel)),
        (handler) => createHttp2Connection({ role: "client", handler, now: options.now }),
      );
      transport = attached;
      const channel: Channel = {
        endpoint,
        http2: attached.connection,
        peer: leaf.spiffeId,
        secureContext,
        binding: channelBinding(socket),
        peerExpiresAt: leaf.notAfter * 1000,
        peerNotBefore: leaf.notBefore,
        settled: settled.promise,
        drain: (deadlineMs) => void attached.close(deadlineMs),
        destroy: () => attached.destroy(),
      };
      // Nobody has to wait for it.
      settled.promise.catch(() => undefined);
      socket.once("close", () => {
        settled.reject(new ChannelError("peer-unreachable", `${host}:${port}: closed before its first settings`));
        onClosed(channel);
      });
      resolve(channel);
    });
  });
}

function handlerOf(answers: ChannelAnswers, onSettings: () => void): Http2Handler {
  return {
    ...answers,
    onRequest() {
      throw new Error("a client has no requests to receive");
    },
    onSettings,
    // The rest the transport sees to.
    onGoaway: ignore,
    onPong: ignore,
    onOutput: ignore,
    onFatal: ignore,
  };
}

function ignore(): void {
  // Nothing to do.
}
