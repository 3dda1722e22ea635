/**
 * What commands ask a cluster, answered from objects by path, in which a query does not count. What is sent on trial is
 * answered from `trial <path>`.
 */
import type { ClusterConnection } from "../../../cli/kubernetes/connect.ts";
import { KubernetesError } from "../../../control-plane/kubernetes/error.ts";

export type Answers = Readonly<Record<string, unknown>>;

/** A string is a text, a KubernetesError is thrown, and what is not there is not found. */
export function fakeCluster(answers: Answers): ClusterConnection {
  const find = (path: string): unknown => {
    const found = answers[path.split("?")[0] ?? ""];
    if (found instanceof KubernetesError) throw found;
    return found;
  };
  return {
    ask: async (path) => find(path),
    askText: async (path) => {
      const found = find(path);
      if (typeof found !== "string") throw new KubernetesError("not-found", path);
      return found;
    },
    send: async ({ method, path }) => {
      if (!path.includes("dryRun=All")) throw new Error(`${method} ${path}: nothing is to be changed`);
      return find(`trial ${path}`);
    },
    [Symbol.asyncDispose]: async () => undefined,
  };
}
