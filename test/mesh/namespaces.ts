/**
 * Network namespaces for tests: hosts of their own on one bridge, each with its addresses, its rules and its programs. They need
 * root and a few Debian packages; `withoutNamespaces` says what is missing, and tests skip with it.
 */
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";

export interface Finished {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A program that runs in a namespace until the test is done with it. */
export interface Program {
  readonly pid: number;
  /** Everything it has printed. */
  readonly lines: readonly string[];
  /** The first line that `find` accepts, now or later; rejects when the program ends before. */
  line(find: (line: string) => boolean): Promise<string>;
  /** SIGKILL, and what it had to say. */
  end(): Promise<Finished>;
}

export interface Credentials {
  readonly uid: number;
  readonly gid: number;
}

export interface Host {
  readonly name: string;
  readonly v4: string;
  readonly v6: string;
  /** The command line that runs `command` there; for whoever starts processes himself. */
  command(command: readonly string[], as?: Credentials): readonly string[];
  /** Runs to the end. */
  run(command: readonly string[], options?: { readonly as?: Credentials; readonly input?: string }): Promise<Finished>;
  /** Runs to the end; throws with what it said where that is not 0. Returns its output. */
  must(...command: readonly string[]): Promise<string>;
  start(command: readonly string[], as?: Credentials): Program;
}

export interface Network extends AsyncDisposable {
  /** By the names given. */
  host(name: string): Host;
}

const needed = new Map([
  ["ip", "iproute2"],
  ["nft", "nftables"],
  ["iptables-nft-restore", "iptables"],
  ["ip6tables-nft-restore", "iptables"],
  ["setpriv", "util-linux"],
]);

/** What is missing on this machine, and how to get it; undefined where nothing is. `programs`: of the test's own, with their packages. */
export function withoutNamespaces(programs: Iterable<readonly [string, string]> = []): string | undefined {
  if (process.platform !== "linux") return "needs Linux";
  if (process.getuid?.() !== 0) return "needs root";
  const packages = new Set<string>();
  for (const [program, debianPackage] of [...needed, ...programs]) {
    if (spawnSync("sh", ["-c", `command -v ${program}`]).status !== 0) packages.add(debianPackage);
  }
  if (packages.size > 0) return `needs apt-get install ${[...packages].join(" ")}`;
  const probe = spawnSync("unshare", ["--net", "true"]);
  return probe.status === 0 ? undefined : `needs to be allowed to make network namespaces: ${String(probe.stderr).trim()}`;
}

let networks = 0;

/** One bridge in a namespace of its own, and a namespace a name, connected to it; nothing of it is seen from the machine's own. */
export async function createNetwork(names: readonly string[]): Promise<Network> {
  const prefix = `cstest-${process.pid}-${++networks}`;
  const hub = `${prefix}-hub`;
  const made: string[] = [];
  const hosts = new Map<string, Host>();
  const add = async (namespace: string) => {
    await must(["ip", "netns", "add", namespace]);
    made.push(namespace);
    await must(["ip", "-n", namespace, "link", "set", "lo", "up"]);
  };
  const dispose = async () => {
    for (const namespace of made) await removeNamespace(namespace);
  };
  try {
    await add(hub);
    await must(["ip", "-n", hub, "link", "add", "bridge", "type", "bridge"]);
    await must(["ip", "-n", hub, "link", "set", "bridge", "up"]);
    for (const [index, name] of names.entries()) {
      const namespace = `${prefix}-${name}`;
      const [v4, v6] = [`10.77.0.${index + 10}`, `fd77::${(index + 16).toString(16)}`];
      await add(namespace);
      await attach(hub, `port${index}`, namespace, [`${v4}/24`, `${v6}/64`]);
      hosts.set(name, hostOf(namespace, v4, v6));
    }
  } catch (error) {
    await dispose();
    throw error;
  }
  return {
    host(name) {
      const host = hosts.get(name);
      if (!host) throw new Error(`there is no host ${name}`);
      return host;
    },
    [Symbol.asyncDispose]: dispose,
  };
}

/** A host more on a bridge that others have made: `bridge` in the namespace `hub`. `v4` with the length of its network. */
export async function addHost(hub: string, name: string, v4: string, v6: string): Promise<{ host: Host; remove(): Promise<void> }> {
  const namespace = `cstest-${process.pid}-${++networks}-${name}`;
  // Of its own accord a bridge takes the lowest address of its ports', and those who know it by the one before reach nobody.
  const [bridge] = JSON.parse(await must(["ip", "-n", hub, "-json", "link", "show", "bridge"])) as readonly { readonly address: string }[];
  await must(["ip", "-n", hub, "link", "set", "bridge", "address", bridge?.address ?? ""]);
  await must(["ip", "netns", "add", namespace]);
  await must(["ip", "-n", namespace, "link", "set", "lo", "up"]);
  await attach(hub, name, namespace, [v4, `${v6}/64`]);
  return { host: hostOf(namespace, v4.split("/", 1)[0] ?? "", v6), remove: () => removeNamespace(namespace) };
}

async function attach(hub: string, port: string, namespace: string, [v4 = "", v6 = ""]: readonly string[]): Promise<void> {
  await must(["ip", "-n", hub, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", namespace]);
  await must(["ip", "-n", hub, "link", "set", port, "master", "bridge", "up"]);
  await must(["ip", "-n", namespace, "address", "add", v4, "dev", "eth0"]);
  await must(["ip", "-n", namespace, "address", "add", v6, "dev", "eth0", "nodad"]);
  await must(["ip", "-n", namespace, "link", "set", "eth0", "up"]);
}

async function removeNamespace(namespace: string): Promise<void> {
  const { stdout } = await run(["ip", "netns", "pids", namespace]);
  for (const pid of stdout.split("\n").filter(Boolean)) killOne(Number(pid));
  await run(["ip", "netns", "delete", namespace]);
}

/** Also of one that was made by others. */
export function hostOf(namespace: string, v4: string, v6: string): Host {
  const command = (inner: readonly string[], as?: Credentials): readonly string[] => {
    const user =
      as === undefined ? [] : ["setpriv", `--reuid=${as.uid}`, `--regid=${as.gid}`, "--clear-groups", "--bounding-set=-all", "--"];
    return ["ip", "netns", "exec", namespace, ...user, ...inner];
  };
  return {
    name: namespace,
    v4,
    v6,
    command,
    run: (inner, options = {}) => run(command(inner, options.as), options.input),
    must: (...inner) => must(command(inner)),
    start: (inner, as) => start(command(inner, as)),
  };
}

/** Whatever proxies the test's own machine needs, there are none in a namespace. */
const environment = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/_proxy$/i.test(name)));

async function run([program = "", ...args]: readonly string[], input?: string): Promise<Finished> {
  const child = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"], env: environment });
  // A program that does not read what it is given is none the worse for it.
  child.stdin.on("error", () => undefined);
  child.stdin.end(input);
  const [stdout, stderr, [status]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, "close") as Promise<[number | null]>,
  ]);
  return { status, stdout, stderr };
}

