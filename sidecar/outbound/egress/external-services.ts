/**
 * The hosts outside the mesh that are listed for this workload, as the snapshot has them, to be found by host and port.
 * An exact name goes before a wildcard, whose `*` stands for one label, as in certificates (RFC 9525 6.3).
 *
 * Several may list the same host and port. Then what one of them allows is allowed (its protocol, its addresses), and what one
 * of them demands is demanded (a policy).
 */
import type { ExternalService as ExternalServiceMessage } from "../../../common/gen/mesh/v1/mesh.ts";
import { ipFromString, networkFromString, type IpNetwork } from "../../../common/net/ip.ts";
import type { Protocol } from "../../detect/protocol.ts";

export const externalProtocols = ["http", "h2", "grpc", "tls", "tcp"] as const;
export type ExternalProtocol = (typeof externalProtocols)[number];

/** One host on one port. */
export interface ExternalHost {
  /** As it is listed: `api.example.com`, `*.example.com`, `203.0.113.7`. */
  readonly host: string;
  readonly port: number;
  readonly protocols: ReadonlySet<ExternalProtocol>;
  /** Networks in which it is said to be. */
  readonly networks: readonly IpNetwork[];
  /** Whether it is also where DNS says it is. */
  readonly resolved: boolean;
  /** Whether one of the caller's roles has to allow the call. */
  readonly policyRequired: boolean;
}

export interface ExternalServices {
  /** `host`: a lower-case name without trailing dot, or an IP address in the form of `formatIp`. */
  find(host: string, port: number): ExternalHost | undefined;
  /** Everything that is listed for a port. */
  onPort(port: number): readonly ExternalHost[];
}

/** What may be spoken where a protocol is declared. */
const spoken: Readonly<Record<ExternalProtocol, readonly Protocol[]>> = {
  http: ["http1", "h2"],
  h2: ["h2"],
  grpc: ["h2"],
  tls: ["tls"],
  tcp: ["http1", "h2", "tls", "tcp"],
};

export function maySpeak({ protocols }: ExternalHost, protocol: Protocol): boolean {
  for (const each of protocols) if (spoken[each].includes(protocol)) return true;
  return false;
}

/** Throws TypeError for a protocol or network that is none: a listing that is not understood must not be guessed at. */
export function compileExternalServices(messages: readonly ExternalServiceMessage[]): ExternalServices {
  const byPort = new Map<number, Map<string, ExternalHost>>();
  for (const message of messages) {
    const networks = message.addresses.map(networkOf);
    for (const { port, protocol } of message.ports) {
      const hosts = byPort.get(port) ?? new Map<string, ExternalHost>();
      byPort.set(port, hosts);
      for (const host of message.hosts) {
        const listed = listing(host, port, protocolOf(protocol), networks, message.policyRequired);
        const other = hosts.get(host);
        hosts.set(host, other === undefined ? listed : merged(other, listed));
      }
    }
  }
  const lists = new Map([...byPort].map(([port, hosts]) => [port, [...hosts.values()]]));
  return {
    find(host, port) {
      const hosts = byPort.get(port);
      if (hosts === undefined) return undefined;
      const exact = hosts.get(host);
      if (exact !== undefined || ipFromString(host) !== undefined) return exact;
      const dot = host.indexOf(".");
      return dot < 0 ? undefined : hosts.get(`*${host.slice(dot)}`);
    },
    onPort: (port) => lists.get(port) ?? [],
  };
}

function listing(
  host: string,
  port: number,
  protocol: ExternalProtocol,
  networks: readonly IpNetwork[],
  policyRequired: boolean,
): ExternalHost {
  // An address is where it is.
  const itself = ipFromString(host) === undefined ? [] : [networkOf(host)];
  const known = itself.length > 0 ? itself : networks;
  return { host, port, protocols: new Set([protocol]), networks: known, resolved: known.length === 0, policyRequired };
}

function merged(a: ExternalHost, b: ExternalHost): ExternalHost {
  return {
    ...a,
    protocols: a.protocols.union(b.protocols),
    networks: [...a.networks, ...b.networks],
    resolved: a.resolved || b.resolved,
    policyRequired: a.policyRequired || b.policyRequired,
  };
}

function protocolOf(text: string): ExternalProtocol {
  const protocol = externalProtocols.find((each) => each === text);
  if (protocol === undefined) throw new TypeError(`${JSON.stringify(text)} is no protocol of an external service`);
  return protocol;
}

function networkOf(text: string): IpNetwork {
  const network = networkFromString(text);
  if (network === undefined) throw new TypeError(`${JSON.stringify(text)} is neither an IP address nor a network`);
  return network;
}
