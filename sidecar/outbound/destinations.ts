/**
 * Where this workload may be sent, from a snapshot: destinations by host name, each with its endpoints. Endpoints (and the
 * connections to them) outlive snapshots, and so does what is known of the traffic to them; an endpoint that a snapshot no
 * longer names is drained.
 */
import type { Destination as DestinationMessage, ServicePort, Snapshot, Traffic } from "../../common/gen/mesh/v1/mesh.ts";
import { canonicalIp } from "../../common/net/ip.ts";
import { addressFromString, type Address } from "../../common/runtime/environment.ts";
import { serviceProtocolFromString, type ServiceProtocol } from "../service-protocol.ts";
import { createDestinationTraffic, type DestinationTraffic } from "./traffic/destination-traffic.ts";
import { defaultTraffic, type TrafficSettings } from "./traffic/settings.ts";

export interface EndpointDescriptor {
  /** The audience to sign for. */
  readonly instance: string;
  readonly address: Address;
  readonly spiffeId: string;
}

/** A receiving sidecar. */
export interface Endpoint extends EndpointDescriptor {
  /** Calls on their way to it, and those that wait for a connection to it. */
  inFlight: number;
  /** Until when others are preferred, after a failure to connect; monotonic ms. */
  failingUntil: number;
}

/** What a service speaks on a port, as it declares it. */
export interface DestinationPort {
  readonly port: number;
  /** Where the application behind each endpoint listens. */
  readonly targetPort: number;
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
  readonly traffic: DestinationTraffic<Endpoint>;
}

export interface Destinations {
  readonly byHost: ReadonlyMap<string, Destination>;
  readonly byScope: ReadonlyMap<string, Destination>;
  /** By virtual address, in the form of `formatIp`: where a connection was going that was redirected here. */
  readonly byAddress: ReadonlyMap<string, Destination>;
  /** All endpoints by instance. */
  readonly endpoints: ReadonlyMap<string, Endpoint>;
}

export const noDestinations: Destinations = { byHost: new Map(), byScope: new Map(), byAddress: new Map(), endpoints: new Map() };

/** A session for a critical service must be young (signing.md, Tiers). */
const criticalSessionSeconds = 900;

/** Takes over the endpoints of `previous` that are still there, and what is known of the traffic to them. Throws TypeError for an address that is not one. */
export function destinationsFromSnapshot(snapshot: Snapshot, previous: Destinations): Destinations {
  const byHost = new Map<string, Destination>();
  const byScope = new Map<string, Destination>();
  const byAddress = new Map<string, Destination>();
  const endpoints = new Map<string, Endpoint>();
  for (const message of snapshot.destinations) {
    const destination = destinationFromMessage(message, previous, endpoints);
    byScope.set(destination.scope, destination);
    for (const hostname of message.hostnames) byHost.set(hostname, destination);
    for (const address of destination.addresses) byAddress.set(address, destination);
  }
  return { byHost, byScope, byAddress, endpoints };
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
  const scope = `${message.name}.${message.namespace}`;
  return {
    scope,
    namespace: message.namespace,
    name: message.name,
    roleArn: message.roleArn,
    spiffeIds: new Set(message.spiffeIds),
    endpoints: own,
    allowEncodedSlashes: message.allowEncodedSlashes,
    maxSessionSeconds: message.tier === "critical" ? criticalSessionSeconds : 0,
    ports: new Map(message.ports.map((port) => [port.port, portFromMessage(port)])),
    addresses: message.addresses.map(addressFromMessage),
    traffic: createDestinationTraffic(trafficFromMessage(message.traffic), own, previous.byScope.get(scope)?.traffic),
  };
}

function portFromMessage({ port, targetPort, protocol }: ServicePort): DestinationPort {
  return { port, targetPort: targetPort || port, protocol: serviceProtocolFromString(protocol) };
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
