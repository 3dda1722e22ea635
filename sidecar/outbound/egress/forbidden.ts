/**
 * Addresses that no call out of the mesh goes to unless an `ExternalService` lists them: what is there answers by where a
 * request comes from, and a program that can be talked into a request gives away what it was told (server-side request
 * forgery). Private networks are not among them, because clusters and data centres live there.
 */
import { networkContains, networkFromString, networkWithin, type IpAddress, type IpNetwork } from "../../../common/net/ip.ts";

function required(text: string): IpNetwork {
  const network = networkFromString(text);
  if (network === undefined) throw new TypeError(`${text} is not a network`);
  return network;
}

/** https://www.iana.org/assignments/iana-ipv4-special-registry, iana-ipv6-special-registry, and what cloud providers document. */
const forbidden = [
  // Unspecified, and the rest of "this network", which Linux takes for this host.
  "0.0.0.0/8",
  "::/128",
  // Loopback.
  "127.0.0.0/8",
  "::1/128",
  // Link-local: 169.254.169.254 and 169.254.170.2 (AWS, Azure, Google, ECS), 169.254.0.23 (Tencent) among them.
  "169.254.0.0/16",
  "fe80::/10",
  // Multicast and broadcast.
  "224.0.0.0/4",
  "255.255.255.255/32",
  "ff00::/8",
  // Metadata beyond link-local: Alibaba, Oracle, Azure's WireServer, AWS, Google, Scaleway.
  "100.100.100.200/32",
  "192.0.0.192/32",
  "168.63.129.16/32",
  "fd00:ec2::254/128",
  "fd20:ce::254/128",
  "fd00:42::42/128",
].map(required);

/** Networks whose last 32 bits are an IPv4 address that a translator may connect to: NAT64 (RFC 6052, RFC 8215), SIIT, IPv4-compatible. */
const embedding = ["64:ff9b::/96", "64:ff9b:1::/48", "::ffff:0:0:0/96", "::/96"].map(required);
/** 6to4 (RFC 3056): the address follows the first 16 bits. */
const sixToFour = required("2002::/16");

/** Names by which programs find metadata, whatever they resolve to. */
const metadataNames = new Set([
  "metadata",
  "metadata.google.internal",
  "metadata.goog",
  "instance-data",
  "instance-data.ec2.internal",
  "metadata.azure.internal",
  "metadata.tencentyun.com",
  "metadata.packet.net",
  "metadata.platformequinix.com",
]);

export function isMetadataName(host: string): boolean {
  return metadataNames.has(host);
}

/** Whether a call may only go to `address` because `listed` names it or a network within the forbidden one: 0.0.0.0/0 names nothing. */
export function isForbidden(address: IpAddress, listed: readonly IpNetwork[]): boolean {
  for (const network of forbidden) {
    if (!networkContains(network, address)) continue;
    return !listed.some((each) => networkContains(each, address) && networkWithin(each, network));
  }
  const inner = embeddedAddress(address);
  if (inner === undefined || !isForbidden(inner, [])) return false;
  return !listed.some((each) => each.bits === 128 && networkContains(each, address));
}

/** The IPv4 address that an IPv6 address stands for. */
function embeddedAddress(address: IpAddress): IpAddress | undefined {
  if (address.length === 1) return undefined;
  const [first = 0, second = 0, , last = 0] = address;
  if (networkContains(sixToFour, address)) return [(first << 16) | (second >>> 16)];
  return embedding.some((network) => networkContains(network, address)) ? [last] : undefined;
}
