/**
 * Every workload in a network namespace of its own, as in a pod: its program sees a host with an address, the services of the
 * mesh by name in /etc/hosts, and nothing of the mesh; the kernel's rules send its TCP through its sidecar. Program and sidecar
 * are different users, neither of them with any privilege.
 *
 * A service has an address of its own (`Service.spec.addresses`), by which a connection tells what it is for, also when several
 * services share a workload. There is no way out of the machine.
 */
import { chmod, copyFile, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Resource, ServiceResource, WorkloadResource } from "../../common/resources/resource.ts";
import { hostnamesOf, identitiesOfService, identityOfWorkload } from "../../common/resources/service-names.ts";
import type { TrustDomain } from "../../common/spiffe/trust-domain.ts";
import { installRules } from "../intercept/apply-rules.ts";
import { inboundPort, planOf, proxyId } from "../intercept/options.ts";
import { rulesOf } from "../intercept/plan.ts";
import { findProgram, must, runHere, runIn } from "../intercept/programs.ts";
import { createLocalNetwork, type LocalHost } from "./local-network.ts";
import { MeshError } from "./mesh-error.ts";
import { untilListening } from "./ports.ts";
import type { Surroundings } from "./surroundings.ts";
import type { WaitAcquainted } from "./wait-acquainted.ts";

export interface TransparentOptions {
  /** How connections come to the sidecars. */
  readonly mode: "redirect" | "tproxy";
  /** User of the sidecars; by default Istio's 1337. */
  readonly proxyUid?: number | undefined;
  /** Whom programs run as: a name, a number, or two with a colon between. By default who called sudo, or else nobody. */
  readonly appUser?: string | undefined;
}

