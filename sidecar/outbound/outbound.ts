/** The outbound side put together: from the application's listener to the channels of other sidecars. */
import { performance } from "node:perf_hooks";
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
import type { Overload } from "../overload.ts";
import type { InterceptMode } from "../intercept/original-destination.ts";
import type { OutboundCall } from "./call.ts";
import { noDestinations, type Destination, type Endpoint } from "./destinations.ts";
import { createEgressDecider } from "./egress/decide.ts";
import { createEgressMetrics } from "./egress/metrics.ts";
import { noEgress } from "./egress/egress-state.ts";
import { createResolver, systemLookup } from "./egress/resolver.ts";
import { createExternalCalls } from "./external.ts";
import { createEndpointChannels, type EndpointChannels } from "./endpoint-channels.ts";
import { createOutboundRecords, type CallRecord } from "./records.ts";
import { createCallSigner } from "./sign.ts";
import { createTrafficManager } from "./traffic/manager.ts";
import { createTrafficMetrics } from "./traffic/metrics.ts";
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
  readonly overload: Overload;
  /** How the application's connections come here. */
  readonly intercept: InterceptMode;
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
  const destinations = () => mesh.current()?.destinations ?? noDestinations;
  const monotonic = () => performance.now();
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
    monotonic,
  );
  const traffic = createTrafficManager<Endpoint, OutboundCall>({
    metrics: createTrafficMetrics({ registry: options.registry, destinations: () => destinations().byScope.values() }),
    random,
    monotonic,
    schedule: clock.schedule,
    onTimeout: (call) => transmitter.timedOut(call),
    onIdle: (call) => transmitter.fail(call, "upstream-timeout", "nothing has passed for too long"),
  });
  const egressMetrics = createEgressMetrics(options.registry);
  const external = createExternalCalls({
    decider: createEgressDecider({
      state: () => mesh.current()?.egress ?? noEgress,
      resolver: createResolver({ lookup: systemLookup, clock, onLookup: egressMetrics.lookedUp }),
      now: clock.now,
    }),
    metrics: egressMetrics,
    records,
    fail: (call, reason, detail) => transmitter.fail(call, reason, detail),
    monotonic,
  });
  const transmitter = createTransmitter({
    destinations,
    sessions,
    channels,
    sign: createCallSigner({ instance, region: () => settings()?.region ?? "", now: clock.now }),
    records,
    external,
    maxHashedBytes: () => settings()?.maxHashedBodyBytes ?? defaultMaxBodyBytes,
    identityValid: options.identityValid,
    shedding: options.overload.shedding,
    traffic,
    schedule: clock.schedule,
  });
  const listener = createOutboundListener({
    transmitter,
    destinations,
    passesThrough: () => mesh.current()?.egress.mode === "allow",
    intercept: options.intercept,
    accepting: options.overload.accepting,
    registry: options.registry,
  });

  function describeEndpoints({ traffic: { candidates } }: Destination): unknown {
    return candidates.map(({ endpoint, state, failures }) => ({
      instance: endpoint.instance,
      address: endpoint.address,
      spiffeId: endpoint.spiffeId,
      inFlight: endpoint.inFlight,
      connected: channels.current(endpoint) !== undefined,
      // `in`, or how far it has come back from being ejected.
      state,
      failures,
    }));
  }

  return {
    listener,
    channels,
    applied({ destinations, revocations, served }) {
      listener.calls((call) => external.recheck(call));
      sessions.revoke(served.revokedRoles);
      // A peer's certificate is as good as it was when its channel was made, unless it has been revoked since.
      channels.retain(destinations.endpoints, (channel) =>
        isRevoked(revocations, { spiffeId: channel.peer, notBefore: channel.peerNotBefore }),
      );
      transmitter.news();
    },
    idle: (deadlineMs) => listener.idle(deadlineMs),
    close() {
      listener.destroy();
      external.close();
      channels.destroyAll();
    },
    describeDestinations: () =>
      [...destinations().byScope.values()].map((destination) => ({
        destination: destination.scope,
        hostnames: [...destinations().byHost].filter(([, each]) => each === destination).map(([host]) => host),
        role: destination.roleArn,
        identities: [...destination.spiffeIds],
        calls: destination.traffic.breaker,
        endpoints: describeEndpoints(destination),
      })),
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
