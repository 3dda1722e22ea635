/** Ports of the programs of a mesh, on loopback. */
import { connect, createServer, type AddressInfo } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { MeshError } from "./mesh-error.ts";
import { describeExit, type Exit } from "./processes.ts";

const readyTimeoutMs = 30_000;

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Resolves when something listens there, by default on loopback. Rejects with MeshError when the program ends first, or takes too long. */
export async function untilListening(
  name: string,
  port: number,
  exited: Promise<Exit>,
  signal: AbortSignal,
  listens: () => Promise<boolean> = () => accepts(port),
): Promise<void> {
  const deadline = Date.now() + readyTimeoutMs;
  let ended: Exit | undefined;
  void exited.then((exit) => (ended = exit));
  while (!(await listens())) {
    signal.throwIfAborted();
    if (ended) throw new MeshError("program-failed", `${name} ${describeExit(ended)} before it listened on port ${port}`);
    if (Date.now() > deadline) throw new MeshError("not-ready", `${name} does not listen on port ${port} after ${readyTimeoutMs / 1000} s`);
    await delay(25);
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port });
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
