/** Countersign: a real control plane, and the sidecars of a caller and of the application, by the command line users have. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { connectAdmin } from "../../../cli/admin-client.ts";
import { grpcPath, mebibytePath } from "../answers.ts";
import { BenchError } from "../errors.ts";
import type { Running } from "../processes.ts";
import type { Place, Site } from "../site.ts";
import { applicationPort, readyPeer, relayOf, type PairPlan, type Peer } from "./peer.ts";

const root = join(import.meta.dirname, "../../..");
const trustDomain = "bench.example";
const namespace = "bench";
const anyLoopbackPort = "127.0.0.1:0";

function resource(kind: string, name: string, spec: object): string {
  return JSON.stringify({ apiVersion: "countersign.dev/v1", kind, metadata: { name, namespace }, spec });
}

/** The caller may do what the benchmark does, and nothing else. */
function resources(protocol: PairPlan["protocol"]): string[] {
  const operations = protocol === "grpc" ? { Say: `POST ${grpcPath}` } : { ReadPage: "GET /", ExchangeMebibyte: `POST ${mebibytePath}` };
  const port = { port: 80, protocol: protocol === "grpc" ? "grpc" : "http" };
  return [
    resource("Workload", "caller", {}),
    resource("Workload", "app", {}),
    resource("Service", "caller", { calls: [{ service: "app", actions: Object.keys(operations) }] }),
    resource("Service", "app", { ports: [port], operations, operationsMode: "strict" }),
  ];
}

/** The address that the `ready` line gives under `name`. */
export function readyAddress(running: Running, name: string): Promise<string> {
  return running.line((line) => {
    if (!line.startsWith("{")) return undefined;
    const fields = new Map<string, unknown>(Object.entries(JSON.parse(line) as object));
    const address = fields.get(name);
    return fields.get("event") === "ready" && typeof address === "string" ? address : undefined;
  });
}

export interface SidecarPlan {
  readonly token: string;
  readonly processName: string;
  readonly applicationPort: number;
  /** As peers are to reach the inbound port, where that is not its own address. */
  readonly advertise?: string;
}

/** A control plane that knows both workloads. */
export interface BenchMesh {
  joinToken(workload: "caller" | "app"): Promise<string>;
  /** Its `ready` line follows. */
  startSidecar(plan: SidecarPlan): Running;
}

export async function startBenchMesh(place: Place, protocol: PairPlan["protocol"]): Promise<BenchMesh> {
  const data = join(place.folder, "control-plane");
  await mkdir(data);
  const controlPlane = place.processes.start("control-plane", join(root, "bin/countersign"), ["control-plane"], {
    COUNTERSIGN_DATA: data,
    COUNTERSIGN_TRUST_DOMAIN: trustDomain,
    COUNTERSIGN_GRPC: anyLoopbackPort,
    COUNTERSIGN_METRICS: anyLoopbackPort,
  });
  const grpc = await readyAddress(controlPlane, "grpc");
  const socket = join(data, "admin.sock");
  await atAdmin(socket, (admin) => admin.apply(resources(protocol), false));
  return {
    joinToken: async (workload) => (await atAdmin(socket, (admin) => admin.createJoinToken(namespace, workload))).token,
    startSidecar(sidecar) {
      const environment = {
        COUNTERSIGN_TRUST_DOMAIN: trustDomain,
        COUNTERSIGN_CONTROL_PLANE: grpc,
        COUNTERSIGN_TRUST_BUNDLE: join(data, "bundle.pem"),
        COUNTERSIGN_JOIN_TOKEN: sidecar.token,
        COUNTERSIGN_OUTBOUND: anyLoopbackPort,
        COUNTERSIGN_INBOUND: anyLoopbackPort,
        COUNTERSIGN_ADMIN: anyLoopbackPort,
        COUNTERSIGN_METRICS: anyLoopbackPort,
        COUNTERSIGN_HEALTH: anyLoopbackPort,
        // At the end nobody waits for an answer any more, only idle connections are left.
        COUNTERSIGN_DRAIN_SECONDS: "1",
        COUNTERSIGN_APP: `127.0.0.1:${sidecar.applicationPort}`,
        ...(sidecar.advertise === undefined ? {} : { COUNTERSIGN_ADVERTISE: sidecar.advertise }),
      };
      const { processName: name } = sidecar;
      if (place.profile === undefined) return place.processes.start(name, join(root, "bin/countersign"), ["sidecar"], environment);
      const profiling = ["--cpu-prof", `--cpu-prof-dir=${place.profile}`, `--cpu-prof-name=${place.workName}-${name}.cpuprofile`];
      return place.processes.start(name, join(root, "bin/node26"), [...profiling, join(root, "cli/main.ts"), "sidecar"], environment);
    },
  };
}

/** Whatever the control plane refuses is a BenchError `process-failed`. */
async function atAdmin<T>(socket: string, work: (admin: ReturnType<typeof connectAdmin>) => Promise<T>): Promise<T> {
  const admin = connectAdmin(socket);
  try {
    return await work(admin);
  } catch (cause) {
    throw new BenchError("process-failed", `the control plane refused: ${(cause as Error).message}`, { cause });
  } finally {
    admin.close();
  }
}

export async function startCountersignPair(site: Site, plan: PairPlan): Promise<Peer> {
  const mesh = await startBenchMesh(site, plan.protocol);
  const relay = await relayOf(site, plan);
  const port = applicationPort(site, plan);
  const receiver = mesh.startSidecar({
    token: await mesh.joinToken("app"),
    processName: "countersign-receiver",
    applicationPort: port,
    ...(relay === undefined ? {} : { advertise: `127.0.0.1:${relay.port}` }),
  });
  const inbound = await readyAddress(receiver, "inbound");
  relay?.aim(Number(inbound.split(":").at(-1)));
  const caller = mesh.startSidecar({ token: await mesh.joinToken("caller"), processName: "countersign-caller", applicationPort: port });
  const target = { origin: `http://${await readyAddress(caller, "outbound")}`, host: "app" };
  return await readyPeer("countersign", target, { caller, receiver, relay }, site, plan);
}
