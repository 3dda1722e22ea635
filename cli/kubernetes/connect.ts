/** The cluster that a command is about, as kubectl would find it. */
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../common/runtime/clock.ts";
import { createKubernetesClient, type KubernetesRequest } from "../../control-plane/kubernetes/client.ts";
import { KubernetesError } from "../../control-plane/kubernetes/error.ts";

export interface ClusterOptions {
  readonly kubeconfig?: string;
  readonly context?: string;
}

/** The JSON at a path of the API server's; undefined where there is nothing of that name. Throws KubernetesError. */
export type Ask = (path: string) => Promise<unknown>;

export interface ClusterConnection extends AsyncDisposable {
  readonly ask: Ask;
  /** What is not JSON: logs, metrics. */
  readonly askText: (path: string) => Promise<string>;
  /** JSON that is sent, and the JSON that comes back. Throws KubernetesError. */
  readonly send: (request: Omit<KubernetesRequest, "signal">) => Promise<unknown>;
}

/** Everything that is asked ends when the signal aborts. Throws KubernetesError, where the kubeconfig is wrong or nobody answers. */
export async function connectCluster({ kubeconfig, context }: ClusterOptions, signal?: AbortSignal): Promise<ClusterConnection> {
  const client = await createKubernetesClient(kubeconfigOf(kubeconfig), systemClock, context);
  const outer = signal ?? new AbortController().signal;
  try {
    await client.request({ method: "GET", path: "/version", signal: outer });
  } catch (error) {
    await client.close();
    throw error;
  }
  return {
    ask: async (path) => {
      try {
        return await client.request({ method: "GET", path, signal: outer });
      } catch (error) {
        if (error instanceof KubernetesError && error.code === "not-found") return undefined;
        throw error;
      }
    },
    askText: (path) => client.requestText({ method: "GET", path, accept: "*/*", signal: outer }),
    send: (request) => client.request({ ...request, signal: outer }),
    [Symbol.asyncDispose]: () => client.close(),
  };
}

/** As kubectl finds it; undefined in a pod without one, which has its service account's. */
function kubeconfigOf(given: string | undefined): string | undefined {
  const usual = join(homedir(), ".kube", "config");
  return given ?? (process.env["KUBECONFIG"] || (existsSync(usual) ? usual : undefined));
}
