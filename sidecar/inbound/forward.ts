/**
 * Step four of an inbound call: to the application. Needs a `Permit`. The head is written anew from parsed parts; what
 * spoke to this sidecar (signature, session token, replay fields, framing of chunks) and whatever names a caller is taken
 * off, and the identity that was established is put on.
 */
import { performance } from "node:perf_hooks";
import { createField, FieldKind, findField, type Field } from "../../common/http/field.ts";
import { addressToString, type Address } from "../../common/runtime/environment.ts";
import { CHUNKED_BODY, NO_FRAMING } from "../http1/write-head.ts";
import { isGrpc } from "../refusal.ts";
import { createHttp1Pool } from "../upstream/http1-pool.ts";
import { createHttp2Link } from "../upstream/http2-link.ts";
import { createTunnelLink } from "../upstream/tunnel.ts";
import type { ForwardedHead, Link, LinkOptions } from "../upstream/upstream.ts";
import type { Permit } from "./authorize.ts";
import type { Caller } from "./caller.ts";
import type { Exchange } from "./exchange.ts";
import { bearMeshSignature } from "./plaintext-credentials.ts";
import type { Responder } from "./respond.ts";
import type { ServedPort } from "./served.ts";

export interface Forwarder {
  forward(permit: Permit): void;
  /** Requests that the applications have not answered yet. */
  inFlight(): number;
  close(): void;
}

/** An application's own Authorization travels under this name, because the signature needs the standard one. */
export const carriedAuthorization = "x-countersign-authorization";

const dropped = FieldKind.HOP_BY_HOP | FieldKind.IDENTITY | FieldKind.EXPECT | FieldKind.CONTENT_LENGTH;
const ofTheSignature: ReadonlySet<string> = new Set([
  "x-amz-date",
  "x-amz-content-sha256",
  "x-amz-security-token",
  "x-amz-decoded-content-length",
  "x-amz-trailer",
]);
const bodied: ReadonlySet<string> = new Set(["POST", "PUT", "PATCH"]);

/** The ways to one address of an application, each made when it is first needed. */
interface AppLinks {
  readonly address: Address;
  http: Link<Exchange> | undefined;
  h2: Link<Exchange> | undefined;
  tcp: Link<Exchange> | undefined;
}

/**
 * `hosts`: where the application may listen. One after the other is tried until a connection is made, and the one that took it is
 * asked from then on.
 */
export function createForwarder(responder: Responder, hosts: readonly string[]): Forwarder {
  const byAddress = new Map<string, AppLinks>();
  /** The same, for those who have the port at hand. */
  const byPort = new WeakMap<ServedPort, AppLinks>();
  /** Hosts that did not take the call's connection. */
  const failed = new WeakMap<Exchange, number>();

  function linksOf(port: ServedPort): AppLinks {
    const links = byPort.get(port) ?? linksTo(port.application);
    byPort.set(port, links);
    return links;
  }

  function linksTo(address: Address): AppLinks {
    const key = addressToString(address);
    const links = byAddress.get(key) ?? { address, http: undefined, h2: undefined, tcp: undefined };
    byAddress.set(key, links);
    return links;
  }

  /** Nobody listened at `address`. */
  function elsewhere(exchange: Exchange, address: Address): boolean {
    const { port, caller } = exchange;
    const next = hosts[(hosts.indexOf(address.host) + 1) % hosts.length];
    if (!port || !caller || next === undefined) return false;
    byPort.set(port, linksTo({ host: next, port: address.port }));
    const tried = (failed.get(exchange) ?? 0) + 1;
    if (tried >= hosts.length) return false;
    failed.set(exchange, tried);
    send(exchange, port, caller);
    return true;
  }

  function linkOptions(address: Address): LinkOptions<Exchange> {
    return {
      address,
      withheld: FieldKind.IDENTITY,
      onResponse(exchange, response) {
        exchange.respondedAt = performance.now();
        exchange.status = response.status;
      },
      onComplete: (exchange) => responder.completed(exchange),
      onFailure: (exchange, reason, detail) => responder.refuse(exchange, { reason, detail }),
      elsewhere: (exchange) => elsewhere(exchange, address),
    };
  }

  function choose(exchange: Exchange, port: ServedPort): Link<Exchange> {
    const links = linksOf(port);
    if (exchange.tunnel && exchange.protocol === "") return (links.tcp ??= createTunnelLink(linkOptions(links.address)));
    if (speaksHttp2(exchange, port)) return (links.h2 ??= createHttp2Link(linkOptions(links.address)));
    return (links.http ??= createHttp1Pool(linkOptions(links.address)));
  }

  function send(exchange: Exchange, port: ServedPort, caller: Caller): void {
    choose(exchange, port).forward(exchange, forwardedHead(exchange, caller));
  }

  function* everyLink(): Generator<Link<Exchange>> {
    for (const { http, h2, tcp } of byAddress.values()) {
      for (const link of [http, h2, tcp]) if (link) yield link;
    }
  }

  return {
    forward(permit) {
      const { exchange, port, caller } = permit;
      exchange.forwardedAt = performance.now();
      send(exchange, port, caller);
    },
    inFlight() {
      let total = 0;
      for (const link of everyLink()) total += link.inFlight();
      return total;
    },
    close() {
      for (const link of everyLink()) link.close();
    },
  };
}

