/**
 * A whole mesh in the test's own process: a real control plane, real sidecars and real sockets, ports chosen by the kernel,
 * applications written in the test. What has to die for a test (`kill -9`) runs as a process instead.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { mkdtempSync, rmSync } from "node:fs";
import { Server as HttpServer } from "node:http";
import type { AddressInfo, Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { connectAdmin, type AdminClient } from "../../cli/admin-client.ts";
import { untilAcquainted } from "../../cli/up/acquainted.ts";
import type { Clock } from "../../common/runtime/clock.ts";
import type { Environment } from "../../common/runtime/environment.ts";
import { readResources } from "../../common/resources/read.ts";
import { runControlPlane, type Ready } from "../../control-plane/main.ts";
import { becomeWorkload, assumeRole } from "../../examples/shop/intruder.ts";
import type { AssumeRoleResponse } from "../../common/gen/mesh/v1/token.ts";
import { runSidecar, type SidecarReady } from "../../sidecar/main.ts";
import type { ControlPlaneTarget } from "../../sidecar/sync/control-plane.ts";
import type { Identity } from "../../sidecar/tls/profile.ts";

export type LogLine = Readonly<Record<string, unknown>>;

export interface TestSidecar extends SidecarReady {
  readonly logs: readonly LogLine[];
  /** Drains and ends it; resolves when it has. */
  stop(): Promise<void>;
}

export interface SidecarSettings {
  /** Where its application listens; without one nothing does. */
  readonly application?: Server;
  readonly environment?: Environment;
}

export interface TestMesh {
  readonly folder: string;
  readonly trustDomain: string;
  readonly namespace: string;
  /** Of credential scopes. */
  readonly region: string;
  readonly controlPlane: Ready;
  readonly admin: AdminClient;
  readonly planeLogs: readonly LogLine[];
  /** Of that workload; throws where none was started. */
  sidecar(workload: string): TestSidecar;
  /** Another one, of any registered workload. Ready, and known to the others, when it resolves. */
  startSidecar(workload: string, settings?: SidecarSettings): Promise<TestSidecar>;
  apply(yaml: string): Promise<void>;
  /** A certificate of that workload, for calls made by hand. */
  identityOf(workload: string): Promise<Identity>;
  /** A session of that role for whoever holds `identity`. */
  sessionOf(identity: Identity, roleArn: string): Promise<AssumeRoleResponse>;
  /** Ends the control plane at once where it is a process of its own, otherwise in good order. */
  killControlPlane(): Promise<void>;
  /** On the same folder and port. */
  restartControlPlane(): Promise<void>;
  stop(): Promise<void>;
}

export interface MeshOptions {
  /** Resources; the Mesh among them sets the trust domain. */
  readonly yaml: string;
  /** A sidecar is started for each, beside the application given. */
  readonly workloads: Readonly<Record<string, SidecarSettings>>;
  readonly clock?: Clock;
  /** The control plane as a process of its own, which can be killed. */
  readonly planeProcess?: boolean;
  readonly folder?: string;
}

export const trustDomain = "test.example";
export const namespace = "shop";

export function temporaryFolder(): string {
  return mkdtempSync(join(tmpdir(), "countersign-mesh-"));
}

/** Asks every few milliseconds until there is an answer; rejects with the last error, or `what`, after ten seconds. */
export async function until<T>(what: string, ask: () => Promise<T | undefined | false> | T | undefined | false): Promise<T> {
  const deadline = performance.now() + 10_000;
  let problem: unknown;
  for (;;) {
    try {
      const answer = await ask();
      if (answer !== undefined && answer !== false) return answer;
      problem = undefined;
    } catch (error) {
      problem = error;
    }
    if (performance.now() > deadline) throw new Error(`waited in vain until ${what}`, { cause: problem });
    await delay(10);
  }
}

/** Listens on loopback and returns the port. */
export async function listening(server: Server): Promise<number> {
  if (!server.listening) {
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
  }
  return (server.address() as AddressInfo).port;
}

/** A port that nobody listens on. */
export async function deadPort(): Promise<number> {
  const server = new HttpServer();
  const port = await listening(server);
  server.close();
  await once(server, "close");
  return port;
}

const anyPort = "127.0.0.1:0";

interface RunningPlane {
  readonly ready: Ready;
  kill(): Promise<void>;
}

function collect(lines: LogLine[]): { write(line: string): void } {
  return { write: (line) => void lines.push(JSON.parse(line) as LogLine) };
}

async function startPlane(environment: Environment, clock: Clock | undefined, logs: LogLine[]): Promise<RunningPlane> {
  const controller = new AbortController();
  const ready = Promise.withResolvers<Ready>();
  const running = runControlPlane(environment, controller.signal, {
    ...(clock === undefined ? {} : { clock }),
    log: collect(logs),
    onReady: ready.resolve,
  });
  running.catch(ready.reject);
  return {
    ready: await ready.promise,
    async kill() {
      controller.abort(new Error("the test stops the control plane"));
      await running;
    },
  };
}

export const countersign = join(import.meta.dirname, "../../bin/countersign");

