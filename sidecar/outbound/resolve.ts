/**
 * What a call is for: a port of a service of the mesh, or something outside. The name that the application wrote decides, and
 * where a redirected connection was going decides what the name leaves open.
 */
import { normalizeAuthority, normalizeTarget, RequestTargetError } from "../../common/http/request-target.ts";
import { canonicalIp } from "../../common/net/ip.ts";
import type { Address } from "../../common/runtime/environment.ts";
import { createDestinationField } from "../destination-field.ts";
import type { OutboundCall } from "./call.ts";
import { explicitOrigin, type Origin } from "./origin.ts";
import type { Destination, DestinationPort, Destinations, Endpoint } from "./destinations.ts";

export interface ServiceTarget {
  readonly kind: "service";
  readonly destination: Destination;
  /** As callers call it; undefined for a service that lists no ports. */
  readonly port: DestinationPort | undefined;
  /** The authority does not say all of it: the receiver has to be told. */
  readonly unnamed: boolean;
  /** The one instance that the connection was going to. */
  readonly endpoint: Endpoint | undefined;
}

export type Target =
  | ServiceTarget
  | { readonly kind: "external"; readonly host: string; readonly port: number }
  | { readonly kind: "refused"; readonly detail: string };

const portOfScheme = new Map([
  ["", 80],
  ["http", 80],
  ["https", 443],
]);

/** Throws RequestTargetError for an authority that is none. */
export function resolveTarget(destinations: Destinations, authority: string, scheme: string, { address }: Origin): Target {
  const { host, port } = normalizeAuthority(authority);
  const named = destinations.byHost.get(host);
  if (named) return resolveNamed(named, port, address);
  const found = address
    ? serviceAt(destinations, address)
    : serviceAt(destinations, { host, port: port ?? portOfScheme.get(scheme) ?? 80 });
  if (found) return found;
  return { kind: "external", host, port: address?.port ?? port ?? portOfScheme.get(scheme) ?? 80 };
}

/** A connection goes to the port that it was made to, whatever is written inside; a proxied call to the port that it names. */
function resolveNamed(destination: Destination, written: number | undefined, address: Address | undefined): Target {
  const { ports } = destination;
  const connected = address && ports.get(address.port);
  const port = connected ?? (written === undefined ? defaultPort(destination) : ports.get(written));
  if (!port && ports.size > 0) {
    const listed = [...ports.keys()].join(", ");
    return { kind: "refused", detail: `${destination.scope} has no port ${written ?? address?.port ?? ""} (it has ${listed})` };
  }
  const unnamed = port !== undefined && (written === undefined ? port !== defaultPort(destination) : written !== port.port);
  return { kind: "service", destination, port, unnamed, endpoint: undefined };
}

const httpPort = 80;

/** As the receiver understands an authority without a port. */
export function defaultPort({ ports }: Destination): DestinationPort | undefined {
  const [first] = ports.values();
  return ports.get(httpPort) ?? first;
}

/**
 * Where a tunnel leads that a proxy is asked for, if that is to a service of the mesh which has such a port, and speaks something
 * there that is judged call by call.
 */
export function tunnelEnd(destinations: Destinations, authority: string): Address | undefined {
  try {
    const found = resolveTarget(destinations, authority, "", explicitOrigin);
    if (found.kind !== "service" || found.port === undefined || found.port.protocol === "tcp") return undefined;
    const { host, port } = normalizeAuthority(authority);
    return { host: host.replace(/^\[|\]$/g, ""), port: port ?? found.port.port };
  } catch (error) {
    // An authority that is none is for the front to answer.
    if (error instanceof RequestTargetError) return undefined;
    throw error;
  }
}

/** By a service's own address, or by that of one of its instances; or by name, where a tunnel leads to one. */
export function serviceAt(destinations: Destinations, { host, port }: Address): ServiceTarget | undefined {
  const address = canonicalIp(host.replace(/^\[|\]$/g, ""));
  if (address === undefined) {
    const named = destinations.byHost.get(host);
    const found = named && resolveNamed(named, port, undefined);
    return found?.kind === "service" ? found : undefined;
  }
  const destination = destinations.byAddress.get(address);
  const listed = destination?.ports.get(port);
  if (destination && listed) return { kind: "service", destination, port: listed, unnamed: true, endpoint: undefined };
  for (const each of destinations.byScope.values()) {
    const endpoint = each.endpoints.find((candidate) => candidate.address.host === address);
    if (!endpoint) continue;
    for (const own of each.ports.values()) {
      if (own.targetPort === port) return { kind: "service", destination: each, port: own, unnamed: true, endpoint };
    }
  }
  return undefined;
}

/** Fills in what the target says of the call. Throws RequestTargetError for a path that is none. */
export function aimAt(call: OutboundCall, { destination, port, unnamed, endpoint }: ServiceTarget): void {
  if (unnamed && port) call.destinationField = createDestinationField({ scope: destination.scope, port: port.port });
  call.pinned = endpoint;
  if (call.head.method === "CONNECT" && call.protocol === "") {
    call.path = "/";
    return;
  }
  const { path, query } = normalizeTarget(call.head.target, destination);
  call.path = path;
  call.query = query;
}
