/** Socket addresses as the Linux kernel lays them out (`struct sockaddr_in`, `struct sockaddr_in6`). */
import { formatIp } from "../../common/net/ip.ts";
import type { Address } from "../../common/runtime/environment.ts";

export const AF_INET = 2;
export const AF_INET6 = 10;
export const sockaddrIn6Bytes = 28;

/** Addresses are in the form of `formatIp`, with `%` and its scope where an IPv6 address has one. Undefined for other families. */
export function addressFromSockaddr(bytes: Buffer): Address | undefined {
  // The family and the scope are in the machine's own byte order, all else in the network's.
  const family = new Uint16Array(bytes.buffer, bytes.byteOffset, 1)[0];
  const port = bytes.readUInt16BE(2);
  if (family === AF_INET) return { host: formatIp([bytes.readUInt32BE(4)]), port };
  if (family !== AF_INET6) return undefined;
  const address = formatIp([8, 12, 16, 20].map((offset) => bytes.readUInt32BE(offset)));
  const scope = new Uint32Array(bytes.buffer, bytes.byteOffset + 24, 1)[0] ?? 0;
  return { host: scope === 0 ? address : `${address}%${scope}`, port };
}

/** Every address of the machine, IPv4 and IPv6, on that port. */
export function anySockaddr(port: number): Buffer {
  const bytes = Buffer.alloc(sockaddrIn6Bytes);
  new Uint16Array(bytes.buffer, bytes.byteOffset, 1)[0] = AF_INET6;
  bytes.writeUInt16BE(port, 2);
  return bytes;
}
