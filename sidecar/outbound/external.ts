/**
 * Calls that leave the mesh: decided by egress/, then carried to the host as the application spoke, by the same ways that
 * lead to an application behind a sidecar. Nothing is added, and nothing of ours is passed on.
 */
import { FieldKind } from "../../common/http/field.ts";
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
import type { EgressAllowed, EgressRefused } from "./egress/decision.ts";
import type { EgressDecider } from "./egress/decide.ts";
import type { EgressMetrics } from "./egress/metrics.ts";
import type { OutboundRecords } from "./records.ts";

export interface ExternalCalls {
  /** Decides and carries the call; a refusal ends in `fail`. */
  carry(call: OutboundCall, host: string, port: number): void;
  /** A snapshot came while the call was under way: it is cut where it is not allowed any more. */
  recheck(call: OutboundCall): void;
  close(): void;
}

export interface ExternalCallsOptions {
  readonly decider: EgressDecider;
  readonly metrics: EgressMetrics;
  readonly records: OutboundRecords;
  readonly fail: (call: OutboundCall, reason: Reason, detail: string) => void;
  /** Monotonic ms. */
  readonly monotonic: () => number;
}

/** A call that is allowed to leave. */
export interface Departure {
  readonly allowed: EgressAllowed;
  readonly head: ForwardedHead;
  /** That it is sent to. */
  address: string;
  /** The host's others, not tried yet. */
  readonly others: string[];
}

interface Way {
  readonly link: Link<OutboundCall>;
  /** Until when other addresses are preferred, after one that could not be connected to. */
  failingUntil: number;
}

/** Of a host that nobody calls any more. */
const mostWays = 256;
const failingForMs = 30_000;
/** What lies between may forget a connection that says nothing, and tell nobody. */
const idleMs = 30_000;

export function createExternalCalls({ decider, metrics, records, fail, monotonic }: ExternalCallsOptions): ExternalCalls {
  const ways = new Map<string, Way>();

  function wayFor(call: OutboundCall, { host, port }: EgressAllowed, address: string): Way {
    const create = call.tunnel && call.protocol === "" ? createTunnelLink : call.spoken === "h2" ? createHttp2Link : createHttp1Pool;
    const at = { host: address, port };
    const key = `${create.name} ${addressToString(at)} ${host}`;
    let way = ways.get(key);
    if (!way) {
      if (ways.size >= mostWays) dropIdle();
      way = { link: create<OutboundCall>(linkOptions(at)), failingUntil: 0 };
      ways.set(key, way);
    }
    return way;
  }

  function linkOptions(address: LinkOptions<OutboundCall>["address"]): LinkOptions<OutboundCall> {
    return {
      address,
      idleMs,
      // Only sidecars say such things, and an application believes its own.
      withheld: FieldKind.IDENTITY,
      onResponse(call, { status }) {
        call.status = status;
      },
      onComplete(call) {
        call.done = true;
        records.completed(call);
      },
      onFailure(call, reason, detail) {
        fail(call, reason, detail);
      },
      elsewhere,
    };
  }

  function dropIdle(): void {
    for (const [key, { link }] of ways) {
      if (link.inFlight() > 0) continue;
      link.close();
      ways.delete(key);
    }
  }

  /** Nobody listened: the call goes to the host's next address, if there is one. */
  function elsewhere(call: OutboundCall): boolean {
    const { departure } = call;
    if (!departure) return false;
    wayFor(call, departure.allowed, departure.address).failingUntil = monotonic() + failingForMs;
    const next = departure.others.shift();
    if (next === undefined) return false;
    departure.address = next;
    send(call, departure);
    return true;
  }

  function send(call: OutboundCall, { allowed, address, head }: Departure): void {
    wayFor(call, allowed, address).link.forward(call, head);
  }

  function depart(call: OutboundCall, allowed: EgressAllowed): void {
    const now = monotonic();
    const [address = "", ...others] =
      allowed.addresses.length === 1
        ? allowed.addresses
        : allowed.addresses
            .map((each) => ({ each, failing: wayFor(call, allowed, each).failingUntil > now }))
            .toSorted((one, other) => Number(one.failing) - Number(other.failing))
            .map(({ each }) => each);
    const departure: Departure = { allowed, head: headOf(call), address, others };
    call.departure = departure;
    send(call, departure);
  }

  function refuse(call: OutboundCall, { reason, detail }: EgressRefused, host: string): void {
    // A name without a dot is somebody's mistake in the name of a service; an IPv6 address is none.
    if (reason === "egress-undeclared" && !/[.:]/.test(host)) fail(call, "unknown-destination", `${host} is no service of the mesh`);
    else fail(call, reason, detail);
  }

  return {
    carry(call, host, port) {
      call.path = withoutQuery(call.head.target);
      if (call.head.scheme === "https" && !call.tunnel && call.origin.address === undefined) {
        fail(call, "malformed-target", "https is the application's to encrypt, and asked of a proxy by CONNECT");
        return;
      }
      decider.decide({ host, port, protocol: protocolOf(call), originalDestination: call.origin.address?.host }).then(
        (decided) => {
          if (call.done) return;
          // A snapshot may have come while the host was looked up.
          const decision = decided.allow ? decider.recheck(decided) : decided;
          metrics.decided(decision);
          if (decision.allow) depart(call, decision);
          else refuse(call, decision, host);
        },
        (error: unknown) => fail(call, "egress-unresolved", String(error)),
      );
    },
    recheck(call) {
      const { departure } = call;
      if (!departure || call.done) return;
      const decision = decider.recheck({ ...departure.allowed, addresses: [departure.address] });
      if (!decision.allow) fail(call, decision.reason, decision.detail);
    },
    close() {
      for (const { link } of ways.values()) link.close();
    },
  };
}

/** What is recorded of a target: a query may hold secrets. */
function withoutQuery(target: string): string {
  return target.split("?", 1)[0] ?? "";
}

/** What an explicit proxy is asked to CONNECT to is TLS, as far as anybody declares it. */
function protocolOf(call: OutboundCall): Protocol {
  if (call.spoken !== "tcp") return call.tunnel && call.protocol === "" ? "tls" : call.spoken;
  return call.origin.inside;
}

function headOf(call: OutboundCall): ForwardedHead {
  const { method, target, authority, fields, kinds } = call.head;
  const passed = endToEndFields(fields, kinds, FieldKind.IDENTITY | FieldKind.EXPECT | FieldKind.CONTENT_LENGTH);
  return { method, target, authority, fields: passed, added: [], framing: framingOf(call) };
}

function framingOf({ head, tunnel, bodyEnded, body, trailers }: OutboundCall): number {
  if (tunnel) return NO_FRAMING;
  if (!bodyEnded || trailers.length > 0) return head.contentLength >= 0 ? head.contentLength : CHUNKED_BODY;
  return body.length > 0 || head.kinds & FieldKind.CONTENT_LENGTH ? body.length : NO_FRAMING;
}
