/** A TCP relay that keeps every byte in both directions: what somebody on the network sees. */
import { connect, createServer, type Socket } from "node:net";
import { listening } from "./harness.ts";

export interface Relay {
  /** `host:port` */
  readonly address: string;
  /** Where connections go; to be set before one comes. */
  aim(port: number): void;
  /** Connections that came, and those that are still there on both sides. */
  accepted(): number;
  open(): number;
  readonly fromClient: () => Buffer;
  readonly fromServer: () => Buffer;
  /** Breaks the connections there are; new ones may come. */
  cut(): void;
  close(): void;
}

export async function startRelay(): Promise<Relay> {
  let target = 0;
  const clientBytes: Buffer[] = [];
  const serverBytes: Buffer[] = [];
  const sockets = new Set<Socket>();
  let accepted = 0;
  let open = 0;
  const server = createServer((client) => {
    accepted++;
    const upstream = connect(target, "127.0.0.1");
    upstream.once("connect", () => {
      open++;
      upstream.once("close", () => open--);
    });
    client.on("data", (chunk: Buffer) => clientBytes.push(chunk));
    upstream.on("data", (chunk: Buffer) => serverBytes.push(chunk));
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(socket);
      socket.on("error", () => undefined);
      socket.on("close", () => other.destroy());
      socket.pipe(other);
    }
  });
  const port = await listening(server);
  function cut(): void {
    for (const socket of sockets) socket.destroy();
    sockets.clear();
  }

  return {
    address: `127.0.0.1:${port}`,
    aim(to) {
      target = to;
    },
    accepted: () => accepted,
    open: () => open,
    fromClient: () => Buffer.concat(clientBytes),
    fromServer: () => Buffer.concat(serverBytes),
    cut,
    close() {
      cut();
      server.close();
    },
  };
}
