/** What becomes of a call out of the mesh. */
import type { DenyReason, StatementReference } from "../../../common/policy/decision.ts";
import type { Protocol } from "../../detect/protocol.ts";
import type { Reason } from "../../reason.ts";
import type { ExternalHost } from "./external-services.ts";
import type { EgressVerdict } from "./permissions.ts";

export interface EgressAllowed {
  readonly allow: true;
  /** A name, or an IP address where none is known. */
  readonly host: string;
  readonly port: number;
  readonly protocol: Protocol;
  /** To be connected to, in this order; at least one. */
  readonly addresses: readonly string[];
  /** The host as it is listed, or `other`: as many values as there are listings. */
  readonly label: string;
  readonly statement: StatementReference | undefined;
  /** What would have denied it had the policies in audit mode been enforced. */
  readonly wouldDeny: DenyReason | undefined;
}

export interface EgressRefused {
  readonly allow: false;
  readonly reason: Reason;
  /** For the operator. */
  readonly detail: string;
  readonly label: string;
  /** What denied it, if a policy did. */
  readonly statement: StatementReference | undefined;
}

export type EgressDecision = EgressAllowed | EgressRefused;

/** Every host that is not listed. */
export const otherHosts = "other";

/** Where a call goes, as far as its own bytes and its connection tell. */
export interface EgressTarget {
  readonly host: string;
  readonly port: number;
  readonly protocol: Protocol;
}

function labelOf(listed: ExternalHost | undefined): string {
  return listed?.host ?? otherHosts;
}

export function allowed(
  { host, port, protocol }: EgressTarget,
  addresses: readonly string[],
  listed: ExternalHost | undefined,
  { statement, wouldDeny }: EgressVerdict,
): EgressAllowed {
  return { allow: true, host, port, protocol, addresses, label: labelOf(listed), statement, wouldDeny };
}

export function refused(reason: Reason, detail: string, listed: ExternalHost | undefined): EgressRefused {
  return { allow: false, reason, detail, label: labelOf(listed), statement: undefined };
}

export function undeclared({ host, port, protocol }: EgressTarget, found: ExternalHost | undefined): EgressRefused {
  const detail =
    found === undefined
      ? `no ExternalService lists ${host} on port ${port}`
      : `port ${port} of ${found.host} is listed for ${[...found.protocols].join(" and ")}, and this is ${protocol}`;
  return refused("egress-undeclared", detail, found);
}

export function forbidden(place: string, port: number, listed: ExternalHost | undefined): EgressRefused {
  const detail = `${place} is link-local, of this machine, multicast or cloud metadata, and no ExternalService lists it on port ${port}`;
  return refused("egress-forbidden-address", detail, listed);
}

export function misplaced(host: string, address: string, listed: ExternalHost | undefined): EgressRefused {
  return refused("egress-address-mismatch", `${host} is not at ${address}`, listed);
}

export function denied(verdict: EgressVerdict, { host, port }: EgressTarget, listed: ExternalHost | undefined): EgressRefused {
  const reason = verdict.denied ?? "no-allow";
  return { ...refused(reason, `external:Connect on ${host}, port ${port}: ${reason}`, listed), statement: verdict.statement };
}
