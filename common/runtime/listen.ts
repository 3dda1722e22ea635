/** Binding of ports and sockets, with errors that a person can act upon. */
import type { AddressInfo, ListenOptions, Server } from "node:net";
import { addressToString, type Address, type ListenTarget } from "./environment.ts";

/** Connections that may wait to be accepted; the kernel has its own limit (net.core.somaxconn, 4096). Node's default is 511. */
export const backlog = 4096;

export class ListenError extends Error {
  override readonly name = "ListenError";
  readonly code: "address-in-use" | "address-refused";

  constructor(code: "address-in-use" | "address-refused", message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** Listens there and returns the address bound, its port chosen by the kernel where `target.port` is 0. Throws ListenError. */
export async function listen(server: Server, target: ListenTarget, what?: string): Promise<Address> {
  if ("fd" in target) {
    await listenOn(server, { fd: target.fd, backlog }, `${what === undefined ? "" : `${what} `}socket fd:${target.fd}`);
    return boundAddress(server);
  }
  const where = addressToString(target);
  const place = what === undefined ? where : `${what} address ${where}`;
  try {
    await listenOn(server, { host: target.host, port: target.port, backlog }, place);
  } catch (error) {
    if (target.host !== "::" || (error as { cause?: NodeJS.ErrnoException }).cause?.code !== "EAFNOSUPPORT") throw error;
    // Every address of a kernel that was started without IPv6.
    await listenOn(server, { host: "0.0.0.0", port: target.port, backlog }, place);
  }
  return boundAddress(server);
}

/** `what` names the place in errors. Throws ListenError. */
export async function listenOn(
  server: Server,
  options: ListenOptions | { readonly fd: number; readonly backlog: number },
  what: string,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("listening", resolve);
  server.once("error", reject);
  server.listen(options);
  try {
    await promise;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "EADDRINUSE") throw new ListenError("address-in-use", `${what} is in use by another program`, { cause: error });
    throw new ListenError("address-refused", `cannot listen on ${what}: ${message}`, { cause: error });
  } finally {
    server.off("listening", resolve);
    server.off("error", reject);
  }
}

function boundAddress(server: Server): Address {
  const { address, port } = server.address() as AddressInfo;
  return { host: address, port };
}

/** Resolves when a server that was told to close has no connection left, or after the deadline. */
export async function untilClosed(server: Server, deadlineMs: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, deadlineMs);
  // Calls back at once where the server is closed already; the error then says just that.
  server.close(() => resolve());
  await promise;
  clearTimeout(timer);
}
