/** The inbound side put together: from the mesh's listener to the application. */
import type { TLSSocket } from "node:tls";
import type { Registry } from "prom-client";
import { wait, type Clock } from "../../common/runtime/clock.ts";
import type { Logger } from "../../common/runtime/logger.ts";
import type { LeafCertificate } from "../../common/x509/svid-profile.ts";
import { SessionTokenError } from "../../common/session/claims.ts";
import type { ControlPlane } from "../sync/control-plane.ts";
import type { MeshStateHolder } from "../sync/mesh-state.ts";
import type { InterceptMode } from "../intercept/original-destination.ts";
import type { Overload } from "../overload.ts";
import type { Identity } from "../tls/profile.ts";
import { createInboundListener, type InboundListener } from "./accept.ts";
import { createAuthenticator } from "./authenticate.ts";
import { createInboundCalls } from "./call.ts";
import { createDecisions } from "./decisions.ts";
import { createForwarder } from "./forward.ts";
import { createInboundMetrics } from "./metrics.ts";
import { createPlaintextCallers, type PlaintextCaller } from "./plaintext-callers.ts";
import { createReplayGuard, createSignatureCache } from "./replay-window.ts";
import { createRequestContext } from "./request-context.ts";
import { createResponder } from "./respond.ts";
import { createSessions } from "./sessions.ts";

export interface InboundOptions {
  readonly mesh: MeshStateHolder;
  readonly controlPlane: () => ControlPlane;
  readonly instance: string;
  readonly trustDomain: string;
  readonly identity: Identity;
  readonly intercept: InterceptMode;
  /** Where the application may listen. */
  readonly applicationHosts: readonly string[];
  readonly overload: Overload;
  readonly verify: (socket: TLSSocket) => LeafCertificate;
  readonly registry: Registry;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Logger;
}

export interface Inbound {
  readonly listener: InboundListener;
  sweepForever(signal: AbortSignal): Promise<void>;
  /** Resolves when no call is under way, or after the deadline. */
  idle(deadlineMs: number): Promise<void>;
  close(): void;
  sessionCount(): number;
  plaintextCallers(): PlaintextCaller[];
  /** The decision with that id, or all that are remembered. */
  decisions(id: string | null): unknown;
}

const decisionCapacity = 1024;
const maxSessions = 50_000;
const maxReplayCallers = 50_000;
const maxSignatures = 200_000;
const sweepMs = 30_000;
const defaultSkewSeconds = 300;
const defaultMaxHashedBytes = 64 * 1024;

export function createInbound(options: InboundOptions): Inbound {
  const { mesh, clock, instance, trustDomain } = options;
  const log = options.log.child({ part: "inbound" });
  const settings = () => mesh.current()?.settings;
  const metrics = createInboundMetrics(options.registry);
  const decisions = createDecisions(decisionCapacity, (record) => {
    log.info({ event: "decision", ...record }, record.decision);
  });
  const responder = createResponder({
    decisions,
    metrics,
    sample: () => settings()?.auditSample ?? 0,
    revision: () => mesh.current()?.revision ?? 0,
    now: clock.now,
    random: options.random,
    log,
  });
  const sessions = createSessions({
    controlPlane: options.controlPlane,
    keys() {
      const state = mesh.current();
      if (!state) throw new SessionTokenError("unknown-key", "no snapshot has brought the keys of session tokens yet");
      return state.sessionKeys;
    },
    trustDomain,
    revisionReached: (revision) => mesh.reached(revision),
    clock,
    maxSessions,
  });
  const skewSeconds = () => settings()?.maxClockSkewSeconds || defaultSkewSeconds;
  const forwarder = createForwarder(responder, options.applicationHosts);
  const plaintext = createPlaintextCallers(options.registry, clock.now);
  const calls = createInboundCalls({
    served: () => mesh.current()?.served,
    trustDomain,
    authenticator: createAuthenticator({
      instance,
      region: () => settings()?.region ?? "",
      maxSkewSeconds: skewSeconds,
      lookup: (token, scopeService, date) => sessions.lookup(token, scopeService, date),
      replay: createReplayGuard({ maxCallers: maxReplayCallers, maxInstancesPerSession: 256, skewSeconds: maxSkewSeconds }),
      signatures: createSignatureCache({ maxSignatures, skewSeconds: maxSkewSeconds }),
      now: clock.now,
    }),
    sessions,
    context: createRequestContext(clock.now),
    forwarder,
    responder,
    plaintext,
    shedding: options.overload.shedding,
    maxHashedBytes: () => settings()?.maxHashedBodyBytes ?? defaultMaxHashedBytes,
  });
  const listener = createInboundListener({
    calls,
    accepting: options.overload.accepting,
    served: () => mesh.current()?.served,
    intercept: options.intercept,
    identity: options.identity,
    verify: options.verify,
    metrics,
    clock,
    log,
  });

  return {
    listener,
    async sweepForever(signal) {
      for (;;) {
        await wait(clock, sweepMs, signal);
        sessions.sweep();
        listener.sweep();
      }
    },
    idle: (deadlineMs) => listener.idle(deadlineMs),
    close() {
      listener.destroy();
      forwarder.close();
    },
    sessionCount: () => sessions.size(),
    plaintextCallers: () => plaintext.list(),
    decisions: (id) => (id === null ? decisions.recent() : (decisions.find(id) ?? null)),
  };
}

/** Replay memory must reach at least as far as any skew that a mesh may set. */
const maxSkewSeconds = 900;
