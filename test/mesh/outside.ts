/** Hosts outside the mesh: servers of the test on addresses of loopback, which keep what reaches them. */
import { once } from "node:events";
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { call, type Answer, type Call } from "./clients.ts";

export interface Outside {
  readonly address: string;
  readonly port: number;
  /** How many have been made so far. */
  connections(): number;
  /** All that came on all of them, a character a byte. Of a server only: a function reads for itself. */
  received(): string;
  close(): void;
}

/** Anything that takes connections from elsewhere: a server of node:http, node:http2 or node:tls, or a function. */
export type Takes = ((socket: Socket) => void) | { emit(event: "connection", socket: Socket): boolean };

/** Listens on `address`, on a port of the kernel's choice unless one is given. */
export async function startOutside(takes: Takes, address = "127.0.0.1", port = 0): Promise<Outside> {
  const sockets = new Set<Socket>();
  let count = 0;
  let text = "";
  const server: Server = createServer({ allowHalfOpen: true }, (socket) => {
    count++;
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.once("close", () => sockets.delete(socket));
    if (typeof takes === "function") {
      takes(socket);
      return;
    }
    takes.emit("connection", socket);
    socket.on("data", (chunk: Buffer) => (text += chunk.toString("latin1")));
  });
  server.listen(port, address);
  await once(server, "listening");
  return {
    address,
    port: (server.address() as AddressInfo).port,
    connections: () => count,
    received: () => text,
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** As a program calls that was told of a proxy: the whole URL in the request line (RFC 9112 3.2.2). */
export async function proxied(outbound: string, url: string, options: Omit<Call, "host" | "path"> = {}): Promise<Answer> {
  return await call(outbound, { ...options, host: url.split("/")[2] ?? "", path: url });
}

export interface Tunnel {
  readonly socket: Socket;
  /** What the proxy said to CONNECT. */
  readonly head: string;
}

/** Asks the proxy for a tunnel. */
export async function connectThrough(socket: Socket, authority: string): Promise<Tunnel> {
  socket.on("error", () => undefined);
  socket.write(`CONNECT ${authority} HTTP/1.1\r\nhost: ${authority}\r\n\r\n`);
  let head = "";
  while (!head.includes("\r\n\r\n")) {
    const chunk = socket.read() as Buffer | null;
    if (chunk !== null) head += chunk.toString("latin1");
    else if (socket.readableEnded || socket.destroyed) return { socket, head };
    else await readableOrClosed(socket);
  }
  const end = head.indexOf("\r\n\r\n") + 4;
  if (head.length > end) socket.unshift(Buffer.from(head.slice(end), "latin1"));
  return { socket, head: head.slice(0, end) };
}

async function readableOrClosed(socket: Socket): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  socket.once("readable", resolve);
  socket.once("close", resolve);
  await promise;
  socket.off("readable", resolve);
  socket.off("close", resolve);
}

/** All that the other side sends; what goes the other way may go on. (`node:stream/consumers` destroy what they have read.) */
export async function readSide(socket: Socket): Promise<string> {
  let text = "";
  socket.on("data", (chunk: Buffer) => (text += chunk.toString("latin1")));
  await once(socket, "end");
  return text;
}
