/**
 * Where a connection that the kernel brought to us was going.
 *
 * `redirect`: netfilter rewrote the destination, and connection tracking remembers it (`SO_ORIGINAL_DST`; for IPv6
 * `IP6T_SO_ORIGINAL_DST`). `tproxy`: nothing was rewritten, so that the socket's own local address is the answer. Either way a
 * connection made straight to the listener has no original destination, and must not get one: a client could otherwise have
 * this process connect to itself.
 *
 * Costs one system call a connection (about 2 µs, by way of node:ffi), and nothing where interception is off.
 */
import type { AddressInfo, Server, Socket } from "node:net";
import type { Address } from "../../common/runtime/environment.ts";
import { loadLibc } from "./libc.ts";
import { addressFromSockaddr, sockaddrIn6Bytes } from "./socket-address.ts";

export const interceptModes = ["off", "redirect", "tproxy"] as const;
export type InterceptMode = (typeof interceptModes)[number];

/** linux/in.h, linux/netfilter_ipv4.h, linux/netfilter_ipv6/ip6_tables.h */
const SOL_IP = 0;
const SOL_IPV6 = 41;
const SO_ORIGINAL_DST = 80;

/** Undefined for a connection that nobody redirected. */
export type OriginalDestination = (socket: Socket) => Address | undefined;

/**
 * For the connections that `server` accepts. What leaves the application is redirected in either mode; `tproxy` concerns
 * `inbound` alone. A TLS server gives its accepted socket with `connection`, and a TLSSocket will do as well.
 * Throws InterceptError where the platform has no way to tell.
 */
export function createOriginalDestination(mode: InterceptMode, listener: "outbound" | "inbound", server: Server): OriginalDestination {
  if (mode === "off") return () => undefined;
  if (mode === "tproxy" && listener === "inbound") return localAddressUnless(server);
  return createTracked();
}

function createTracked(): OriginalDestination {
  const { getsockopt } = loadLibc();
  // Outside of V8's heap, because the kernel writes to it.
  const memory = new ArrayBuffer(64);
  const sockaddr = Buffer.from(memory, 0, sockaddrIn6Bytes);
  const size = new Uint32Array(memory, 32, 1);
  const sizeBytes = new Uint8Array(memory, 32, 4);
  return (socket) => {
    const fd = descriptorOf(socket);
    const local = localAddressOf(socket);
    if (fd === undefined || local === undefined) return undefined;
    size[0] = sockaddrIn6Bytes;
    // Whatever makes it fail (nothing tracked: ENOENT; no connection tracking at all: ENOPROTOOPT), there is no redirection to speak of.
    if (getsockopt(fd, local.host.includes(":") ? SOL_IPV6 : SOL_IP, SO_ORIGINAL_DST, sockaddr, sizeBytes) !== 0) return undefined;
    const original = addressFromSockaddr(sockaddr);
    return original && isSame(original, local) ? undefined : original;
  };
}

function localAddressUnless(server: Server): OriginalDestination {
  let own: number | undefined;
  return (socket) => {
    own ??= (server.address() as AddressInfo | null)?.port;
    const local = localAddressOf(socket);
    return local?.port === own ? undefined : local;
  };
}

function isSame(one: Address, other: Address): boolean {
  return one.port === other.port && withoutScope(one.host) === withoutScope(other.host);
}

function withoutScope(host: string): string {
  const percent = host.indexOf("%");
  return percent === -1 ? host : host.slice(0, percent);
}

/** An IPv4 connection to a socket of both families is one of IPv4. */
function localAddressOf(socket: Socket): Address | undefined {
  const { localAddress, localPort } = socket;
  if (localAddress === undefined || localPort === undefined) return undefined;
  return { host: localAddress.startsWith("::ffff:") ? localAddress.slice(7) : localAddress, port: localPort };
}

/** Node keeps it where only its own code looks. */
function descriptorOf(socket: Socket): number | undefined {
  const { _handle: handle } = socket as unknown as { readonly _handle?: { readonly fd?: number } | null };
  const fd = handle?.fd;
  return fd === undefined || fd < 0 ? undefined : fd;
}
