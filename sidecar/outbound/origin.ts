/** How a connection of the application came to this sidecar. */
import type { Address } from "../../common/runtime/environment.ts";

export interface Origin {
  /**
   * Where a redirected connection was going, or a tunnel to a service of the mesh, by its name or its address; undefined for one that
   * was made to this sidecar as to a proxy.
   */
  readonly address: Address | undefined;
  /** What is inside of a connection that is passed on as it is. */
  readonly inside: "tls" | "tcp" | "http1";
}

export const explicitOrigin: Origin = { address: undefined, inside: "tcp" };
