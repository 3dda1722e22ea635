/**
 * The composition root of a sidecar: attest, watch, bind, run until told to stop, drain. The first part that fails ends the
 * rest with its cause.
 */
import { randomBytes } from "node:crypto";
import { createSecureContext } from "node:tls";
import type { DestinationStream } from "pino";
import { collectDefaultMetrics, Gauge, Registry } from "prom-client";
import packageJson from "../package.json" with { type: "json" };
import { systemClock, type Clock } from "../common/runtime/clock.ts";
import { addressToString, type Environment } from "../common/runtime/environment.ts";
import { listen } from "../common/runtime/listen.ts";
import { createLogging } from "../common/runtime/logger.ts";
import { runTasks, untilAborted } from "../common/runtime/tasks.ts";
import { createAdminServer, createHealthServer, createMetricsServer } from "./admin.ts";
import { readSidecarConfig, type SidecarConfig } from "./config.ts";
import { drain, takeLeave } from "./drain.ts";
import { createInbound } from "./inbound/inbound.ts";
import { createMemoryReader } from "./memory.ts";
import { createProber } from "./probes/probes.ts";
import { createOutbound } from "./outbound/outbound.ts";
import { createOverload } from "./overload.ts";
import { connectControlPlane, type ControlPlane, type ControlPlaneTarget } from "./sync/control-plane.ts";
import { createMeshState, type MeshState } from "./sync/mesh-state.ts";
import { createProof, createTrustAnchor, CredentialFileError } from "./sync/proof.ts";
import { attest, authoritiesOf, renewForever } from "./sync/svid.ts";
import { createWatch } from "./sync/watch.ts";
import { secureContextOptions, type Identity } from "./tls/profile.ts";
import { verifyTlsPeer } from "./tls/peer.ts";

/** Where a sidecar listens, `host:port` each, and who it is; also the `ready` line of its log. */
export interface SidecarReady {
  readonly spiffeId: string;
  /** When the certificate ends, ISO 8601. */
  readonly notAfter: string;
  readonly instance: string;
  readonly outbound: string;
  readonly inbound: string;
  readonly admin: string;
  readonly metrics: string;
  readonly health: string;
}

export interface SidecarOptions {
  readonly clock?: Clock;
  /** Where log lines go instead of stdout. */
  readonly log?: DestinationStream;
  /** Called once, when calls can be made and taken. */
  readonly onReady?: (ready: SidecarReady) => void;
}

