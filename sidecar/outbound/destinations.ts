/**
 * Where this workload may be sent, from a snapshot: destinations by host name, each with its endpoints. Endpoints (and the
 * connections to them) outlive snapshots; one that a snapshot no longer names is drained.
 */
import type { Destination as DestinationMessage, ServicePort, Snapshot, Traffic } from "../../common/gen/mesh/v1/mesh.ts";
import { canonicalIp } from "../../common/net/ip.ts";
import { addressFromString, type Address } from "../../common/runtime/environment.ts";
import { serviceProtocolFromString, type ServiceProtocol } from "../service-protocol.ts";
import { defaultTraffic, type TrafficSettings } from "./traffic/settings.ts";

export interface EndpointDescriptor {
  /** The audience to sign for. */
  readonly instance: string;
  readonly address: Address;
  readonly spiffeId: string;
}

/** A receiving sidecar and the calls on their way to it. */
export interface Endpoint extends EndpointDescriptor {
  inFlight: number;
  /** Epoch milliseconds until which others are preferred, after a failure to connect. */
  failingUntil: number;
}

/** What a service speaks on a port, as it declares it. */
export interface DestinationPort {
  readonly port: number;
  readonly protocol: ServiceProtocol;
}

export interface Destination {
  /** `<name>.<namespace>`: the service of the credential scope. */
  readonly scope: string;
  readonly namespace: string;
  readonly name: string;
  readonly roleArn: string;
  /** Who may answer for it. */
  readonly spiffeIds: ReadonlySet<string>;
  readonly endpoints: readonly Endpoint[];
  readonly allowEncodedSlashes: boolean;
  readonly maxSessionSeconds: number;
  readonly ports: ReadonlyMap<number, DestinationPort>;
  /** Virtual addresses, in the form of `formatIp`. */
  readonly addresses: readonly string[];
  readonly traffic: TrafficSettings;
}

export interface Destinations {
  readonly byHost: ReadonlyMap<string, Destination>;
  /** By virtual address, in the form of `formatIp`: where a connection was going that was redirected here. */
  readonly byAddress: ReadonlyMap<string, Destination>;
  /** All endpoints by instance. */
  readonly endpoints: ReadonlyMap<string, Endpoint>;
}

export const noDestinations: Destinations = { byHost: new Map(), byAddress: new Map(), endpoints: new Map() };

/** A session for a critical service must be young (signing.md, Tiers). */
const criticalSessionSeconds = 900;

/** Takes over the endpoints of `previous` that are still there. Throws TypeError for an address that is not one. */
export function destinationsFromSnapshot(snapshot: Snapshot, previous: Destinations): Destinations {
  const byHost = new Map<string, Destination>();
  const byAddress = new Map<string, Destination>();
  const endpoints = new Map<string, Endpoint>();
  for (const message of snapshot.destinations) {
    const destination = destinationFromMessage(message, previous, endpoints);
    for (const hostname of message.hostnames) byHost.set(hostname, destination);
    for (const address of destination.addresses) byAddress.set(address, destination);
  }
  return { byHost, byAddress, endpoints };
}

function destinationFromMessage(message: DestinationMessage, previous: Destinations, endpoints: Map<string, Endpoint>): Destination {
  const own = message.endpoints.map((each): Endpoint => {
    const address = addressFromString(each.address);
    if (!address) throw new TypeError(`${JSON.stringify(each.address)} is not an address`);
    const known = endpoints.get(each.instance) ?? previous.endpoints.get(each.instance);
    const kept = known && known.spiffeId === each.spiffeId && known.address.host === address.host && known.address.port === address.port;
    const endpoint = kept ? known : { instance: each.instance, address, spiffeId: each.spiffeId, inFlight: 0, failingUntil: 0 };
    endpoints.set(each.instance, endpoint);
    return endpoint;
  });
  return {
    scope: `${message.name}.${message.namespace}`,
    namespace: message.namespace,
    name: message.name,
    roleArn: message.roleArn,
    spiffeIds: new Set(message.spiffeIds),
    endpoints: own,
    allowEncodedSlashes: message.allowEncodedSlashes,
    maxSessionSeconds: message.tier === "critical" ? criticalSessionSeconds : 0,
    ports: new Map(message.ports.map((port) => [port.port, portFromMessage(port)])),
    addresses: message.addresses.map(addressFromMessage),
    traffic: trafficFromMessage(message.traffic),
  };
}

function portFromMessage({ port, protocol }: ServicePort): DestinationPort {
  return { port, protocol: serviceProtocolFromString(protocol) };
}

function addressFromMessage(text: string): string {
  const address = canonicalIp(text);
  if (address === undefined) throw new TypeError(`${JSON.stringify(text)} is not an IP address`);
  return address;
}

function trafficFromMessage(message: Traffic | undefined): TrafficSettings {
  if (message === undefined) return defaultTraffic;
  const { retryAttempts, retryBudgetPercent, consecutiveFailures, baseEjectionSeconds, maxEjectionPercent, ...rest } = message;
  return {
    ...rest,
    retries: { attempts: retryAttempts, budgetPercent: retryBudgetPercent },
    outlierDetection: { consecutiveFailures, baseEjectionSeconds, maxEjectionPercent },
  };
}

/**
 * Power of two choices on the calls in flight: of two endpoints drawn at random the less busy one, which keeps load even
 * without anybody's global view. One that failed to connect a moment ago is left out while there is another.
 */
export function pickEndpoint(
  endpoints: readonly Endpoint[],
  now: number,
  random: () => number,
  except: Endpoint | undefined,
): Endpoint | undefined {
  if (endpoints.length === 1 && except === undefined) return endpoints[0];
  const healthy = endpoints.filter((endpoint) => endpoint !== except && endpoint.failingUntil <= now);
  const candidates = healthy.length > 0 ? healthy : endpoints.filter((endpoint) => endpoint !== except);
  const first = candidates[Math.floor(random() * candidates.length)];
  const second = candidates[Math.floor(random() * candidates.length)];
  if (!first || !second) return first;
  return second.inFlight < first.inFlight ? second : first;
}
