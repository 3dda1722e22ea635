/** What a container said before it ended: Kubernetes itself only knows its exit code. */
import { z } from "zod";
import { KubernetesError } from "../../../control-plane/kubernetes/error.ts";
import type { ClusterConnection } from "../connect.ts";
import type { Trouble } from "../pods.ts";

const line = z.object({ msg: z.string().default(""), err: z.object({ message: z.string() }).optional() });
const mostLines = 3;
const mostCharacters = 400;

/** The trouble of a container that has ended, with the last lines of its log. */
export async function withLog({ askText }: ClusterConnection, namespace: string, pod: string, trouble: Trouble): Promise<Trouble> {
  const { container, ended, message } = trouble;
  if (container === undefined || !ended) return trouble;
  for (const previous of ["true", "false"]) {
    try {
      const query = new URLSearchParams({ container, previous, tailLines: "20" });
      const said = lastLines(await askText(`/api/v1/namespaces/${namespace}/pods/${pod}/log?${query.toString()}`));
      if (said !== "") return { ...trouble, message: `${message}; it said: ${said}` };
    } catch (error) {
      if (!(error instanceof KubernetesError)) throw error;
    }
  }
  return trouble;
}

/** The last lines, as sentences where they are objects of our own log. What the kubelet says in place of a log is none. */
function lastLines(text: string): string {
  if (/^(?:unable to retrieve container logs|failed to try resolving symlinks)/.test(text)) return "";
  const lines = text.split("\n").filter((each) => each.trim() !== "");
  return lines.slice(-mostLines).map(sentenceOf).join(" / ").slice(-mostCharacters);
}

function sentenceOf(text: string): string {
  try {
    const { msg, err } = line.parse(JSON.parse(text));
    return err === undefined ? msg : `${msg}: ${err.message}`;
  } catch {
    // Another program's line.
    return text.trim();
  }
}
