/**
 * Calls that leave the mesh: decided by egress/, then carried to the host as the application spoke, by the same ways that
 * lead to an application behind a sidecar. Nothing is added, and nothing of ours is passed on.
 */
import { FieldKind, type Field } from "../../common/http/field.ts";
import { addressToString } from "../../common/runtime/environment.ts";
import type { Protocol } from "../detect/protocol.ts";
import { endToEndFields } from "../http1/end-to-end.ts";
import { CHUNKED_BODY, NO_FRAMING } from "../http1/write-head.ts";
import { createHttp1Pool } from "../upstream/http1-pool.ts";
import { createHttp2Link } from "../upstream/http2-link.ts";
import { createTunnelLink } from "../upstream/tunnel.ts";
import type { ForwardedHead, Link, LinkOptions } from "../upstream/upstream.ts";
import type { Reason } from "../reason.ts";
import type { OutboundCall } from "./call.ts";
import type { EgressAllowed } from "./egress/decision.ts";
import type { EgressDecider } from "./egress/decide.ts";
import type { EgressMetrics } from "./egress/metrics.ts";
import type { OutboundRecords } from "./records.ts";

export interface ExternalCalls {
  /** Decides and carries the call; a refusal ends in `fail`. */
  carry(call: OutboundCall, host: string, port: number): void;
  /** A snapshot came: what is not allowed any more is cut. */
  recheck(): void;
  close(): void;
}

export interface ExternalCallsOptions {
  readonly decider: EgressDecider;
  readonly metrics: EgressMetrics;
  readonly records: OutboundRecords;
  readonly fail: (call: OutboundCall, reason: Reason, detail: string) => void;
}

/** Of a host that nobody calls any more. */
const mostLinks = 256;

export function createExternalCalls({ decider, metrics, records, fail }: ExternalCallsOptions): ExternalCalls {
  const links = new Map<string, Link<OutboundCall>>();
  /** Calls under way, and what allowed them. */
  const open = new Map<OutboundCall, EgressAllowed>();

  function linkFor(call: OutboundCall, allowed: EgressAllowed): Link<OutboundCall> {
    const [host = ""] = allowed.addresses;
    const address = { host, port: allowed.port };
    const create = call.tunnel && call.protocol === "" ? createTunnelLink : call.spoken === "h2" ? createHttp2Link : createHttp1Pool;
    const key = `${create.name} ${addressToString(address)} ${allowed.host}`;
    let link = links.get(key);
    if (!link) {
      if (links.size >= mostLinks) dropIdle();
      link = create<OutboundCall>(linkOptions(address));
      links.set(key, link);
    }
    return link;
  }

  function linkOptions(address: LinkOptions<OutboundCall>["address"]): LinkOptions<OutboundCall> {
    return {
      address,
      withheld: 0,
      onResponse(call, { status }) {
        call.status = status;
      },
      onComplete(call) {
        call.done = true;
        open.delete(call);
        records.completed(call);
      },
      onFailure(call, reason, detail) {
        open.delete(call);
        fail(call, reason, detail);
      },
    };
  }

  function dropIdle(): void {
    for (const [key, link] of links) {
      if (link.inFlight() > 0) continue;
      link.close();
      links.delete(key);
    }
  }

  return {
    carry(call, host, port) {
      const protocol = protocolOf(call);
      decider.decide({ host, port, protocol, originalDestination: call.origin.address?.host }).then(
        (decision) => {
          if (call.done) return;
          metrics.decided(decision);
          if (!decision.allow) {
            // A name without a dot is somebody's mistake in the name of a service.
            if (decision.reason === "egress-undeclared" && !host.includes("."))
              fail(call, "unknown-destination", `${host} is no service of the mesh`);
            else fail(call, decision.reason, decision.detail);
            return;
          }
          call.external = decision.label;
          open.set(call, decision);
          linkFor(call, decision).forward(call, headOf(call));
        },
        (error: unknown) => fail(call, "egress-unresolved", String(error)),
      );
    },
    recheck() {
      for (const [call, allowed] of open) {
        if (call.done) {
          open.delete(call);
          continue;
        }
        const decision = decider.recheck(allowed);
        if (decision.allow) continue;
        open.delete(call);
        fail(call, decision.reason, decision.detail);
      }
    },
    close() {
      for (const link of links.values()) link.close();
    },
  };
}

/** What an explicit proxy is asked to CONNECT to is TLS, as far as anybody declares it. */
function protocolOf(call: OutboundCall): Protocol {
  if (call.spoken !== "tcp") return call.tunnel && call.protocol === "" ? "tls" : call.spoken;
  return call.origin.inside;
}

function headOf(call: OutboundCall): ForwardedHead {
  const { head, bodyEnded, body, trailers } = call;
  const fields: readonly Field[] = endToEndFields(
    head.fields,
    head.kinds,
    FieldKind.IDENTITY | FieldKind.EXPECT | FieldKind.CONTENT_LENGTH,
  );
  const whole = bodyEnded && trailers.length === 0;
  const declared = head.kinds & FieldKind.CONTENT_LENGTH;
  const framing = whole
    ? body.length > 0 || declared
      ? body.length
      : NO_FRAMING
    : head.contentLength >= 0
      ? head.contentLength
      : CHUNKED_BODY;
  return { method: head.method, target: head.target, authority: head.authority, fields, added: [], framing };
}
