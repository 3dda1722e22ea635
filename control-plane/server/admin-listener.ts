/**
 * The admin socket: a Unix socket for its owner only. Whoever may open it may administer, so its mode is right from the
 * moment it exists.
 */
import { chmodSync, lstatSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import type { Socket } from "node:net";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import type { Clock } from "../../common/runtime/clock.ts";
import { ListenError, listenOn } from "../../common/runtime/listen.ts";
import type { GrpcService } from "./mesh-listener.ts";

/** What `sun_path` holds, less its final NUL. */
const maxPathBytes = 107;

const adminServerOptions = {
  "grpc.max_receive_message_length": 1024 * 1024,
  "grpc.max_concurrent_streams": 100,
} as const;

export interface AdminListener {
  readonly path: string;
  readonly close: () => Promise<void>;
}

/** Takes the place of a socket that nobody listens on any more. Throws ListenError. */
export async function openAdminListener(path: string, service: GrpcService, clock: Clock): Promise<AdminListener> {
  if (Buffer.byteLength(path) > maxPathBytes) {
    throw new ListenError("address-refused", `the path of the admin socket has more than ${maxPathBytes} bytes: ${path}`);
  }
  const present = lstatSync(path, { throwIfNoEntry: false });
  if (present !== undefined && !present.isSocket()) throw new ListenError("address-in-use", `${path} exists and is not a socket`);
  if (present !== undefined && (await isListenedOn(path)))
    throw new ListenError("address-in-use", `${path} is in use by another control plane`);
  const grpc = new Server(adminServerOptions);
  grpc.addService(service.definition, service.implementation);
  const injector = grpc.createConnectionInjector(ServerCredentials.createInsecure());
  const connections = new Set<Socket>();
  const server = createServer((socket) => {
    connections.add(socket);
    socket.once("close", () => connections.delete(socket));
    // Without a listener the error of a client that is gone would end the process.
    socket.on("error", () => socket.destroy());
    injector.injectConnection(socket);
  });
  rmSync(path, { force: true });
  // The socket is made while `listen` is called, so nobody can open it before its mode is set.
  const previous = process.umask(0o177);
  const listening = listenOn(server, { path }, path);
  process.umask(previous);
  await listening;
  chmodSync(path, 0o600);
  return {
    path,
    async close() {
      server.close();
      injector.drain(1000);
      const { promise, resolve } = Promise.withResolvers<void>();
      const cancel = clock.schedule(1000, resolve);
      grpc.tryShutdown(() => {
        resolve();
      });
      for (const socket of connections) socket.end();
      await promise;
      cancel();
      for (const socket of connections) socket.destroy();
      grpc.forceShutdown();
    },
  };
}

async function isListenedOn(path: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect(path);
  socket.once("connect", () => {
    resolve(true);
  });
  socket.once("error", () => {
    resolve(false);
  });
  try {
    return await promise;
  } finally {
    socket.destroy();
  }
}
