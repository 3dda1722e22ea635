/**
 * Where an application listens. Most listen on every address; some on the pod's alone, where a kubelet would look for them, and
 * some on loopback of either family.
 */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { addressToString } from "../../common/runtime/environment.ts";

/** A connection to `port` at the first of `hosts` that takes one. Rejects with what each of them said, or the signal's reason. */
export async function connectToApplication(hosts: readonly string[], port: number, signal: AbortSignal): Promise<Socket> {
  const problems: string[] = [];
  for (const host of hosts) {
    signal.throwIfAborted();
    const socket = connect({ host, port, noDelay: true });
    try {
      await once(socket, "connect", { signal });
      return socket;
    } catch (error) {
      socket.destroy();
      signal.throwIfAborted();
      problems.push(`${addressToString({ host, port })}: ${(error as NodeJS.ErrnoException).code ?? String(error)}`);
    }
  }
  throw new Error(`nobody listens on port ${port} (${problems.join(", ")})`);
}
