/**
 * Network namespaces on this machine, each a host of its own with one interface, on a bridge. The bridge is in a namespace too,
 * the hub, where no firewall of the machine's has a say; the machine itself has one interface on it. No packet is forwarded to
 * anywhere else.
 *
 * All of it goes with the namespaces, and those are known by their names: also what a killed process left behind.
 */
import { spawnSync } from "node:child_process";
import { randomBytes, randomInt } from "node:crypto";
import { existsSync, readdirSync, rmdirSync, rmSync } from "node:fs";
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { networkFromString, networkWithin, type IpNetwork } from "../../common/net/ip.ts";
import { must, runHere } from "../intercept/programs.ts";
import { MeshError } from "./mesh-error.ts";
import { isLeftover, ownPrefix } from "./owner.ts";

/** What `ip netns exec` lays over /etc in a namespace. */
const etcFolder = "/etc/netns";
const namespacesFolder = "/run/netns";
/** What the users of several namespaces may read. */
const publicFolder = "/run/countersign";
/** Of addresses: 10.x.y.0/23, of which the first half is workloads', the second services'. */
const v4Bits = 23;
const mostHosts = 250;
/** Where names outside of the mesh are looked up: nowhere, but at once. */
const resolver = "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n";

export interface Addresses {
  readonly v4: string;
  /** Undefined where the machine has no IPv6. */
  readonly v6: string | undefined;
}

export interface LocalHost extends Addresses {
  /** As `ip netns` knows it. */
  readonly namespace: string;
}

export interface LocalNetwork {
  /** Where the bridge is, and whatever all hosts are to reach. */
  readonly hub: LocalHost;
  /** A folder that everybody on this machine may read. */
  readonly folder: string;
  /** In the order of the names asked for. */
  readonly hosts: readonly LocalHost[];
  /** An address that nobody has; what is sent there has to be redirected before it leaves its namespace. */
  virtualAddresses(index: number): Addresses;
  /** What names mean in that namespace: lines of /etc/hosts. */
  setHosts(host: LocalHost, lines: readonly string[]): Promise<void>;
  /** Ends what still runs in the namespaces, and removes them. */
  dispose(): Promise<void>;
}

/** One host a name. Throws MeshError `not-permitted`, or RulesError. */
export async function createLocalNetwork(names: readonly string[]): Promise<LocalNetwork> {
  if (process.platform !== "linux") throw new MeshError("not-permitted", "network namespaces are of Linux");
  if (process.getuid?.() !== 0) throw new MeshError("not-permitted", "making network namespaces takes root: try sudo");
  if (names.length > mostHosts) throw new MeshError("not-permitted", `at most ${mostHosts} workloads fit on one machine's network`);
  removeLeftovers();
  const prefix = ownPrefix();
  const subnet = await freeSubnet();
  const link = `cs${process.pid}`;
  const hosts = names.map((name, index): LocalHost => ({
    namespace: `${prefix}${index}-${name.replaceAll(/[^\w-]/g, "-")}`,
    ...subnet.host(index + 2),
  }));
  const hub = { namespace: `${prefix}hub`, ...subnet.host(1) };
  const all = [hub, ...hosts].map(({ namespace }) => namespace);
  const folder = `${publicFolder}/${hub.namespace}`;
  const removeAll = () => remove(all);
  process.once("exit", removeAll);
  try {
    await mkdir(folder, { recursive: true });
    // Whatever the umask.
    for (const each of [publicFolder, folder]) await chmod(each, 0o755);
    await batch(all.map((namespace) => `netns add ${namespace}`));
    await batch([
      `link add ${link} type veth peer name host netns ${hub.namespace}`,
      ...addressesOf(subnet.host(254), subnet.v4Bits).map((address) => `address add dev ${link} ${address}`),
      `link set ${link} up`,
    ]);
    await batch(
      [
        "link set lo up",
        "link add bridge type bridge",
        "link set bridge up",
        ...addressesOf(hub, subnet.v4Bits).map((address) => `address add dev bridge ${address}`),
        "link set host master bridge up",
        ...hosts.flatMap(({ namespace }, index) => [
          `link add port${index} type veth peer name eth0 netns ${namespace}`,
          `link set port${index} master bridge up`,
        ]),
      ],
      hub.namespace,
    );
    await Promise.all(
      hosts.map(async (host) => {
        await batch(
          [
            "link set lo up",
            ...addressesOf(host, subnet.v4Bits).map((address) => `address add dev eth0 ${address}`),
            "link set eth0 up",
            `route add default via ${hub.v4}`,
            ...(hub.v6 === undefined ? [] : [`route add ::/0 via ${hub.v6}`]),
          ],
          host.namespace,
        );
        // A program may listen on port 80 here without being root.
        const lowest = "/proc/sys/net/ipv4/ip_unprivileged_port_start";
        await must(runHere, ["ip", "netns", "exec", host.namespace, "sh", "-c", `echo 0 > ${lowest}`]);
      }),
    );
  } catch (error) {
    removeAll();
    process.off("exit", removeAll);
    throw error;
  }
  return {
    hub,
    folder,
    hosts,
    virtualAddresses(index) {
      if (index >= mostHosts) throw new MeshError("not-permitted", `at most ${mostHosts} services fit on one machine's network`);
      return subnet.host(257 + index);
    },
    async setHosts({ namespace }, lines) {
      await mkdir(`${etcFolder}/${namespace}`, { recursive: true });
      const own = ["127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback"];
      const files = { hosts: [...own, ...lines, ""].join("\n"), "resolv.conf": resolver };
      for (const [name, content] of Object.entries(files)) {
        const file = `${etcFolder}/${namespace}/${name}`;
        await writeFile(file, content);
        await chmod(file, 0o644);
      }
    },
    dispose() {
      removeAll();
      process.off("exit", removeAll);
      return Promise.resolve();
    },
  };
}