async function must(command: readonly string[]): Promise<string> {
  const { status, stdout, stderr } = await run(command);
  if (status !== 0) throw new Error(`${command.join(" ")} ended with ${status}: ${stderr}${stdout}`);
  return stdout;
}

function start([program = "", ...args]: readonly string[]): Program {
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], env: environment });
  const lines: string[] = [];
  const waiting = new Set<() => void>();
  const wake = () => {
    for (const each of waiting) each();
  };
  createInterface({ input: child.stdout }).on("line", (line) => {
    lines.push(line);
    wake();
  });
  const stderr = text(child.stderr);
  let ended = false;
  const closed = (once(child, "close") as Promise<[number | null]>).then(async ([status]) => {
    ended = true;
    wake();
    return { status, stdout: lines.join("\n"), stderr: await stderr };
  });
  return {
    pid: child.pid ?? 0,
    lines,
    line: (find) =>
      new Promise((resolve, reject) => {
        const look = () => {
          const found = lines.find(find);
          if (found === undefined && !ended) return;
          waiting.delete(look);
          if (found !== undefined) resolve(found);
          else void closed.then((finished) => reject(new Error(`${program} ended with ${finished.status}: ${finished.stderr}`)));
        };
        waiting.add(look);
        look();
      }),
    async end() {
      killChild(child);
      return await closed;
    },
  };
}

function killChild(child: ChildProcess): void {
  if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
}

function killOne(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // Gone already.
  }
}
