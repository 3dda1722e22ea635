/**
 * What tests do with the cluster that global-setup.ts started: `KUBECONFIG`'s where that is set, else a whole one of this machine, in a
 * network namespace of its own. Where there is none, `because` says why, for the title of what is skipped.
 */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { inject } from "vitest";
import { buildImage, type ImageSource } from "./images.ts";
import { must, run, type Finished, type RunOptions } from "./run.ts";
import { bringImage, type ClusterDescription } from "./start.ts";

export interface Namespace extends AsyncDisposable {
  readonly name: string;
}

export interface Cluster {
  readonly kubeconfig: string;
  /** The image under test, as pods name it. */
  readonly image: string;
  /** kubectl's output. Throws with what it said where it fails. */
  kubectl(args: readonly string[], options?: RunOptions): Promise<string>;
  /** The same for what may fail. */
  tryKubectl(args: readonly string[], options?: RunOptions): Promise<Finished>;
  /** Any number of documents. Throws with the API server's words where it refuses one. */
  apply(yaml: string, args?: readonly string[]): Promise<void>;
  /** A namespace called `prefix` and something random; deleted, with all that is in it, without waiting for that. */
  namespace(prefix: string, labels?: Readonly<Record<string, string>>): Promise<Namespace>;
  /** `args`: those of `kubectl logs`, such as `["deployment/web", "-c", "web"]`. */
  logs(namespace: string, ...args: readonly string[]): Promise<string>;
  /** Pods, events and the ends of all logs, for a failure's message. */
  diagnose(namespace: string): Promise<string>;
  /**
   * Asks until `probe` returns something, a few times a second, and returns that. Throws after `seconds` (60) with `what` and why the last
   * probe failed, and with `diagnose` of `namespace` where one is given.
   */
  waitFor<T>(what: string, probe: () => Promise<T | undefined>, options?: WaitOptions): Promise<T>;
  /** Waits until what `kubectl rollout status` knows (`deployment/web`) is rolled out. */
  rollout(namespace: string, name: string, options?: Pick<WaitOptions, "seconds">): Promise<void>;
}

export interface WaitOptions {
  readonly seconds?: number;
  readonly namespace?: string;
}

/** What only a cluster of this machine can do. */
export interface OwnCluster extends Cluster {
  /** Of its network namespace. */
  readonly name: string;
  /** Holds `log/` and `pid/`, by the names of the cluster's programs (`kube-apiserver`, `etcd`, …). */
  readonly folder: string;
  /** The command that runs `command` in the cluster's network, where pods, Services and the bridge `cs0` are. */
  inNetwork(command: readonly string[]): readonly string[];
  run(command: readonly string[], options?: RunOptions): Promise<Finished>;
  must(command: readonly string[], options?: RunOptions): Promise<string>;
  /** Builds an image (`FROM debian:bookworm-slim`, `node:26-bookworm-slim`, or one built before, as localhost/NAME), for pods to name. */
  buildImage(source: ImageSource): Promise<void>;
  /** Stops one of the cluster's programs; SIGKILL and SIGSTOP, SIGCONT are there as well. */
  signal(program: string, signal: "SIGTERM" | "SIGKILL" | "SIGSTOP" | "SIGCONT"): Promise<void>;
  /** Starts again what was stopped. */
  restore(): Promise<void>;
  /** Ends a container's first process as the kernel does where memory is short. `id` as Pods have it: `containerd://…`. */
  killContainer(id: string): Promise<void>;
}

const { missing, cluster: description, image, imageId } = inject("underTest");

/** Why there is no cluster; undefined where there is one. */
export const missingCluster = missing;
/** Why there is none of this machine; undefined where there is. */
export const missingOwnCluster =
  missing ?? (description?.own === undefined ? "needs a cluster of this machine: KUBECONFIG unset" : undefined);

/** For the title of a test that may be skipped. */
export function because(reason: string | undefined): string {
  return reason === undefined ? "" : ` (${reason})`;
}

/** The id of the image under test for openImage. Throws where it was not built here. */
export function builtImage(): string {
  if (imageId === undefined) throw new Error("the image was not built here");
  return imageId;
}

/** Throws where there is none. */
export function theCluster(): Cluster {
  if (description === undefined) throw new Error(`no cluster: ${missing}`);
  return connect(description);
}

