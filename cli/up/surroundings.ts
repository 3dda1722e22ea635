/**
 * Where the parts of a mesh on this machine run, and how they reach each other: here, all of them on loopback, where a program
 * finds its sidecar by `http_proxy`. `namespaces.ts` has the other way.
 */
import { sidecarCommand } from "../sidecar-command.ts";
import { join } from "node:path";
import type { Resource, WorkloadResource } from "../../common/resources/resource.ts";
import { untilAcquainted, type Acquaintance } from "./acquainted.ts";
import { freePort, untilListening } from "./ports.ts";
import type { RunningProcess } from "./processes.ts";

export interface Surroundings extends AsyncDisposable {
  /** As they are applied: what depends on where the mesh runs is filled in. */
  readonly resources: readonly Resource[];
  /** What runs it, and where it listens. */
  readonly controlPlane: { readonly command: readonly string[]; readonly host: string };
  /** A copy of the trust bundle that sidecars may read, or the file itself. */
  bundleFor(path: string): Promise<string>;
  /** Where a workload's program listens. */
  portOf(workload: WorkloadResource): Promise<number>;
  sidecarOf(workload: WorkloadResource, port: number): Promise<SidecarStart>;
  programOf(workload: WorkloadResource, command: string | readonly string[], outbound: string): ProgramStart;
  untilListening(program: RunningProcess, port: number, signal: AbortSignal): Promise<void>;
  /** Resolves when each sidecar knows those that it may call. */
  untilAcquainted(sidecars: ReadonlyMap<WorkloadResource, Acquaintance>, signal: AbortSignal, timeoutMs: number): Promise<void>;
  /** By workload, `namespace/name`, what a person has to know of where it is. */
  readonly places: ReadonlyMap<string, Place>;
}

export interface SidecarStart {
  /** What runs `main.ts sidecar`. */
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
}

export interface ProgramStart {
  readonly command: string | readonly string[];
  /** Added to that of the mesh; undefined takes away. */
  readonly environment: Readonly<Record<string, string | undefined>>;
}

export interface Place {
  /** As `ip netns` knows it. */
  readonly namespace: string;
  readonly address: string;
}

const main = join(import.meta.dirname, "../main.ts");
const anyPort = "127.0.0.1:0";

export function createLoopback(resources: readonly Resource[]): Surroundings {
  return {
    resources,
    controlPlane: { command: [process.execPath, main, "control-plane"], host: "127.0.0.1" },
    bundleFor: (path) => Promise.resolve(path),
    portOf: async (workload) => workload.spec.port ?? (await freePort()),
    sidecarOf: (_, port) =>
      Promise.resolve({
        command: [...sidecarCommand],
        environment: {
          COUNTERSIGN_OUTBOUND: anyPort,
          COUNTERSIGN_INBOUND: anyPort,
          COUNTERSIGN_ADMIN: anyPort,
          COUNTERSIGN_METRICS: anyPort,
          COUNTERSIGN_HEALTH: anyPort,
          COUNTERSIGN_APP: `127.0.0.1:${port}`,
        },
      }),
    programOf: (_, command, outbound) => ({ command, environment: proxyEnvironment(outbound) }),
    untilListening: (program, port, signal) => untilListening(program.name, port, program.exited, signal),
    untilAcquainted: (sidecars, signal, timeoutMs) => untilAcquainted([...sidecars.values()], signal, timeoutMs),
    places: new Map(),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/** What makes curl, Python, Go, Ruby and Node send plain HTTP by way of the sidecar. Loopback stays loopback. */
function proxyEnvironment(outbound: string): Record<string, string> {
  const proxy = `http://${outbound}`;
  const direct = "127.0.0.1,localhost,::1";
  return { http_proxy: proxy, HTTP_PROXY: proxy, no_proxy: direct, NO_PROXY: direct, NODE_USE_ENV_PROXY: "1" };
}
