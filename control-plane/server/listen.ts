/** Binding of ports and sockets, with errors that a person can act upon. */
import type { AddressInfo, ListenOptions, Server } from "node:net";
import { addressToString } from "../../common/runtime/environment.ts";
import type { Address } from "../../common/runtime/environment.ts";

export class ListenError extends Error {
  override readonly name = "ListenError";
  readonly code: "address-in-use" | "address-refused";

  constructor(code: "address-in-use" | "address-refused", message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** Throws ListenError. */
export async function listen(server: Server, address: Address): Promise<void> {
  await listenOn(server, { host: address.host, port: address.port }, addressToString(address));
}

/** `what` names the place in errors. Throws ListenError. */
export async function listenOn(server: Server, options: ListenOptions, what: string): Promise<void> {
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

export function boundAddress(server: Server): Address {
  const { address, port } = server.address() as AddressInfo;
  return { host: address, port };
}
