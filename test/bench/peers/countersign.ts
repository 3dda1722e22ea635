/** Countersign: a real control plane, and the sidecars of a caller and of the application, by the command line users have. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { connectAdmin } from "../../../cli/admin-client.ts";
import { BenchError } from "../errors.ts";
import type { Running } from "../processes.ts";
import { waitForAnswer, type Peer, type Site } from "./peer.ts";

const root = join(import.meta.dirname, "../../..");
const trustDomain = "bench.example";
const namespace = "bench";
const anyLoopbackPort = "127.0.0.1:0";

function resource(kind: string, name: string, spec: object): string {
  return JSON.stringify({ apiVersion: "countersign.dev/v1", kind, metadata: { name, namespace }, spec });
}

/** The caller may do one thing, and that is all it does. */
const resources = [
  resource("Workload", "caller", {}),
  resource("Workload", "app", {}),
  resource("Service", "caller", { calls: [{ service: "app", actions: ["ReadPage"] }] }),
  resource("Service", "app", { ports: [{ port: 80 }], operations: { ReadPage: "GET /" }, operationsMode: "strict" }),
];

/** The address that the `ready` line gives under `name`. */
function readyAddress(running: Running, name: string): Promise<string> {
  return running.line((line) => {
    if (!line.startsWith("{")) return undefined;
    const fields = new Map<string, unknown>(Object.entries(JSON.parse(line) as object));
    const address = fields.get(name);
    return fields.get("event") === "ready" && typeof address === "string" ? address : undefined;
  });
}

/** Registers the two workloads and resolves to a join token of each. */
async function register(socket: string): Promise<{ readonly caller: string; readonly app: string }> {
  const admin = connectAdmin(socket);
  try {
    await admin.apply(resources, false);
    const caller = await admin.createJoinToken(namespace, "caller");
    const app = await admin.createJoinToken(namespace, "app");
    return { caller: caller.token, app: app.token };
  } catch (cause) {
    throw new BenchError("process-failed", `the control plane refused: ${(cause as Error).message}`, { cause });
  } finally {
    admin.close();
  }
}

/** With `profile`, Node writes a CPU profile of each sidecar to that folder when the sidecar ends. */
export async function startCountersignPair(site: Site, profile: string | undefined): Promise<Peer> {
  const data = join(site.folder, "control-plane");
  await mkdir(data);
  const controlPlane = site.processes.start("control-plane", join(root, "bin/countersign"), ["control-plane"], {
    COUNTERSIGN_DATA: data,
    COUNTERSIGN_TRUST_DOMAIN: trustDomain,
    COUNTERSIGN_GRPC: anyLoopbackPort,
    COUNTERSIGN_METRICS: anyLoopbackPort,
  });
  const grpc = await readyAddress(controlPlane, "grpc");
  const tokens = await register(join(data, "admin.sock"));

  const startSidecar = (name: string, joinToken: string) => {
    const environment = {
      COUNTERSIGN_TRUST_DOMAIN: trustDomain,
      COUNTERSIGN_CONTROL_PLANE: grpc,
      COUNTERSIGN_TRUST_BUNDLE: join(data, "bundle.pem"),
      COUNTERSIGN_JOIN_TOKEN: joinToken,
      COUNTERSIGN_OUTBOUND: anyLoopbackPort,
      COUNTERSIGN_INBOUND: anyLoopbackPort,
      COUNTERSIGN_ADMIN: anyLoopbackPort,
      COUNTERSIGN_METRICS: anyLoopbackPort,
      COUNTERSIGN_HEALTH: anyLoopbackPort,
      // At the end nobody waits for an answer any more, only idle connections are left.
      COUNTERSIGN_DRAIN_SECONDS: "1",
      COUNTERSIGN_APP: `127.0.0.1:${site.appPort}`,
    };
    if (profile === undefined) return site.processes.start(name, join(root, "bin/countersign"), ["sidecar"], environment);
    const profiling = ["--cpu-prof", `--cpu-prof-dir=${profile}`, `--cpu-prof-name=${name}.cpuprofile`];
    return site.processes.start(name, join(root, "bin/node26"), [...profiling, join(root, "cli/main.ts"), "sidecar"], environment);
  };
  const receiver = startSidecar("countersign-receiver", tokens.app);
  await readyAddress(receiver, "inbound");
  const caller = startSidecar("countersign-caller", tokens.caller);
  const target = { url: `http://${await readyAddress(caller, "outbound")}/`, host: "app" };
  const proxies = [receiver, caller];
  await waitForAnswer("countersign", target, [controlPlane, ...proxies], site.signal);
  return { name: "countersign", target, proxies };
}
