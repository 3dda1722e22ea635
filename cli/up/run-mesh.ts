/**
 * A whole mesh on one machine: a control plane, a sidecar beside every workload, and the workloads' own programs, each a
 * process, with nothing of the mesh in the programs but `PORT` in their environment, and `http_proxy` unless they are
 * `transparent`ly intercepted.
 *
 * Nothing is restarted: a program that ends is reported; a sidecar or control plane that ends ends the mesh with its name.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import {
  apiVersion,
  kindSchemas,
  type MeshResource,
  type Resource,
  type ServiceResource,
  type WorkloadResource,
} from "../../common/resources/resource.ts";
import { trustDomainFromString } from "../../common/spiffe/trust-domain.ts";
import { connectAdmin, type AdminClient } from "../admin-client.ts";
import type { Acquaintance } from "./acquainted.ts";
import { MeshError } from "./mesh-error.ts";
import { createNamespaces, type TransparentOptions } from "./namespaces.ts";
import { describeExit, startProcess, type Exit, type RunningProcess } from "./processes.ts";
import { calleesFirst, isServed } from "./start-order.ts";
import { createLoopback, type Place, type Surroundings } from "./surroundings.ts";

export type MeshEvent =
  /** A JSON line of a control plane or sidecar. */
  | { readonly kind: "log"; readonly process: string; readonly fields: ReadonlyMap<string, unknown> }
  /** A line of a program of the user's, or one of ours that is no JSON. */
  | { readonly kind: "output"; readonly process: string; readonly stream: "stdout" | "stderr"; readonly line: string }
  | { readonly kind: "started"; readonly process: string; readonly pid: number | undefined }
  | { readonly kind: "exited"; readonly process: string; readonly exit: Exit };

export interface SidecarAddresses {
  readonly outbound: string;
  readonly inbound: string;
  readonly admin: string;
  readonly metrics: string;
  readonly health: string;
  readonly spiffeId: string;
  readonly instance: string;
}

export interface RunningMesh {
  readonly trustDomain: string;
  readonly controlPlane: { readonly grpc: string; readonly metrics: string; readonly bundle: string; readonly socket: string };
  /** By workload, `namespace/name`. */
  readonly sidecars: ReadonlyMap<string, SidecarAddresses>;
  /** Where the programs listen. */
  readonly programs: ReadonlyMap<string, { readonly port: number }>;
  /** By workload, its namespace; empty where all of them are on loopback. */
  readonly places: ReadonlyMap<string, Place>;
  readonly admin: AdminClient;
  /** Rejects with MeshError when a part of the mesh itself ends, or a program ends badly. Never resolves. */
  readonly failed: Promise<never>;
  /** Ends the programs, then the sidecars, then the control plane. */
  stop(): Promise<void>;
}

export interface RunMeshOptions {
  readonly resources: readonly Resource[];
  /** Folder of the control plane's data; made when it is not there. */
  readonly data: string;
  /** Where commands run. */
  readonly cwd: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly onEvent: (event: MeshEvent) => void;
  readonly signal: AbortSignal;
  /** Every workload in a network namespace of its own, and no `http_proxy`. Takes root. */
  readonly transparent?: TransparentOptions | undefined;
}

const readyTimeoutMs = 30_000;
const stopTimeoutMs = 10_000;
const localTrustDomain = "mesh.local";

interface Ready {
  readonly process: RunningProcess;
  readonly fields: ReadonlyMap<string, unknown>;
}

