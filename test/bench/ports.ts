/** Ports for programs that cannot choose one themselves and say which. */
import { createServer, type AddressInfo, type Server } from "node:net";

/** Ports on 127.0.0.1 that were free a moment ago. */
export async function freePorts(count: number): Promise<number[]> {
  const servers: Server[] = [];
  const ports: number[] = [];
  // All are held until the last is chosen, so that they differ.
  for (let index = 0; index < count; index++) {
    const server = createServer();
    servers.push(server);
    const listening = Promise.withResolvers<void>();
    server.once("error", listening.reject).listen(0, "127.0.0.1", listening.resolve);
    await listening.promise;
    ports.push((server.address() as AddressInfo).port);
  }
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
