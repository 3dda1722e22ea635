/** The outbound side put together: from the application's listener to the channels of other sidecars. */
import type { SecureContext, TLSSocket } from "node:tls";
import type { Registry } from "prom-client";
import type { Clock } from "../../common/runtime/clock.ts";
import type { Logger } from "../../common/runtime/logger.ts";
import type { LeafCertificate } from "../../common/x509/svid-profile.ts";
import type { ControlPlane } from "../sync/control-plane.ts";
import type { MeshState, MeshStateHolder } from "../sync/mesh-state.ts";
import { createRoleSessions } from "../sync/role-sessions.ts";
import { isRevoked } from "../tls/peer.ts";
import { createOutboundListener, type OutboundListener } from "./accept.ts";
import { noDestinations } from "./destinations.ts";
import { createEndpointChannels, type EndpointChannels } from "./endpoint-channels.ts";
import { createOutboundRecords, type CallRecord } from "./records.ts";
import { createCallSigner } from "./sign.ts";
import { createTransmitter } from "./transmit.ts";

export interface OutboundOptions {
  readonly mesh: MeshStateHolder;
  readonly controlPlane: () => ControlPlane;
  readonly instance: string;
  readonly sessionName: string;
  readonly secureContext: () => SecureContext;
  readonly identityValid: () => boolean;
  readonly verify: (socket: TLSSocket) => LeafCertificate;
  readonly registry: Registry;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Logger;
}

export interface Outbound {
  readonly listener: OutboundListener;
  readonly channels: EndpointChannels;
  applied(state: MeshState): void;
  /** Resolves when no call is under way, or after the deadline. */
  idle(deadlineMs: number): Promise<void>;
  close(): void;
  describeDestinations(): unknown;
  describeSessions(): unknown;
  recentCalls(): CallRecord[];
}

const recordCapacity = 1024;
const defaultMaxBodyBytes = 64 * 1024;

export function createOutbound(options: OutboundOptions): Outbound {
  const { mesh, clock, random, instance } = options;
  const log = options.log.child({ part: "outbound" });
  const settings = () => mesh.current()?.settings;
  const records = createOutboundRecords({
    registry: options.registry,
    capacity: recordCapacity,
    sample: () => settings()?.auditSample ?? 0,
    now: clock.now,
    random,
    log,
  });
  const sessions = createRoleSessions({
    controlPlane: options.controlPlane,
    sessionName: options.sessionName,
    clock,
    random,
    log,
    onAssumed({ roleArn, sessionArn, accessKeyId, expiresAt }) {
      const until = new Date(expiresAt).toISOString();
      log.info({ event: "session-assumed", roleArn, sessionArn, accessKeyId, until }, "role session assumed");
    },
  });
  const channels: EndpointChannels = createEndpointChannels(
    {
      secureContext: options.secureContext,
      verify: options.verify,
      // Made below: answers come only to calls, and calls need the transmitter.
      answers: {
        onInformational: (stream, head) => transmitter.answers.onInformational(stream, head),
        onResponse: (stream, head, end) => transmitter.answers.onResponse(stream, head, end),
        onData: (stream, chunk, end) => transmitter.answers.onData(stream, chunk, end),
        onTrailers: (stream, fields) => transmitter.answers.onTrailers(stream, fields),
        onReset: (stream, code, byPeer) => transmitter.answers.onReset(stream, code, byPeer),
        onWritable: (stream) => transmitter.answers.onWritable(stream),
      },
      now: clock.now,
    },
    clock,
  );
  const transmitter = createTransmitter({
    destinations: () => mesh.current()?.destinations ?? noDestinations,
    sessions,
    channels,
    sign: createCallSigner({ instance, region: () => settings()?.region ?? "", now: clock.now }),
    records,
    maxHashedBytes: () => settings()?.maxHashedBodyBytes || defaultMaxBodyBytes,
    identityValid: options.identityValid,
    now: clock.now,
    random,
  });
  const listener = createOutboundListener({
    transmitter,
  });

  return {
    listener,
    channels,
    applied({ destinations, revocations, served }) {
      sessions.revoke(served.revokedRoles);
      // A peer's certificate is as good as it was when its channel was made, unless it has been revoked since.
      channels.retain(destinations.endpoints, (channel) =>
        isRevoked(revocations, { spiffeId: channel.peer, notBefore: channel.peerNotBefore }),
      );
    },
    idle: (deadlineMs) => listener.idle(deadlineMs),
    close() {
      listener.destroy();
      channels.destroyAll();
    },
    describeDestinations() {
      const state = mesh.current();
      const byScope = new Map([...(state?.destinations.byHost.values() ?? [])].map((destination) => [destination.scope, destination]));
      return [...byScope.values()].map((destination) => ({
        destination: destination.scope,
        hostnames: [...(state?.destinations.byHost ?? [])].filter(([, each]) => each === destination).map(([host]) => host),
        role: destination.roleArn,
        identities: [...destination.spiffeIds],
        endpoints: destination.endpoints.map((endpoint) => ({ ...endpoint, connected: channels.current(endpoint) !== undefined })),
      }));
    },
    describeSessions: () =>
      sessions.list().map(({ roleArn, sessionArn, accessKeyId, issuedAt, expiresAt }) => ({
        roleArn,
        sessionArn,
        accessKeyId,
        issuedAt: new Date(issuedAt).toISOString(),
        expiresAt: new Date(expiresAt).toISOString(),
      })),
    recentCalls: () => records.recent(),
  };
}
