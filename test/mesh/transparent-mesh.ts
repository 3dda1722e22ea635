/**
 * `countersign up --transparent` as its user has it, and what a test needs beside it: its namespaces, programs run in them as
 * anybody, a host outside of the mesh on the same wire, and what passes over that wire.
 */
import { appendFileSync, chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { findProgram } from "../../cli/intercept/programs.ts";
import { launch } from "../cli/run.ts";
import { startCapture, type Capture } from "./capture.ts";
import { readableCheckout } from "./checkout.ts";
import { temporaryFolder, until, type LogLine } from "./harness.ts";
import { addHost, hostOf, type Credentials, type Finished, type Host, type Program } from "./namespaces.ts";

export interface ServiceAddresses {
  readonly v4: string;
  readonly v6: string;
}

export interface TransparentWorkload {
  readonly host: Host;
  readonly sidecarPid: number;
  /** As the application's user. */
  run(...command: readonly string[]): Promise<Finished>;
  /** The same; throws unless it ends well. Returns its output. */
  must(...command: readonly string[]): Promise<string>;
  start(...command: readonly string[]): Program;
  /** What its program has printed. */
  said(): readonly string[];
  logs(): readonly LogLine[];
  /** A JSON page of its sidecar's admin port. */
  admin<T>(path: string): Promise<T>;
  /** Of its sidecar, by its name and labels as they are printed; 0 where there is none. */
  metric(name: string): Promise<number>;
  /** More lines of its /etc/hosts, which its sidecar has as well. */
  addHosts(...lines: readonly string[]): void;
}

export interface TransparentMesh {
  /** Where programs run; they can read it. */
  readonly folder: string;
  workload(name: string): TransparentWorkload;
  /** As /etc/hosts in the namespaces has it. */
  service(name: string): ServiceAddresses;
  /** A host on the mesh's wire that is in no mesh. */
  readonly outside: Host;
  readonly capture: Capture;
  /** Its address on that wire. */
  readonly controlPlane: string;
  stop(): Promise<void>;
}

export interface TransparentOptions {
  readonly yaml: string;
  readonly mode: "redirect" | "tproxy";
  /** Of the folder that programs run in. */
  readonly files?: Readonly<Record<string, string>>;
  /** Sidecars see no file system that anything can be written to. */
  readonly readOnlySidecars?: boolean;
  /** By workload, the ports that its programs listen on before a test may begin. */
  readonly ports: Readonly<Record<string, readonly number[]>>;
}

interface UpEvent {
  readonly kind: "log" | "output" | "started" | "exited" | "ready" | "note";
  readonly process: string;
  readonly line: string;
  readonly pid: number;
  readonly fields: LogLine;
  readonly places: Readonly<Record<string, { readonly namespace: string; readonly address: string }>>;
}

export const application: Credentials = { uid: 65_534, gid: 65_534 };

/** The command line of a script in programs/, which stands for a program of somebody's. */
export function script(name: string, ...args: readonly string[]): readonly string[] {
  const checkout = readableCheckout();
  const runs = name.endsWith(".py") ? "/usr/bin/python3" : join(checkout, "bin/node26");
  return [runs, join(checkout, "test/mesh/programs", name), ...args];
}

/** An address as a URL has it. */
export const inUrl = (address: string): string => (address.includes(":") ? `[${address}]` : address);

/** Statuses of curl for a connection that was closed instead of an answer: 52 in good order, 56 by a reset. */
export const cutOff: readonly (number | null)[] = [52, 56];

/** `ip` for those who make sidecars: in the mounts of its own that each gets, all are read-only. */
const readOnlyIp = (ip: string): string => `#!/bin/sh
case "$*" in
  "netns exec "*" intercept run "*)
    namespace=$3
    shift 3
    exec ${ip} netns exec "$namespace" sh -c '
      while read -r _ _ _ _ point _; do mount -o remount,bind,ro "$point"; done </proc/self/mountinfo
      exec "$@"' sh "$@" ;;
  *) exec ${ip} "$@" ;;
esac
`;

export async function startTransparent(options: TransparentOptions): Promise<TransparentMesh> {
  const folder = temporaryFolder();
  chmodSync(folder, 0o755);
  const write = (name: string, content: string, mode = 0o644) => {
    writeFileSync(join(folder, name), content);
    chmodSync(join(folder, name), mode);
  };
  for (const [name, content] of Object.entries({ ...options.files, "mesh.yaml": options.yaml })) write(name, content);
  let path = process.env["PATH"] ?? "";
  if (options.readOnlySidecars === true) {
    mkdirSync(join(folder, "bin"));
    write("bin/ip", readOnlyIp(findProgram("ip")), 0o755);
    path = `${join(folder, "bin")}:${path}`;
  }
  const up = launch(["up", "--transparent", options.mode, "--json"], {
    program: join(readableCheckout(), "bin/countersign"),
    cwd: folder,
    environment: { PATH: path },
  });
  const parsed: UpEvent[] = [];
  const events = (): readonly UpEvent[] => {
    for (const line of up.lines.slice(parsed.length)) parsed.push(JSON.parse(line) as UpEvent);
    return parsed;
  };
  let ended = false;
  void up.finished.then(() => (ended = true));
  const removals: (() => Promise<void>)[] = [];
  async function stop(): Promise<void> {
    up.signal("SIGTERM");
    const { status, stderr } = await up.finished;
    for (const remove of removals) await remove();
    rmSync(folder, { recursive: true, force: true });
    if (status !== 0 || stderr !== "") throw new Error(`up ended with ${status}: ${stderr}`);
  }

  try {
    while (!events().some(({ kind }) => kind === "ready")) {
      if (ended) throw new Error(`the mesh did not come up: ${JSON.stringify(await up.finished)}`);
      await up.change();
    }
    const places = events().find(({ kind }) => kind === "ready")?.places ?? {};
    const workloads = new Map<string, TransparentWorkload>();
    for (const [full, place] of Object.entries(places)) {
      const name = full.slice(full.indexOf("/") + 1);
      const v6 = await globalAddress(hostOf(place.namespace, place.address, ""));
      workloads.set(name, createWorkload(name, hostOf(place.namespace, place.address, v6), events));
    }
    const workload = (name: string): TransparentWorkload => {
      const found = workloads.get(name);
      if (!found) throw new Error(`${name} is no workload`);
      return found;
    };
    const any = [...workloads.values()].at(0)?.host;
    if (!any) throw new Error("the mesh has no workload");
    const hub = any.name.replace(/^(countersign-\d+-\d+-).*/, "$1hub");
    const added = await addHost(hub, "outside", any.v4.replace(/\d+$/, "200/23"), any.v6.replace(/[^:]*$/, "c8"));
    removals.push(() => added.remove());
    const capture = await startCapture(hostOf(hub, "", ""), script("capture.py"), join(folder, "wire"));
    removals.push(() => capture.end().then(() => undefined));
    await Promise.all(
      Object.entries(options.ports).map(([name, ports]) =>
        until(`${name} listens on ${ports.join(", ")}`, () => listens(workload(name).sidecarPid, ports)),
      ),
    );
    const controlPlane = any.v4.replace(/\d+$/, "1");
    return { folder, workload, service: (name) => serviceOf(any.name, name), outside: added.host, capture, controlPlane, stop };
  } catch (error) {
    await stop().catch(() => undefined);
    throw error;
  }
}

function createWorkload(name: string, host: Host, events: () => readonly UpEvent[]): TransparentWorkload {
  const sidecar = `${name}-sidecar`;
  const pid = events().find((event) => event.kind === "started" && event.process === sidecar)?.pid;
  if (pid === undefined) throw new Error(`${name} has no sidecar`);
  const must = async (...command: readonly string[]) => {
    const { status, stdout, stderr } = await host.run(command, { as: application });
    if (status !== 0) throw new Error(`${command.join(" ")} ended with ${status}: ${stderr}${stdout}`);
    return stdout;
  };
  const fetched = (url: string) => must("curl", "-sS", "--fail", url);
  return {
    host,
    sidecarPid: pid,
    run: (...command) => host.run(command, { as: application }),
    must,
    start: (...command) => host.start(command, application),
    said: () => events().flatMap((event) => (event.kind === "output" && event.process === name ? [event.line] : [])),
    logs: () => events().flatMap((event) => (event.kind === "log" && event.process === sidecar ? [event.fields] : [])),
    async admin<T>(path: string) {
      return JSON.parse(await fetched(`http://127.0.0.1:15000${path}`)) as T;
    },
    async metric(wanted) {
      const lines = (await fetched(`http://${host.v4}:15020/metrics`)).split("\n");
      return Number(lines.find((line) => line.startsWith(`${wanted} `))?.slice(wanted.length + 1) ?? 0);
    },
    addHosts: (...lines) => appendFileSync(hostsFile(host.name), `${lines.join("\n")}\n`),
  };
}

const hostsFile = (namespace: string): string => `/etc/netns/${namespace}/hosts`;

function serviceOf(namespace: string, name: string): ServiceAddresses {
  const lines = readFileSync(hostsFile(namespace), "utf8").split("\n");
  const found = lines.map((line) => line.split(" ")).flatMap(([address = "", ...names]) => (names.includes(name) ? [address] : []));
  const [v4, v6] = [found.find((address) => !address.includes(":")), found.find((address) => address.includes(":"))];
  if (v4 === undefined || v6 === undefined) throw new Error(`${name} is no service with addresses of both kinds`);
  return { v4, v6 };
}

interface Link {
  readonly addr_info: readonly { readonly local: string }[];
}

async function globalAddress(host: Host): Promise<string> {
  const shown = await host.must("ip", "-6", "-json", "address", "show", "dev", "eth0", "scope", "global");
  const address = (JSON.parse(shown) as readonly Link[]).flatMap((link) => link.addr_info).at(0)?.local;
  if (address === undefined) throw new Error(`${host.name} has no IPv6`);
  return address;
}

/** In the network namespace of that process; without a connection, which a sidecar would answer. */
function listens(pid: number, ports: readonly number[]): boolean {
  const rows = ["tcp", "tcp6"].flatMap((file) => readFileSync(`/proc/${pid}/net/${file}`, "latin1").split("\n"));
  // TCP_LISTEN of net/tcp_states.h
  const open = rows.map((row) => row.trim().split(/\s+/)).flatMap(([, local = "", , state]) => (state === "0A" ? [local] : []));
  return ports.every((port) => open.some((local) => local.endsWith(`:${port.toString(16).toUpperCase().padStart(4, "0")}`)));
}
