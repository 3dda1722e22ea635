/** Binding of listeners, with errors that say what to do. */
import type { AddressInfo, Server } from "node:net";
import { addressToString, type Address } from "./environment.ts";

export class ListenError extends Error {
  override readonly name = "ListenError";
  readonly code: "port-taken" | "not-permitted" | "no-such-address" | "listen-failed";

  constructor(code: ListenError["code"], message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** Listens and returns the address bound, its port chosen by the kernel where `address.port` is 0. Rejects with ListenError. */
export function listen(server: Server, address: Address, what: string): Promise<Address> {
  return new Promise((resolve, reject) => {
    const onError = (error: NodeJS.ErrnoException) => reject(listenError(error, address, what));
    server.once("error", onError);
    server.listen({ host: address.host, port: address.port }, () => {
      server.off("error", onError);
      const bound = server.address() as AddressInfo;
      resolve({ host: bound.address, port: bound.port });
    });
  });
}

function listenError(error: NodeJS.ErrnoException, address: Address, what: string): ListenError {
  const where = `${what} cannot listen on ${addressToString(address)}`;
  switch (error.code ?? "") {
    case "EADDRINUSE":
      return new ListenError("port-taken", `${where}: the port is taken by another program`, { cause: error });
    case "EACCES":
      return new ListenError("not-permitted", `${where}: not permitted to this user`, { cause: error });
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
      return new ListenError("no-such-address", `${where}: this machine has no such address`, { cause: error });
    default:
      return new ListenError("listen-failed", `${where}: ${error.message}`, { cause: error });
  }
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
