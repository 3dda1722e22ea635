/**
 * Step four of an inbound call: to the application. Needs a `Permit`. The head is written anew from parsed parts; what
 * spoke to this sidecar (signature, session token, replay fields) and whatever names a caller is taken off, and the
 * identity that was established is put on.
 */
import { performance } from "node:perf_hooks";
import { createField, FieldKind, type Field } from "../../common/http/field.ts";
import { addressToString, type Address } from "../../common/runtime/environment.ts";
import { NO_FRAMING, writeRequestHead } from "../http1/write-head.ts";
import { createAppPool, type AppPool } from "./app-pool.ts";
import type { Permit } from "./authorize.ts";
import type { Caller } from "./caller.ts";
import type { Exchange } from "./exchange.ts";
import type { Responder } from "./respond.ts";

export interface Forwarder {
  forward(permit: Permit, body: Buffer): void;
  /** Requests that the applications have not answered yet. */
  inFlight(): number;
  close(): void;
}

/** An application's own Authorization travels under this name, because the signature needs the standard one. */
export const carriedAuthorization = "x-countersign-authorization";

const dropped = FieldKind.HOP_BY_HOP | FieldKind.IDENTITY | FieldKind.EXPECT;
const ofTheSignature: ReadonlySet<string> = new Set(["x-amz-date", "x-amz-content-sha256", "x-amz-security-token"]);
const bodied: ReadonlySet<string> = new Set(["POST", "PUT", "PATCH"]);

export function createForwarder(responder: Responder): Forwarder {
  const pools = new Map<string, AppPool>();

  function poolOf(address: Address): AppPool {
    const key = addressToString(address);
    let pool = pools.get(key);
    if (!pool) {
      pool = createAppPool({
        address,
        onResponse(exchange, response) {
          exchange.respondedAt = performance.now();
          exchange.status = response.status;
        },
        onComplete: (exchange) => responder.completed(exchange),
        onFailure: (exchange, reason, detail) => responder.refuse(exchange, { reason, detail }),
      });
      pools.set(key, pool);
    }
    return pool;
  }

  return {
    forward(permit, body) {
      const { exchange, service } = permit;
      exchange.forwardedAt = performance.now();
      poolOf(service.application).forward(exchange, requestHead(exchange, permit.caller, body.length), body);
    },
    inFlight() {
      let total = 0;
      for (const pool of pools.values()) total += pool.inFlight();
      return total;
    },
    close() {
      for (const pool of pools.values()) pool.close();
    },
  };
}

function requestHead(exchange: Exchange, caller: Caller, bodyLength: number): string {
  const { head, path, query, authentication } = exchange;
  const signed = authentication?.session !== undefined;
  const fields: Field[] = [];
  for (const field of head.fields) {
    const { kinds } = field;
    if ((kinds & ~FieldKind.PLAIN) === 0 || (!(kinds & dropped) && !(signed && isOfTheSignature(field)))) fields.push(field);
    else if (field.name === carriedAuthorization && authentication?.signed.has(carriedAuthorization)) {
      fields.push(createField("authorization", field.value));
    }
  }
  const framed = bodyLength > 0 || head.kinds & FieldKind.CONTENT_LENGTH || bodied.has(head.method);
  const target = query === "" ? path : `${path}?${query}`;
  return writeRequestHead(head.method, target, head.authority, fields, framed ? bodyLength : NO_FRAMING, caller.identityFields);
}

function isOfTheSignature(field: Field): boolean {
  return (field.kinds & FieldKind.AUTHORIZATION) !== 0 || ((field.kinds & FieldKind.AMZ) !== 0 && ofTheSignature.has(field.name));
}
