/**
 * The control plane: builds its parts, binds its ports, runs them until it is told to stop. Nothing is bound before the
 * configuration, the store and the authority's keys are found good, and nothing is overwritten on the way.
 */
import { join } from "node:path";
import type { DestinationStream } from "pino";
import { AdminServiceService } from "../common/gen/mesh/v1/admin.ts";
import { IdentityServiceService } from "../common/gen/mesh/v1/identity.ts";
import { MeshServiceService } from "../common/gen/mesh/v1/mesh.ts";
import { TokenServiceService } from "../common/gen/mesh/v1/token.ts";
import { systemClock, wait } from "../common/runtime/clock.ts";
import type { Clock } from "../common/runtime/clock.ts";
import { addressToString } from "../common/runtime/environment.ts";
import type { Environment } from "../common/runtime/environment.ts";
import { createLogging } from "../common/runtime/logger.ts";
import type { Logger } from "../common/runtime/logger.ts";
import { runTasks } from "../common/runtime/tasks.ts";
import { createTrustBundle } from "../common/x509/bundle.ts";
import type { TrustBundles } from "../common/x509/bundle.ts";
import { createAdminService } from "./admin/admin-service.ts";
import { createJoinTokenAttestor } from "./attestation/join-token.ts";
import { createKubernetesAttestor, noKubernetesAttestor } from "./attestation/kubernetes.ts";
import { createOfflineTokens } from "./attestation/offline-token.ts";
import { svidAttestor } from "./attestation/svid.ts";
import { createTokenReview } from "./attestation/token-review.ts";
import { createBundleFile } from "./bundle-file.ts";
import { readControlPlaneConfig } from "./config.ts";
import type { ControlPlaneConfig } from "./config.ts";
import { recordBundle } from "./distribution/bundle-record.ts";
import { createDistributor } from "./distribution/distributor.ts";
import { createWatchService } from "./distribution/watch-service.ts";
import { prepareStore } from "./first-start.ts";
import { createIdentityService } from "./identity-service.ts";
import { createKubernetesClient } from "./kubernetes/client.ts";
import type { KubernetesClient } from "./kubernetes/client.ts";
import { createControllers } from "./kubernetes/controllers.ts";
import { createMetrics } from "./metrics.ts";
import { createRegistry } from "./registry/registry.ts";
import { createMeshView } from "./resources/mesh-view.ts";
import type { MeshView } from "./resources/mesh-view.ts";
import { openAdminListener } from "./server/admin-listener.ts";
import { openMeshListener } from "./server/mesh-listener.ts";
import { openMetricsListener } from "./server/metrics-listener.ts";
import { issueOwnIdentity } from "./server/own-identity.ts";
import { createPeerRegister } from "./server/peer.ts";
import { openSealer } from "./store/master-key.ts";
import { openSqliteStore } from "./store/sqlite-store.ts";
import type { Store } from "./store/store.ts";
import { createEpochs } from "./sts/epochs.ts";
import { createTokenService } from "./sts/token-service.ts";

/** Where the control plane listens; also the `ready` line of its log. */
export interface Ready {
  /** `host:port` */
  readonly grpc: string;
  /** `host:port` */
  readonly metrics: string;
  readonly adminSocket: string;
  readonly trustDomain: string;
  /** Path of the PEM file with the mesh's roots. */
  readonly bundle: string;
}

export interface ControlPlaneOptions {
  readonly clock?: Clock;
  /** Where log lines go instead of stdout. */
  readonly log?: DestinationStream;
  readonly onReady?: (ready: Ready) => void;
}

const maintenanceMilliseconds = 60_000;
const authorityMilliseconds = 3_600_000;

/**
 * Runs a control plane until `signal` aborts and it has shut down. Rejects with an error whose message is for the operator:
 * ConfigError, StoreError, CaError, MeshStateError, KubernetesError or ListenError at the start, TaskError later.
 */
export async function runControlPlane(environment: Environment, signal: AbortSignal, options: ControlPlaneOptions = {}): Promise<void> {
  const config = readControlPlaneConfig(environment);
  const { logger } = createLogging({
    name: "control-plane",
    level: config.logLevel,
    ...(options.log === undefined ? {} : { destination: options.log }),
  });
  await using cleanup = new AsyncDisposableStack();
  const store = openSqliteStore({ path: join(config.dataFolder, "countersign.db") });
  cleanup.defer(() => store.close());
  await serve({ config, store, logger, signal, cleanup, clock: options.clock ?? systemClock, onReady: options.onReady });
}

interface ServeOptions {
  readonly config: ControlPlaneConfig;
  readonly store: Store;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly cleanup: AsyncDisposableStack;
  readonly onReady: ((ready: Ready) => void) | undefined;
}

