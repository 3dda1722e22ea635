/** A sidecar as a process of its own, for tests that end one by a signal. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Environment } from "../../common/runtime/environment.ts";
import { countersign, until, type LogLine, type TestMesh } from "./harness.ts";

export interface SidecarProcess {
  readonly logs: readonly LogLine[];
  /** What its `ready` line says, or any other of its events. Waits for it. */
  event(name: string): Promise<LogLine>;
  terminate(): void;
  /** Exit code, or the signal's name. */
  readonly exited: Promise<number | string>;
}

export interface ReadySidecarProcess extends SidecarProcess {
  readonly ready: LogLine;
}

const everywhere = ["OUTBOUND", "INBOUND", "ADMIN", "METRICS", "HEALTH"].map((name) => [`COUNTERSIGN_${name}`, "127.0.0.1:0"]);

/** `program`: that of another version. */
export function spawnSidecar(environment: Environment, program = countersign): SidecarProcess {
  const child = spawn(program, ["sidecar"], {
    env: { PATH: process.env["PATH"], ...Object.fromEntries(everywhere), ...environment },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const logs: LogLine[] = [];
  createInterface({ input: child.stdout }).on("line", (line) => logs.push(JSON.parse(line) as LogLine));
  const exited = once(child, "exit").then(([code, signal]) => (code as number | null) ?? String(signal));
  return {
    logs,
    event: (name) => until(`the sidecar says ${name}`, () => logs.find(({ event }) => event === name)),
    exited,
    terminate: () => child.kill("SIGTERM"),
  };
}

/** Of that workload of the mesh, when it is ready. */
export async function spawnMember(
  mesh: TestMesh,
  workload: string,
  environment: Environment,
  program = countersign,
): Promise<ReadySidecarProcess> {
  const { token } = await mesh.admin.createJoinToken(mesh.namespace, workload);
  const settings = {
    COUNTERSIGN_TRUST_DOMAIN: mesh.trustDomain,
    COUNTERSIGN_CONTROL_PLANE: mesh.controlPlane.grpc,
    COUNTERSIGN_TRUST_BUNDLE: mesh.controlPlane.bundle,
    COUNTERSIGN_JOIN_TOKEN: token,
    COUNTERSIGN_DRAIN_SECONDS: "30",
    ...environment,
  };
  const sidecar = spawnSidecar(settings, program);
  return { ...sidecar, ready: await sidecar.event("ready") };
}

/** Milliseconds from its first event to the other, by its own log. */
export function between({ logs }: SidecarProcess, first: string, second: string): number {
  const [from, to] = [first, second].map((name) => Number(logs.find(({ event }) => event === name)?.["time"]));
  return Number(to) - Number(from);
}
