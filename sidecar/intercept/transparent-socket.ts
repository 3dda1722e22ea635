/**
 * A listening socket that may accept connections to addresses that are not its own: what TPROXY rules hand connections to. The
 * kernel lets only a privileged process make one; a sidecar without privileges inherits it and listens on it.
 */
import { getSystemErrorName } from "node:util";
import { backlog } from "../../common/runtime/listen.ts";
import { InterceptError } from "./error.ts";
import { loadLibc } from "./libc.ts";
import { AF_INET6, anySockaddr, sockaddrIn6Bytes } from "./socket-address.ts";

/** sys/socket.h and linux/in6.h, as on every architecture that Node runs on. */
const SOCK_STREAM = 1;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SOL_IPV6 = 41;
const IPV6_V6ONLY = 26;
const IPV6_TRANSPARENT = 75;

/**
 * Listens on that port of every address, IPv4 and IPv6, and returns the file descriptor, which programs started from here on
 * inherit. Throws InterceptError: without CAP_NET_ADMIN, or where the port is taken.
 */
export function openTransparentSocket(port: number): number {
  const libc = loadLibc();
  const failure = (what: string) => {
    const name = getSystemErrorName(-libc.errno());
    const hint = name === "EPERM" ? ": that takes root, or the capability CAP_NET_ADMIN" : "";
    return new InterceptError("socket-refused", `cannot ${what} (${name})${hint}`);
  };
  const fd = libc.socket(AF_INET6, SOCK_STREAM, 0);
  if (fd < 0) throw failure("make an IPv6 socket");
  const set = (level: number, option: number, value: number): boolean => {
    const bytes = new Uint8Array(new Int32Array([value]).buffer);
    return libc.setsockopt(fd, level, option, bytes, 4) === 0;
  };
  try {
    set(SOL_SOCKET, SO_REUSEADDR, 1);
    if (!set(SOL_IPV6, IPV6_V6ONLY, 0)) throw failure("take IPv4 connections on an IPv6 socket");
    if (!set(SOL_IPV6, IPV6_TRANSPARENT, 1)) throw failure("make a transparent socket");
    if (libc.bind(fd, anySockaddr(port), sockaddrIn6Bytes) !== 0) throw failure(`bind port ${port}`);
    if (libc.listen(fd, backlog) !== 0) throw failure(`listen on port ${port}`);
    return fd;
  } catch (error) {
    libc.close(fd);
    throw error;
  }
}