/** As the service declares; otherwise as the caller's application spoke, so that neither sees that there was anything between. */
function speaksHttp2({ head, peer, spoken }: Exchange, { protocol }: ServedPort): boolean {
  if (protocol === "h2" || protocol === "grpc") return true;
  const grpc = isGrpc(head);
  // gRPC is HTTP/2 whatever its port is called.
  if (protocol === "http" && !grpc) return false;
  if (peer.spiffeId === undefined) return spoken === "h2";
  return grpc || findField(head.fields, "x-countersign-protocol")?.value === "h2";
}

function forwardedHead(exchange: Exchange, caller: Caller): ForwardedHead {
  const { head, path, query, authentication, peer } = exchange;
  const signed = authentication?.session !== undefined || (peer.spiffeId === undefined && bearMeshSignature(head.fields));
  const fields: Field[] = [];
  for (const field of head.fields) {
    const { kinds } = field;
    if ((kinds & ~FieldKind.PLAIN) === 0 || (!(kinds & dropped) && !(signed && isOfTheSignature(field)))) fields.push(field);
    else if (field.name === carriedAuthorization && authentication?.signed.has(carriedAuthorization)) {
      fields.push(createField("authorization", field.value));
    }
  }
  return {
    method: head.method,
    target: query === "" ? path : `${path}?${query}`,
    authority: head.authority,
    fields: exchange.reader ? withoutChunkCoding(fields) : fields,
    added: caller.identityFields,
    framing: framingOf(exchange),
  };
}

function framingOf({ head, body, bodyEnded, trailers, authentication }: Exchange): number {
  if (bodyEnded && trailers.length === 0) {
    return body.length > 0 || head.kinds & FieldKind.CONTENT_LENGTH || bodied.has(head.method) ? body.length : NO_FRAMING;
  }
  if (trailers.length > 0) return CHUNKED_BODY;
  const length = authentication?.stream ? authentication.stream.decodedLength : head.contentLength;
  return length >= 0 ? length : CHUNKED_BODY;
}

function isOfTheSignature(field: Field): boolean {
  return (field.kinds & FieldKind.AUTHORIZATION) !== 0 || ((field.kinds & FieldKind.AMZ) !== 0 && ofTheSignature.has(field.name));
}

/** AWS's SDKs announce the framing of signed chunks as a coding of the content, which it is not any more. */
function withoutChunkCoding(fields: readonly Field[]): readonly Field[] {
  return fields.flatMap((field) => {
    if (field.name !== "content-encoding") return [field];
    const codings = field.value.split(",").map((coding) => coding.trim());
    const others = codings.filter((coding) => coding !== "" && coding !== "aws-chunked");
    return others.length === 0 ? [] : others.length === codings.length ? [field] : [createField(field.name, others.join(", "))];
  });
}