export interface NamespacesOptions extends TransparentOptions {
  readonly resources: readonly Resource[];
  readonly workloads: readonly WorkloadResource[];
  readonly trustDomain: TrustDomain;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

interface User {
  readonly uid: number;
  readonly gid: number;
}

const main = join(import.meta.dirname, "../main.ts");
const waiting = join(import.meta.dirname, "wait-acquainted.ts");
const nobody: User = { uid: 65_534, gid: 65_534 };
/** Of a program that no service says a port of. */
const usualPort = 8080;
/** What programs elsewhere are told of proxies is not true in a namespace. */
const proxyVariables = ["http_proxy", "https_proxy", "all_proxy", "no_proxy"].flatMap((name) => [name, name.toUpperCase()]);

/** Throws MeshError, or RulesError where a program is missing or the kernel refuses. Everything made is taken away by its disposal. */
export async function createNamespaces(options: NamespacesOptions): Promise<Surroundings> {
  const { mode, workloads, trustDomain } = options;
  const proxyUid = options.proxyUid ?? proxyId;
  const appUser = await userOf(options.appUser, options.environment);
  if (appUser.uid === proxyUid)
    throw new MeshError("not-permitted", `user ${proxyUid} is the sidecars': programs that run as it are not in the mesh`);
  if (proxyUid === 0) throw new MeshError("not-permitted", "a sidecar does not run as root");
  const network = await createLocalNetwork(workloads.map(({ metadata }) => metadata.name));
  try {
    await checkReadable(proxyUid);
    let services = 0;
    const resources = options.resources.map((each): Resource => {
      if (each.kind !== "Service" || each.spec.addresses.length > 0) return each;
      const { v4, v6 } = network.virtualAddresses(services++);
      return { ...each, spec: { ...each.spec, addresses: v6 === undefined ? [v4] : [v4, v6] } };
    });
    const named = resources.filter((each): each is ServiceResource => each.kind === "Service");
    const names = named.flatMap((service) => service.spec.addresses.map((address) => `${address} ${hostnamesOf(service).join(" ")}`));
    const hosts = new Map<WorkloadResource, LocalHost>();
    const rules = rulesOf(planOf({ mode, proxyUid: String(proxyUid) }));
    await Promise.all(
      workloads.map(async (workload, index) => {
        const host = network.hosts[index];
        if (!host) throw new MeshError("not-ready", `${workload.metadata.name} has no namespace`);
        hosts.set(workload, host);
        await network.setHosts(host, names);
        await installRules(runIn(host.namespace), "auto", rules);
      }),
    );
    const hostOf = (workload: WorkloadResource): LocalHost => {
      const host = hosts.get(workload);
      if (!host) throw new MeshError("not-ready", `${workload.metadata.name} has no namespace`);
      return host;
    };
    const within = ({ namespace }: LocalHost) => [findProgram("ip"), "netns", "exec", namespace];
    const setpriv = [findProgram("setpriv"), `--reuid=${appUser.uid}`, `--regid=${appUser.gid}`, "--clear-groups", "--no-new-privs"];

    return {
      resources,
      controlPlane: { host: network.hub.v4, command: [...within(network.hub), process.execPath, main, "control-plane"] },
      async bundleFor(path) {
        const copy = join(network.folder, "bundle.pem");
        await copyFile(path, copy);
        await chmod(copy, 0o644);
        return copy;
      },
      portOf(workload) {
        const own = servicesOf(workload, named, trustDomain).flatMap(({ spec }) => spec.ports);
        return Promise.resolve(workload.spec.port ?? own[0]?.targetPort ?? own[0]?.port ?? usualPort);
      },
      sidecarOf(workload) {
        const { v4 } = hostOf(workload);
        const run = ["intercept", "run", "--mode", mode, "--proxy-uid", String(proxyUid)];
        return Promise.resolve({
          command: [...within(hostOf(workload)), process.execPath, main, ...run],
          environment: {
            COUNTERSIGN_ADVERTISE: `${v4}:${inboundPort}`,
            COUNTERSIGN_METRICS: `${v4}:15020`,
            COUNTERSIGN_HEALTH: `${v4}:15021`,
            // Otherwise every port of a service has its target.
            ...(workload.spec.port === undefined ? {} : { COUNTERSIGN_APP: `127.0.0.1:${workload.spec.port}` }),
          },
        });
      },
      programOf(workload, command) {
        const inner = typeof command === "string" ? ["/bin/sh", "-c", command] : command;
        return {
          command: [...within(hostOf(workload)), ...setpriv, "--bounding-set=-all", "--inh-caps=-all", "--", ...inner],
          environment: Object.fromEntries(proxyVariables.map((name) => [name, undefined])),
        };
      },
      untilListening: (program, port, signal) =>
        untilListening(program.name, port, program.exited, signal, () => hasListener(program.pid, port)),
      async untilAcquainted(sidecars, signal, timeoutMs) {
        const others = [...sidecars.values()];
        const all = [...sidecars].map(([workload, sidecar]) => {
          const input: WaitAcquainted = { sidecar, others, timeoutMs };
          return must(runIn(hostOf(workload).namespace), [process.execPath, waiting], JSON.stringify(input));
        });
        await Promise.race([Promise.all(all), untilAborted(signal)]);
      },
      places: new Map(
        [...hosts].map(([{ metadata }, { namespace, v4 }]) => [`${metadata.namespace}/${metadata.name}`, { namespace, address: v4 }]),
      ),
      [Symbol.asyncDispose]: () => network.dispose(),
    };
  } catch (error) {
    await network.dispose();
    throw error;
  }
}

function servicesOf(workload: WorkloadResource, services: readonly ServiceResource[], trustDomain: TrustDomain): ServiceResource[] {
  const identity = identityOfWorkload(workload, trustDomain);
  return services.filter((service) => identitiesOfService(service, trustDomain).includes(identity));
}

/** In the network namespace of that process, without a connection that the program would see. */
async function hasListener(pid: number | undefined, port: number): Promise<boolean> {
  const ending = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  for (const file of ["tcp", "tcp6"]) {
    const table = await readFile(`/proc/${pid}/net/${file}`, "latin1").catch(() => "");
    for (const line of table.split("\n")) {
      const [, local = "", , state] = line.trim().split(/\s+/);
      // TCP_LISTEN of net/tcp_states.h
      if (state === "0A" && local.endsWith(ending)) return true;
    }
  }
  return false;
}

async function userOf(text: string | undefined, environment: NamespacesOptions["environment"]): Promise<User> {
  if (text === undefined) {
    const [uid, gid] = [Number(environment["SUDO_UID"]), Number(environment["SUDO_GID"])];
    return uid > 0 && gid > 0 ? { uid, gid } : nobody;
  }
  const [, uid, gid = uid] = /^(\d{1,10})(?::(\d{1,10}))?$/.exec(text) ?? [];
  if (uid !== undefined) return { uid: Number(uid), gid: Number(gid) };
  const found = await runHere(["id", "-u", "--", text]);
  if (found.status !== 0) throw new MeshError("not-permitted", `--app-user: there is no user ${JSON.stringify(text)}`);
  return { uid: Number(found.stdout), gid: Number(await must(runHere, ["id", "-g", "--", text])) };
}

/** A sidecar reads its own sources as a user who may have no way to them. */
async function checkReadable(uid: number): Promise<void> {
  const probe = [
    `--reuid=${uid}`,
    `--regid=${uid}`,
    "--clear-groups",
    "--",
    process.execPath,
    "-e",
    "require('node:fs').accessSync(process.argv[1])",
    main,
  ];
  const { status } = await runHere(["setpriv", ...probe]);
  if (status === 0) return;
  throw new MeshError(
    "not-permitted",
    `user ${uid}, who the sidecars run as, cannot read ${main} or run ${process.execPath}: put them where everybody can`,
  );
}

function untilAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const stop = () => reject(signal.reason as Error);
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
  });
}