async function serve({ config, store, logger, clock, signal, cleanup, onReady }: ServeOptions): Promise<void> {
  const sealer = await openSealer(store, config.masterKeyFile);
  const epochs = createEpochs(store, sealer);
  const authority = await prepareStore({ config, store, sealer, epochs, clock, logger });
  const view = await createMeshView(store, logger);
  const { trustDomain, mesh, endpoints } = view.current();
  const bundlePath = join(config.dataFolder, "bundle.pem");
  const writeBundle = createBundleFile(bundlePath);
  writeBundle(view.current());
  cleanup.defer(view.subscribe(writeBundle));

  const metrics = createMetrics();
  const report = { logger, metrics };
  metrics.revision.set(view.current().revision);
  cleanup.defer(view.subscribe(({ revision }) => metrics.revision.set(revision)));
  const peers = createPeerRegister(() => bundlesOf(view), clock.now);
  const registry = createRegistry({ store, clock, logger, found: endpoints });
  const distributor = createDistributor({
    view,
    clock,
    published: (state) => ({ bundles: [state.bundle], sessionJwks: epochs.jwks(state.epochs) }),
    onPush: () => metrics.snapshotPushes.inc(),
  });
  cleanup.defer(distributor.close);
  const watch = createWatchService({ view, peers, registry, distributor, clock, report });
  const tokenReader = (client: KubernetesClient) =>
    config.kubernetes?.tokens === "offline" ? createOfflineTokens({ client, clock, signal }) : createTokenReview(client, signal);
  const cluster = config.kubernetes && (await createKubernetesClient(config.kubernetes.kubeconfig, clock));
  cleanup.defer(async () => cluster?.close());
  const attestors = {
    joinToken: createJoinTokenAttestor(store, clock),
    svid: svidAttestor,
    kubernetes:
      cluster === undefined
        ? noKubernetesAttestor
        : createKubernetesAttestor({ client: cluster, tokens: tokenReader(cluster), store, clock, logger, signal }),
  };
  const identity = createIdentityService({ authority, attestors, view, peers, report });
  const tokens = createTokenService({ store, view, epochs, distributor, peers, clock, report });
  const admin = createAdminService({ store, view, clock, connected: watch.connected, report });

  let own = await issueOwnIdentity(authority, trustDomain, mesh.spec.svidLifetimeSeconds);
  const meshListener = await openMeshListener({
    address: config.grpc,
    identity: own,
    services: [
      { definition: IdentityServiceService, implementation: identity },
      { definition: TokenServiceService, implementation: tokens },
      { definition: MeshServiceService, implementation: watch.implementation },
    ],
    peers,
    clock,
    logger,
    metrics,
  });
  cleanup.defer(async () => {
    // Registrations outlive the process: its successor gives their sidecars time to come back.
    registry.close();
    watch.close();
    await meshListener.close(config.drainMilliseconds);
  });
  const adminListener = await openAdminListener(config.adminSocket, { definition: AdminServiceService, implementation: admin }, clock);
  cleanup.defer(adminListener.close);
  let ready = true;
  const metricsListener = await openMetricsListener(config.metrics, metrics, () => ready);
  cleanup.defer(metricsListener.close);
  cleanup.defer(() => {
    ready = false;
  });

  const maintain = async (): Promise<void> => {
    await epochs.maintain(clock.now());
    if (clock.now() < own.renewAt) return;
    own = await issueOwnIdentity(authority, trustDomain, view.current().mesh.spec.svidLifetimeSeconds);
    meshListener.setIdentity(own);
  };
  const maintainAuthority = async (): Promise<void> => {
    await authority.maintain();
    await recordBundle(store, authority.bundle());
  };

  const where: Ready = {
    grpc: addressToString(meshListener.address),
    metrics: addressToString(metricsListener.address),
    adminSocket: adminListener.path,
    trustDomain,
    bundle: bundlePath,
  };
  logger.info({ event: "ready", ...where }, "ready");
  onReady?.(where);

  await runTasks(
    [
      { name: "store watch", run: view.run },
      ...(cluster === undefined
        ? []
        : [
            {
              name: "Kubernetes",
              run: createControllers({ client: cluster, store, view, holders: watch.holders, clock, logger, metrics }).run,
            },
          ]),
      { name: "maintenance", run: (ending) => repeat(maintain, maintenanceMilliseconds, { clock, logger, signal: ending }) },
      { name: "authority", run: (ending) => repeat(maintainAuthority, authorityMilliseconds, { clock, logger, signal: ending }) },
    ],
    signal,
  );
  logger.info({ event: "stopping" }, "stopping");
}

/** Does the work again and again; a failure is logged and the work tried again the next time. */
async function repeat(
  work: () => Promise<void>,
  milliseconds: number,
  { clock, logger, signal }: { readonly clock: Clock; readonly logger: Logger; readonly signal: AbortSignal },
): Promise<void> {
  for (;;) {
    await wait(clock, milliseconds, signal);
    try {
      await work();
    } catch (error) {
      logger.error({ err: error }, "maintenance failed; trying again");
    }
  }
}

const parsedBundles = new WeakMap<object, TrustBundles>();

function bundlesOf(view: MeshView): TrustBundles {
  const { bundle, trustDomain } = view.current();
  const known = parsedBundles.get(bundle);
  if (known !== undefined) return known;
  const bundles = new Map([[trustDomain, createTrustBundle(trustDomain, bundle.x509Authorities)]]);
  parsedBundles.set(bundle, bundles);
  return bundles;
}