/** What processes that were killed have left behind. */
export function removeLeftovers(): void {
  const names = [namespacesFolder, etcFolder, publicFolder].flatMap((folder) => (existsSync(folder) ? readdirSync(folder) : []));
  remove([...new Set(names)].filter(isLeftover));
}

/** At once, because a process that is ending has no later. */
function remove(namespaces: readonly string[]): void {
  for (const namespace of namespaces) {
    // A namespace goes when the kernel finds the time; what the machine itself has of it goes now.
    const pid = /^countersign-(\d+)-\d+-hub$/.exec(namespace)?.[1];
    if (pid !== undefined) spawnSync("ip", ["link", "delete", `cs${pid}`]);
    if (existsSync(`${namespacesFolder}/${namespace}`)) {
      const { stdout } = spawnSync("ip", ["netns", "pids", namespace], { encoding: "utf8" });
      for (const pid of (stdout ?? "").split("\n").filter(Boolean)) kill(Number(pid));
      spawnSync("ip", ["netns", "delete", namespace]);
    }
    for (const folder of [etcFolder, publicFolder]) rmSync(`${folder}/${namespace}`, { recursive: true, force: true });
  }
  for (const folder of [etcFolder, publicFolder]) {
    try {
      rmdirSync(folder);
    } catch {
      // Others have something there, or nobody ever had.
    }
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // Gone between the look and the signal.
  }
}

async function batch(lines: readonly string[], namespace?: string): Promise<void> {
  const where = namespace === undefined ? [] : ["-n", namespace];
  await must(runHere, ["ip", ...where, "-batch", "-"], `${lines.join("\n")}\n`);
}

/** As `ip address add` takes them; nobody else on this network can have the one of IPv6, so it need not wait to find out. */
function addressesOf({ v4, v6 }: Addresses, bits: number): string[] {
  return [`${v4}/${bits}`, ...(v6 === undefined ? [] : [`${v6}/64 nodad`])];
}

interface Subnet {
  readonly v4Bits: number;
  host(number: number): Addresses;
}

/** One of the private ones that no route of this machine leads to, and a unique local one of IPv6 (RFC 4193). */
async function freeSubnet(): Promise<Subnet> {
  const routes = JSON.parse(await must(runHere, ["ip", "-4", "-json", "route", "show", "table", "all"])) as readonly {
    readonly dst?: string;
  }[];
  const taken = routes.flatMap(({ dst }) => networkFromString(dst ?? "") ?? []);
  const hasV6 = existsSync("/proc/net/if_inet6");
  const global = randomBytes(5).toString("hex");
  const v6 = `fd${global.slice(0, 2)}:${global.slice(2, 6)}:${global.slice(6, 10)}::`;
  for (let attempt = 0; attempt < 1000; attempt++) {
    const [second, third] = [randomInt(64, 256), 2 * randomInt(0, 128)];
    const candidate = networkFromString(`10.${second}.${third}.0/${v4Bits}`);
    if (!candidate || taken.some((each) => overlap(each, candidate))) continue;
    return {
      v4Bits,
      host: (number) => ({
        v4: `10.${second}.${third + (number >> 8)}.${number & 255}`,
        v6: hasV6 ? `${v6}${number.toString(16)}` : undefined,
      }),
    };
  }
  throw new MeshError("not-ready", "this machine has routes to all of 10.0.0.0/8: no network is left for the workloads");
}

function overlap(one: IpNetwork, other: IpNetwork): boolean {
  return networkWithin(one, other) || networkWithin(other, one);
}