async function spawnPlane(environment: Environment, logs: LogLine[]): Promise<RunningPlane> {
  const child = spawn(countersign, ["control-plane"], {
    env: { PATH: process.env["PATH"], ...environment },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = once(child, "exit");
  const ready = Promise.withResolvers<Ready>();
  createInterface({ input: child.stdout }).on("line", (line) => {
    const fields = JSON.parse(line) as LogLine;
    logs.push(fields);
    if (fields["event"] === "ready") ready.resolve(fields as unknown as Ready);
  });
  exited.then(
    () => ready.reject(new Error("the control plane ended before it was ready")),
    (error: unknown) => ready.reject(error),
  );
  return {
    ready: await ready.promise,
    async kill() {
      child.kill("SIGKILL");
      await exited;
    },
  };
}

/** Resolves when each of the sidecars knows the others that it may call: being ready does not mean being known. */
const acquainted = (sidecars: Iterable<TestSidecar>): Promise<void> => untilAcquainted([...sidecars], new AbortController().signal, 10_000);

export async function startMesh(options: MeshOptions): Promise<TestMesh> {
  const { clock } = options;
  const folder = options.folder ?? temporaryFolder();
  const planeLogs: LogLine[] = [];
  const controller = new AbortController();
  const sidecars = new Map<string, TestSidecar>();
  const started = new Set<TestSidecar>();
  const servers = new Set<Server>();

  const planeEnvironment = (grpc: string): Environment => ({
    COUNTERSIGN_DATA: folder,
    COUNTERSIGN_TRUST_DOMAIN: trustDomain,
    COUNTERSIGN_GRPC: grpc,
    COUNTERSIGN_METRICS: anyPort,
    COUNTERSIGN_DRAIN_SECONDS: "1",
  });
  const openPlane = (grpc: string) =>
    options.planeProcess === true ? spawnPlane(planeEnvironment(grpc), planeLogs) : startPlane(planeEnvironment(grpc), clock, planeLogs);
  let plane: RunningPlane | undefined = await openPlane(anyPort);
  const { ready } = plane;
  const admin = connectAdmin(ready.adminSocket);
  const target: ControlPlaneTarget = {
    address: ready.grpc,
    trustDomain,
    authorities: await readFile(ready.bundle, "utf8"),
  };

  const apply = async (yaml: string): Promise<void> => {
    await admin.apply(
      readResources(yaml, "test.yaml").map((each) => JSON.stringify(each)),
      false,
    );
  };

  async function launch(workload: string, settings: SidecarSettings = {}): Promise<TestSidecar> {
    const { application } = settings;
    const token = settings.environment?.["COUNTERSIGN_JOIN_TOKEN"] ?? (await admin.createJoinToken(namespace, workload)).token;
    const port = application ? await listening(application) : await deadPort();
    if (application) servers.add(application);
    const logs: LogLine[] = [];
    const stop = new AbortController();
    const isReady = Promise.withResolvers<SidecarReady>();
    const running = runSidecar(
      {
        COUNTERSIGN_TRUST_DOMAIN: trustDomain,
        COUNTERSIGN_CONTROL_PLANE: ready.grpc,
        COUNTERSIGN_TRUST_BUNDLE: ready.bundle,
        COUNTERSIGN_JOIN_TOKEN: token,
        COUNTERSIGN_SESSION_NAME: `${workload}-1`,
        COUNTERSIGN_OUTBOUND: anyPort,
        COUNTERSIGN_INBOUND: anyPort,
        COUNTERSIGN_ADMIN: anyPort,
        COUNTERSIGN_METRICS: anyPort,
        COUNTERSIGN_HEALTH: anyPort,
        COUNTERSIGN_APP: `127.0.0.1:${port}`,
        COUNTERSIGN_DRAIN_SECONDS: "1",
        COUNTERSIGN_LOG_LEVEL: "debug",
        ...settings.environment,
      },
      stop.signal,
      { ...(clock === undefined ? {} : { clock }), log: collect(logs), onReady: isReady.resolve },
    );
    running.catch(isReady.reject);
    const addresses = await isReady.promise;
    const sidecar: TestSidecar = {
      ...addresses,
      logs,
      async stop() {
        started.delete(sidecar);
        stop.abort(new Error("the test stops the sidecar"));
        await running;
      },
    };
    started.add(sidecar);
    return sidecar;
  }

  async function startSidecar(workload: string, settings: SidecarSettings = {}): Promise<TestSidecar> {
    const sidecar = await launch(workload, settings);
    await acquainted(started);
    return sidecar;
  }

  async function stopAll(): Promise<void> {
    await Promise.all([...started].map((sidecar) => sidecar.stop()));
    admin.close();
    await plane?.kill();
    controller.abort();
    for (const server of servers) {
      if (server instanceof HttpServer) server.closeAllConnections();
      server.close();
    }
    rmSync(folder, { recursive: true, force: true });
  }

  try {
    await apply(options.yaml);
    await Promise.all(
      Object.entries(options.workloads).map(async ([workload, settings]) => {
        sidecars.set(workload, await launch(workload, settings));
      }),
    );
    await acquainted(started);
  } catch (error) {
    await stopAll();
    throw error;
  }

  return {
    folder,
    trustDomain,
    namespace,
    region: "test-example",
    controlPlane: ready,
    admin,
    planeLogs,
    sidecar(workload) {
      const sidecar = sidecars.get(workload);
      if (!sidecar) throw new Error(`${workload} has no sidecar`);
      return sidecar;
    },
    startSidecar,
    apply,
    async identityOf(workload) {
      const { token } = await admin.createJoinToken(namespace, workload);
      return await becomeWorkload(target, token, controller.signal);
    },
    sessionOf: (identity, roleArn) => assumeRole(target, identity, roleArn, "by-hand"),
    async killControlPlane() {
      await plane?.kill();
      plane = undefined;
    },
    async restartControlPlane() {
      plane = await openPlane(ready.grpc);
    },
    stop: stopAll,
  };
}

/** `role/service-linked/<service>` */
export function serviceLinkedRole(service: string): string {
  return `arn:mesh:iam:${trustDomain}:${namespace}:role/service-linked/${service}`;
}

/** A JSON page of the admin listener. */
export async function adminView<T>(sidecar: TestSidecar, path: string): Promise<T> {
  const response = await fetch(`http://${sidecar.admin}${path}`);
  return (await response.json()) as T;
}