/** Runs a sidecar until `signal`; resolves when it has drained. Rejects with ConfigError, ListenError or TaskError. */
export async function runSidecar(environment: Environment, signal: AbortSignal, options: SidecarOptions = {}): Promise<void> {
  const config = readSidecarConfig(environment);
  const logging = createLogging({
    name: "sidecar",
    level: config.logLevel,
    ...(options.log === undefined ? {} : { destination: options.log }),
  });
  const log = logging.logger;
  const clock = options.clock ?? systemClock;
  const random = Math.random;
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });

  // Health first: whoever waits for this sidecar must be able to ask.
  const missing = new Set(["certificate", "configuration", "listeners"]);
  /** What the certificate waits for, in words. */
  let obstacle: string | undefined;
  let takeLeaveOf: () => Promise<void> = async () => undefined;
  const health = createHealthServer({
    problems: () => (obstacle === undefined ? [...missing] : [obstacle, ...missing]),
    probe: createProber({ probes: config.probes, hosts: config.applicationHosts }),
    takeLeave: () => takeLeaveOf(),
  });
  const healthAddress = await listen(health, config.health, "health");

  const svid = {
    anchor: createTrustAnchor({
      address: addressToString(config.controlPlane),
      trustDomain: config.trustDomain,
      bundle: config.trustBundle,
    }),
    proof: createProof(config.proof),
    clock,
    random,
    log: log.child({ part: "identity" }),
  };
  const attested = await attest(
    svid,
    (problem) => {
      obstacle = problem instanceof CredentialFileError ? problem.message : undefined;
    },
    signal,
  ).catch((error: unknown) => {
    health.close();
    health.closeAllConnections();
    throw error;
  });
  obstacle = undefined;
  let { identity, target }: { identity: Identity; target: ControlPlaneTarget } = attested;
  const { trustDomain } = target;
  let secureContext = createSecureContext(secureContextOptions(identity));
  missing.delete("certificate");
  const describe = () => ({ spiffeId: identity.spiffeId, notAfter: new Date(identity.notAfter).toISOString() });
  log.info({ event: "certificate-issued", ...describe() }, "certificate issued");

  let controlPlane: ControlPlane = connectControlPlane(target, identity);
  const instance = randomBytes(16).toString("hex");
  const mesh = createMeshState({ ownId: identity.spiffeId, application: config.app }, clock.now);
  const verify = (socket: Parameters<typeof verifyTlsPeer>[0]) => {
    const state = mesh.current();
    return verifyTlsPeer(socket, state?.bundles ?? new Map(), state?.revocations ?? { issuedBefore: new Map() }, clock.now());
  };
  const shared = { mesh, clock, random, registry, instance, verify, log, controlPlane: () => controlPlane };
  const overload = createOverload({
    memory: createMemoryReader(config.memoryLimit),
    monotonic: () => performance.now(),
    clock,
    registry,
    log,
  });
  const outbound = createOutbound({
    ...shared,
    overload,
    intercept: config.intercept,
    sessionName: config.sessionName ?? instance.slice(0, 16),
    secureContext: () => secureContext,
    identityValid: () => identity.notAfter > clock.now(),
  });
  const inbound = createInbound({
    ...shared,
    overload,
    intercept: config.intercept,
    identity,
    trustDomain,
    applicationHosts: config.applicationHosts,
  });

  const inboundAddress = await listen(inbound.listener.server, config.inbound, "inbound");
  const advertised = config.advertise && { host: config.advertise.host, port: config.advertise.port || inboundAddress.port };
  if (!advertised) {
    const address = addressToString(inboundAddress);
    log.warn(
      { address },
      "nobody can reach the inbound port: it listens on every address, and COUNTERSIGN_ADVERTISE does not say which peers use",
    );
  }
  const leave = () => ({
    inbound,
    serves: advertised !== undefined && servesAnything(mesh.current()),
    listed: () => mesh.current()?.destinations.endpoints.has(instance) === true,
    deadlineMs: config.drainSeconds * 1000,
    clock,
  });
  takeLeaveOf = () => takeLeave(leave());
  const outboundAddress = await listen(outbound.listener.server, config.outbound, "outbound");
  const admin = createAdminServer({
    logging,
    views: new Map<string, (query: URLSearchParams) => unknown>([
      ["/config", () => ({ ...config, proof: shownProof(config.proof), instance, revision: mesh.current()?.revision ?? 0 })],
      ["/certs", () => ({ ...describe(), notBefore: new Date(identity.notBefore).toISOString(), chain: identity.certificateChain })],
      ["/clusters", () => outbound.describeDestinations()],
      ["/sessions", () => ({ assumed: outbound.describeSessions(), known: inbound.sessionCount() })],
      ["/plaintext", () => inbound.plaintextCallers()],
      ["/calls", () => outbound.recentCalls()],
      ["/decisions", (query) => inbound.decisions(query.get("id"))],
    ]),
  });
  const metrics = createMetricsServer(registry);
  const adminAddress = await listen(admin, config.admin, "admin");
  const metricsAddress = await listen(metrics, config.metrics, "metrics");
  missing.delete("listeners");

  observe(registry, { mesh, identity: () => identity, now: clock.now, droppedLines: logging.dropped });

  const watch = createWatch({
    controlPlane: () => controlPlane,
    hello: { instance, inboundAddress: advertised ? addressToString(advertised) : "", version: packageJson.version },
    clock,
    random,
    log: log.child({ part: "watch" }),
    onConnected: (connected) => log.info({ connected }, connected ? "following the control plane" : "control plane out of reach"),
    apply(snapshot) {
      const first = mesh.current() === undefined;
      const state = mesh.apply(snapshot);
      inbound.listener.enforce(state.revocations);
      outbound.applied(state);
      const authorities = authoritiesOf(snapshot.bundles, target);
      if (authorities !== identity.authorities) adopt({ ...identity, authorities });
      log.debug({ revision: state.revision }, "snapshot applied");
      if (first) {
        missing.delete("configuration");
        const ready: SidecarReady = {
          ...describe(),
          instance,
          outbound: addressToString(outboundAddress),
          inbound: addressToString(inboundAddress),
          admin: addressToString(adminAddress),
          metrics: addressToString(metricsAddress),
          health: addressToString(healthAddress),
        };
        log.info({ event: "ready", ...ready }, "ready");
        options.onReady?.(ready);
      }
    },
  });

  /** Takes a new certificate or new roots into use everywhere; nothing under way is dropped. */
  function adopt(next: Identity): void {
    const renewed = next.certificateChain !== identity.certificateChain;
    identity = next;
    target = { ...target, authorities: next.authorities };
    secureContext = createSecureContext(secureContextOptions(next));
    inbound.listener.useIdentity(next);
    const previous = controlPlane;
    controlPlane = connectControlPlane(target, next);
    watch.reconnect();
    setTimeout(() => previous.close(), 10_000).unref();
    if (renewed) outbound.channels.renewAll();
  }

  const renewalFailures = new Gauge({
    name: "countersign_svid_renewal_failures",
    help: "Failed tries since the last renewal of the certificate",
    registers: [registry],
  });
  const tasks = [
    { name: "watch", run: (stop: AbortSignal) => watch.run(stop) },
    {
      name: "identity",
      run: (stop: AbortSignal) =>
        renewForever(
          svid,
          () => identity,
          target,
          {
            onRenewed(next) {
              adopt(next);
              renewalFailures.set(0);
              log.info({ event: "certificate-renewed", ...describe() }, "certificate renewed");
            },
            onFailure: () => renewalFailures.inc(),
          },
          stop,
        ),
    },
    { name: "overload", run: (stop: AbortSignal) => overload.watchForever(stop) },
    { name: "sweep", run: (stop: AbortSignal) => inbound.sweepForever(stop) },
    { name: "drain", run: untilAborted },
  ];
  try {
    await runTasks(tasks, signal);
  } finally {
    log.info({ event: "draining", deadlineMs: leave().deadlineMs }, "draining");
    missing.add("stopping");
    await drain({ ...leave(), outbound, listed: () => false });
    outbound.close();
    inbound.close();
    controlPlane.close();
    for (const server of [admin, metrics, health]) {
      server.close();
      server.closeAllConnections();
    }
    log.info({ event: "stopped" }, "stopped");
  }
}