/** Resolves when every program runs and those with a port listen. Rejects with MeshError, everything stopped again. */
export async function runMesh(options: RunMeshOptions): Promise<RunningMesh> {
  const { onEvent, signal } = options;
  const programs: RunningProcess[] = [];
  const sidecars: RunningProcess[] = [];
  const failure = Promise.withResolvers<never>();
  failure.promise.catch(() => undefined);
  let stopping = false;
  let controlPlane: RunningProcess | undefined;
  let admin: AdminClient | undefined;
  let surroundings: Surroundings | undefined;

  async function stop(): Promise<void> {
    stopping = true;
    admin?.close();
    await Promise.all(programs.map((each) => each.stop(stopTimeoutMs)));
    await Promise.all(sidecars.map((each) => each.stop(stopTimeoutMs)));
    await controlPlane?.stop(stopTimeoutMs);
    await surroundings?.[Symbol.asyncDispose]();
  }

  /** Starts a part of the mesh itself and waits for its `ready` line. */
  function startOurs(
    name: string,
    part: "control-plane" | "sidecar",
    command: readonly string[],
    environment: Readonly<Record<string, string>>,
  ): Promise<Ready> {
    return new Promise((resolve, reject) => {
      if (stopping || signal.aborted) {
        reject(signal.aborted ? signal.reason : new MeshError("not-ready", `${name} was not started: the mesh is stopping`));
        return;
      }
      let lastLine = "";
      const timer = setTimeout(
        () => reject(new MeshError("not-ready", `${name} was not ready within ${readyTimeoutMs / 1000} s: ${lastLine}`)),
        readyTimeoutMs,
      );
      const running = startProcess({
        name,
        command,
        cwd: options.cwd,
        environment: { ...ourEnvironment(options.environment), ...environment },
        onLine(line, stream) {
          const fields = jsonFields(line);
          if (!fields) {
            lastLine = line;
            onEvent({ kind: "output", process: name, stream, line });
            return;
          }
          onEvent({ kind: "log", process: name, fields });
          if (fields.get("event") === "ready") {
            clearTimeout(timer);
            resolve({ process: running, fields });
          }
        },
      });
      onEvent({ kind: "started", process: name, pid: running.pid });
      if (part === "sidecar") sidecars.push(running);
      else controlPlane = running;
      void running.exited.then((exit) => {
        clearTimeout(timer);
        if (stopping) return;
        onEvent({ kind: "exited", process: name, exit });
        const error = new MeshError("process-ended", `${name} ${describeExit(exit)}${lastLine === "" ? "" : `: ${lastLine}`}`);
        reject(error);
        failure.reject(error);
      });
    });
  }

  try {
    const mesh = options.resources.find((each): each is MeshResource => each.kind === "Mesh") ?? defaultMesh();
    const { trustDomain } = mesh.spec;
    const asked = options.resources.includes(mesh) ? options.resources : [mesh, ...options.resources];
    // One without a command runs elsewhere: it is registered, and that is all.
    const workloads = asked.filter((each): each is WorkloadResource => each.kind === "Workload" && each.spec.command !== undefined);
    const here = options.transparent
      ? await createNamespaces({
          ...options.transparent,
          resources: asked,
          workloads,
          trustDomain: trustDomainFromString(trustDomain),
          environment: options.environment,
        })
      : createLoopback(asked);
    surroundings = here;

    await mkdir(options.data, { recursive: true });
    const anyPort = `${here.controlPlane.host}:0`;
    const ready = await startOurs("control-plane", "control-plane", here.controlPlane.command, {
      COUNTERSIGN_DATA: options.data,
      COUNTERSIGN_TRUST_DOMAIN: trustDomain,
      COUNTERSIGN_GRPC: anyPort,
      COUNTERSIGN_METRICS: anyPort,
    });
    const socket = join(options.data, "admin.sock");
    const bundle = join(options.data, "bundle.pem");
    const grpc = textOf(ready.fields, "grpc");
    admin = connectAdmin(socket);
    await admin.apply(
      here.resources.map((each) => JSON.stringify(each)),
      false,
    );

    const ports = new Map<WorkloadResource, number>();
    for (const workload of workloads) ports.set(workload, await here.portOf(workload));
    const sidecarBundle = await here.bundleFor(bundle);
    const acquaintances = new Map<WorkloadResource, Acquaintance>();

    const addresses = new Map<string, SidecarAddresses>();
    await Promise.all(
      workloads.map(async (workload) => {
        const { namespace, name } = workload.metadata;
        const { token } = await (admin as AdminClient).createJoinToken(namespace, name);
        const { command, environment } = await here.sidecarOf(workload, ports.get(workload) ?? 0);
        const { fields } = await startOurs(`${name}-sidecar`, "sidecar", command, {
          COUNTERSIGN_TRUST_DOMAIN: trustDomain,
          COUNTERSIGN_CONTROL_PLANE: grpc,
          COUNTERSIGN_TRUST_BUNDLE: sidecarBundle,
          COUNTERSIGN_JOIN_TOKEN: token,
          COUNTERSIGN_SESSION_NAME: sessionName(name),
          COUNTERSIGN_DRAIN_SECONDS: "5",
          ...environment,
        });
        const sidecar: SidecarAddresses = {
          outbound: textOf(fields, "outbound"),
          inbound: textOf(fields, "inbound"),
          admin: textOf(fields, "admin"),
          metrics: textOf(fields, "metrics"),
          health: textOf(fields, "health"),
          spiffeId: textOf(fields, "spiffeId"),
          instance: textOf(fields, "instance"),
        };
        addresses.set(`${namespace}/${name}`, sidecar);
        acquaintances.set(workload, sidecar);
      }),
    );

    await Promise.race([here.untilAcquainted(acquaintances, signal, readyTimeoutMs), failure.promise]);

    const listening = new Map<string, { port: number }>();
    const services = options.resources.filter((each): each is ServiceResource => each.kind === "Service");
    for (const workload of calleesFirst(workloads, services)) {
      const { command, env } = workload.spec;
      if (command === undefined) continue;
      const { namespace, name } = workload.metadata;
      const port = ports.get(workload) ?? 0;
      const sidecar = addresses.get(`${namespace}/${name}`);
      if (!sidecar) throw new MeshError("not-ready", `${name} has no sidecar`);
      const start = here.programOf(workload, command, sidecar.outbound);
      const program = startProcess({
        name,
        command: start.command,
        cwd: options.cwd,
        environment: { ...options.environment, ...start.environment, PORT: String(port), ...env },
        onLine: (line, stream) => onEvent({ kind: "output", process: name, stream, line }),
      });
      programs.push(program);
      onEvent({ kind: "started", process: name, pid: program.pid });
      void program.exited.then((exit) => {
        if (stopping) return;
        onEvent({ kind: "exited", process: name, exit });
        if (exit.code !== 0) failure.reject(new MeshError("program-failed", `${name} ${describeExit(exit)}`));
      });
      listening.set(`${namespace}/${name}`, { port });
      if (isServed(workload, services)) {
        await Promise.race([here.untilListening(program, port, signal), failure.promise]);
      }
    }
    return {
      trustDomain,
      controlPlane: { grpc, metrics: textOf(ready.fields, "metrics"), bundle, socket },
      sidecars: addresses,
      programs: listening,
      places: here.places,
      admin,
      failed: failure.promise,
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

function defaultMesh(): MeshResource {
  return kindSchemas.Mesh.parse({ apiVersion, kind: "Mesh", spec: { trustDomain: localTrustDomain } });
}

/** Ours must not read what is meant for another mesh's programs. */
function ourEnvironment(environment: RunMeshOptions["environment"]): Record<string, string | undefined> {
  return Object.fromEntries(
    Object.entries(environment).filter(([name]) => !name.startsWith("COUNTERSIGN_") && !/^https?_proxy$/i.test(name)),
  );
}

function sessionName(workload: string): string {
  return workload.length >= 2 ? workload.slice(0, 64) : `${workload}-1`;
}

function jsonFields(line: string): ReadonlyMap<string, unknown> | undefined {
  if (!line.startsWith("{")) return undefined;
  try {
    return new Map(Object.entries(JSON.parse(line) as object));
  } catch {
    // A line that only looks like one of ours.
    return undefined;
  }
}

function textOf(fields: ReadonlyMap<string, unknown>, name: string): string {
  const value = fields.get(name);
  if (typeof value !== "string") throw new MeshError("not-ready", `a ready line without ${name}`);
  return value;
}
