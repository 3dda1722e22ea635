/** A TCP relay between the two proxies of a pair, which can end what it carries: the next call needs a new handshake. */
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { BenchError } from "../errors.ts";

export interface Relay extends AsyncDisposable {
  readonly port: number;
  /** Where connections go; to be set before one comes. */
  aim(port: number): void;
  /** Connections so far. */
  count(): number;
  /** Ends all of them; resolves when both proxies have seen it and closed too. Throws BenchError `bad-response` where one does not. */
  hangUp(): Promise<void>;
}

const closeMs = 5000;

export async function startRelay(): Promise<Relay> {
  let target = 0;
  let count = 0;
  const open = new Map<Socket, Promise<unknown>>();
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (inner) => {
    count++;
    const outer = connect({ port: target, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
    for (const [socket, other] of [
      [inner, outer],
      [outer, inner],
    ] as const) {
      const closed = new Promise((resolve) => socket.once("close", resolve));
      open.set(socket, closed);
      void closed.then(() => open.delete(socket));
      // After a hang-up there are still the words with which TLS takes its leave: they are read, and go nowhere.
      socket.on("data", (chunk: Buffer) => {
        if (other.writable && !other.write(chunk)) socket.pause();
      });
      socket.on("drain", () => other.resume());
      socket.on("end", () => other.end());
      socket.on("error", () => other.destroy());
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    aim(port) {
      target = port;
    },
    count: () => count,
    async hangUp() {
      const closing = [...open.values()];
      for (const socket of open.keys()) socket.resume().end();
      const scope = new AbortController();
      const late = delay(closeMs, "late", { signal: scope.signal }).catch(() => "late");
      const outcome = await Promise.race([Promise.all(closing), late]);
      scope.abort();
      if (outcome === "late") throw new BenchError("bad-response", `a proxy kept a connection open ${closeMs} ms after its end`);
    },
    async [Symbol.asyncDispose]() {
      for (const socket of open.keys()) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}