/** A service without ports is but a name for a caller. */
function servesAnything(state: MeshState | undefined): boolean {
  return [...(state?.served.byScope.values() ?? [])].some(({ ports }) => ports.size > 0);
}

function shownProof(proof: SidecarConfig["proof"]): SidecarConfig["proof"] {
  return "joinToken" in proof ? { joinToken: "[secret]" } : proof;
}

function observe(
  registry: Registry,
  sources: { mesh: ReturnType<typeof createMeshState>; identity: () => Identity; now: () => number; droppedLines: () => number },
): void {
  const gauges: readonly [string, string, () => number][] = [
    ["countersign_snapshot_revision", "Revision in force", () => sources.mesh.current()?.revision ?? 0],
    [
      "countersign_snapshot_age_seconds",
      "Since the snapshot in force was applied",
      () => (sources.now() - (sources.mesh.current()?.appliedAt ?? sources.now())) / 1000,
    ],
    ["countersign_log_lines_dropped", "Lines of the log that nobody read fast enough", sources.droppedLines],
    [
      "countersign_svid_remaining_seconds",
      "Until the certificate of this workload expires",
      () => (sources.identity().notAfter - sources.now()) / 1000,
    ],
  ];
  for (const [name, help, read] of gauges) {
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        this.set(read());
      },
    });
  }
}