/** Throws where there is none of this machine. */
export function ownCluster(): OwnCluster {
  if (description?.own === undefined) throw new Error(`no cluster: ${missingOwnCluster}`);
  const { name, folder, programs } = description.own;
  return {
    ...connect(description),
    name,
    folder,
    inNetwork,
    run: (command, options) => run(inNetwork(command), options),
    must: (command, options) => must(inNetwork(command), options),
    buildImage: async (source) => bringImage(description, await buildImage(source), source.name),
    signal: async (program, signal) => {
      const pid = (await must(["cat", join(folder, "pid", program)])).trim();
      await must(["kill", `-${signal.slice(3)}`, pid]);
      if (signal !== "SIGTERM" && signal !== "SIGKILL") return;
      const { status } = await run(["tail", "--pid", pid, "-f", "/dev/null"], { timeoutMs: 30_000 });
      if (status !== 0) throw new Error(`${program} did not end within 30 s`);
    },
    restore: async () => {
      await must([join(import.meta.dirname, "up"), folder, programs]);
    },
    killContainer: async (id) => {
      const ctr = [join(programs, "ctr"), "--address", `/run/${name}/containerd/containerd.sock`, "--namespace", "k8s.io"];
      await must([...ctr, "task", "kill", "--signal", "SIGKILL", id.replace("containerd://", "")]);
    },
  };
}

function inNetwork(command: readonly string[]): readonly string[] {
  return ["nsenter", `--net=/run/netns/${description?.own?.name}`, ...command];
}

function connect({ kubeconfig, own }: ClusterDescription): Cluster {
  const program = own === undefined ? ["kubectl"] : inNetwork([join(own.programs, "kubectl")]);
  const command = (args: readonly string[]): readonly string[] => [...program, "--kubeconfig", kubeconfig, ...args];

  async function diagnose(namespace: string): Promise<string> {
    const ask = async (...args: string[]): Promise<string> => {
      const { stdout, stderr } = await run(command(["--namespace", namespace, ...args]));
      return `# kubectl ${args.join(" ")}\n${stdout}${stderr}`;
    };
    const said = [await ask("get", "pods", "-o", "wide"), await ask("get", "events", "--sort-by=.lastTimestamp")];
    const { stdout: pods } = await run(command(["--namespace", namespace, "get", "pods", "-o", "name"]));
    for (const pod of pods.split("\n").filter((line) => line !== "")) {
      said.push(await ask("logs", pod, "--all-containers", "--prefix", "--tail=40"));
    }
    return said.join("\n");
  }

  const cluster: Cluster = {
    kubeconfig,
    image,
    kubectl: (args, options) => must(command(args), options),
    tryKubectl: (args, options) => run(command(args), options),
    apply: async (yaml, args = []) => {
      await must(command(["apply", ...args, "-f", "-"]), { input: yaml });
    },
    namespace: async (prefix, labels = {}) => {
      const name = `${prefix}-${randomBytes(3).toString("hex")}`;
      await cluster.apply(JSON.stringify({ apiVersion: "v1", kind: "Namespace", metadata: { name, labels } }));
      // Pods name this account, and are refused until the controllers have made it.
      await cluster.waitFor("the namespace's default service account", async () => {
        const { status } = await run(command(["--namespace", name, "get", "serviceaccount", "default"]));
        return status === 0 ? true : undefined;
      });
      return {
        name,
        [Symbol.asyncDispose]: async () => {
          await must(command(["delete", "namespace", name, "--wait=false"]));
        },
      };
    },
    logs: (namespace, ...args) => must(command(["--namespace", namespace, "logs", ...args])),
    diagnose,
    waitFor: async (what, probe, { seconds = 60, namespace } = {}) => {
      const end = performance.now() + seconds * 1000;
      for (;;) {
        let reason: unknown;
        try {
          const found = await probe();
          if (found !== undefined) return found;
        } catch (error) {
          reason = error;
        }
        if (performance.now() >= end) {
          const more = namespace === undefined ? "" : `\n${await diagnose(namespace)}`;
          throw new Error(`gave up after ${seconds} s waiting for ${what}${more}`, { cause: reason });
        }
        await delay(250);
      }
    },
    rollout: async (namespace, name, { seconds = 120 } = {}) => {
      const status = ["--namespace", namespace, "rollout", "status", name, `--timeout=${seconds}s`];
      const { status: code, stdout, stderr } = await run(command(status), { timeoutMs: (seconds + 10) * 1000 });
      if (code !== 0) throw new Error(`${name}: ${stdout}${stderr}\n${await diagnose(namespace)}`);
    },
  };
  return cluster;
}
