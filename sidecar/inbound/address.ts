/**
 * Step one of an inbound call: what is it for? Host, port and path in the one form in which everything behind this sees them,
 * and a service that is served here. TLS and the request must not name different ones.
 */
import { FieldKind } from "../../common/http/field.ts";
import { normalizeAuthority, normalizeTarget } from "../../common/http/request-target.ts";
import { destinationField } from "../destination-field.ts";
import type { Refusal } from "../reason.ts";
import type { Exchange } from "./exchange.ts";
import { portOf, type Served } from "./served.ts";

/** Fills in service, port, host, path and query, or says why the call is not for here. */
export function address(exchange: Exchange, served: Served): Refusal | undefined {
  const { head, peer } = exchange;
  try {
    const { host, port: named } = normalizeAuthority(head.authority);
    const meant = peer.target ?? (head.kinds & FieldKind.IDENTITY ? destinationField(head.fields) : undefined);
    const service = meant ? served.byScope.get(meant.scope) : served.byHost.get(host);
    if (!service) return { reason: "wrong-destination", detail: `no service here answers for ${meant?.scope ?? host}` };
    exchange.port = portOf(service, meant?.port ?? named);
    if (!exchange.port) return { reason: "wrong-destination", detail: `${service.scope} has no port ${meant?.port ?? named}` };
    if (peer.serverName !== "" && peer.serverName !== host && served.byHost.get(peer.serverName) !== service) {
      return { reason: "wrong-destination", detail: `TLS asked for ${peer.serverName}, the request for ${host}` };
    }
    exchange.host = host;
    exchange.service = service;
    if (head.method === "CONNECT" && exchange.protocol === "") {
      exchange.path = "/";
      return undefined;
    }
    const target = normalizeTarget(head.target, service);
    exchange.path = target.path;
    exchange.query = target.query;
    return undefined;
  } catch (error) {
    return { reason: "malformed-target", detail: error instanceof Error ? error.message : String(error) };
  }
}
