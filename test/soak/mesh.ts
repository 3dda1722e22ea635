/**
 * The mesh of the soak, every part a process: a control plane whose clock is behind, a caller's sidecar, two receivers' of one
 * application. One receiver and the control plane can be restarted; the others stay, and their memory is watched.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { connectAdmin } from "../../cli/admin-client.ts";
import { untilAcquainted } from "../../cli/up/acquainted.ts";
import type { SidecarReady } from "../../sidecar/main.ts";
import type { Ready } from "../../control-plane/main.ts";
import type { Processes, Running } from "../bench/processes.ts";
import { meshResources, namespace, trustDomain } from "./resources.ts";

const root = join(import.meta.dirname, "../..");
const anyPort = "127.0.0.1:0";
const acquaintanceMs = 15_000;

/**
 * A certificate of 300 s begins 60 s before its issue, and is renewed between 0.4 and 0.6 of its life: from 84 to 156 s after
 * the issue. Issued by a clock that is 102 s behind, that is from at once to 54 s, and every 20 s on average.
 */
const lagSeconds = 102;

export interface Sidecar extends SidecarReady {
  readonly name: string;
  readonly running: Running;
}

export interface SoakMesh {
  readonly caller: Sidecar;
  /** The receiver that stays. */
  readonly receiver: Sidecar;
  /** Those that are up; the restarted one is not among them meanwhile. */
  receivers(): readonly Sidecar[];
  /** For a receiver that is to be started. */
  joinToken(): Promise<string>;
  /** Ends the other receiver in good order and starts it anew. Resolves when the caller knows it. Throws where it does not end with 0. */
  restartReceiver(joinToken: string): Promise<void>;
  /** Whatever `signal` does to it; resolves when it is back, after about `downMs`. */
  restartControlPlane(signal: "SIGTERM" | "SIGKILL", downMs: number): Promise<void>;
  /** JSON documents; resolves to the revision in which they are in force. */
  apply(resources: readonly string[]): Promise<number>;
  /** Renewed certificates so far. */
  renewals(): number;
}

/** Resolves when everybody is ready and known. */
export async function startMesh(
  folder: string,
  processes: Processes,
  ports: { readonly httpPort: number; readonly grpcPort: number },
  signal: AbortSignal,
): Promise<SoakMesh> {
  const data = join(folder, "control-plane");
  await mkdir(data);
  let renewals = 0;
  let count = 0;

  async function startControlPlane(grpc: string): Promise<{ running: Running; ready: Ready }> {
    const running = processes.start("control-plane", join(root, "bin/node26"), [join(import.meta.dirname, "control-plane.ts")], {
      SOAK_LAG_SECONDS: String(lagSeconds),
      COUNTERSIGN_DATA: data,
      COUNTERSIGN_TRUST_DOMAIN: trustDomain,
      COUNTERSIGN_GRPC: grpc,
      COUNTERSIGN_METRICS: anyPort,
      COUNTERSIGN_DRAIN_SECONDS: "1",
    });
    return { running, ready: await readyLine<Ready>(running) };
  }

  let plane = await startControlPlane(anyPort);
  const { grpc, bundle, adminSocket } = plane.ready;

  async function atAdmin<T>(work: (admin: ReturnType<typeof connectAdmin>) => Promise<T>): Promise<T> {
    const admin = connectAdmin(adminSocket);
    try {
      return await work(admin);
    } finally {
      admin.close();
    }
  }

  const tokenOf = async (workload: "caller" | "app") => (await atAdmin((admin) => admin.createJoinToken(namespace, workload))).token;

  async function startSidecar(name: string, token: string): Promise<Sidecar> {
    const ports = ["OUTBOUND", "INBOUND", "ADMIN", "METRICS", "HEALTH"].map((port) => [`COUNTERSIGN_${port}`, anyPort]);
    const environment: Record<string, string> = {
      ...Object.fromEntries(ports),
      COUNTERSIGN_TRUST_DOMAIN: trustDomain,
      COUNTERSIGN_CONTROL_PLANE: grpc,
      COUNTERSIGN_TRUST_BUNDLE: bundle,
      COUNTERSIGN_JOIN_TOKEN: token,
      COUNTERSIGN_SESSION_NAME: `${name}-${++count}`,
      COUNTERSIGN_DRAIN_SECONDS: "10",
      NODE_OPTIONS: `--import=${join(import.meta.dirname, "collect-on-signal.ts")}`,
    };
    const running = processes.start(name, join(root, "bin/countersign"), ["sidecar"], environment, (line) => {
      if (line.includes('"certificate-renewed"')) renewals++;
    });
    return { ...(await readyLine<SidecarReady>(running)), name, running };
  }

  const apply = async (resources: readonly string[]) => (await atAdmin((admin) => admin.apply(resources, false))).revision;
  await apply(meshResources(ports.httpPort, ports.grpcPort));
  const [receiver, other, caller] = await Promise.all([
    startSidecar("receiver", await tokenOf("app")),
    startSidecar("restarted", await tokenOf("app")),
    startSidecar("caller", await tokenOf("caller")),
  ]);
  let restarted: Sidecar | undefined = other;
  const receivers = () => (restarted === undefined ? [receiver] : [receiver, restarted]);
  await untilAcquainted([caller, ...receivers()], signal, acquaintanceMs);

  return {
    caller,
    receiver,
    receivers,
    joinToken: () => tokenOf("app"),
    async restartReceiver(joinToken) {
      const old = restarted;
      restarted = undefined;
      const code = await old?.running.stop("SIGTERM");
      if (code !== 0) throw new Error(`a receiver told to stop ended with ${code}`);
      restarted = await startSidecar("restarted", joinToken);
      await untilAcquainted([caller, ...receivers()], signal, acquaintanceMs);
    },
    async restartControlPlane(how, downMs) {
      await plane.running.stop(how);
      await new Promise((resolve) => setTimeout(resolve, downMs));
      signal.throwIfAborted();
      plane = await startControlPlane(grpc);
    },
    apply,
    renewals: () => renewals,
  };
}

/** The fields of the line that says that it is ready. */
function readyLine<T>(running: Running): Promise<T> {
  return running.line((line) => {
    if (!line.startsWith("{")) return undefined;
    const fields = JSON.parse(line) as { event?: string };
    return fields.event === "ready" ? (fields as T) : undefined;
  });
}
