/**
 * SPIFFE ids (SPIFFE-ID specification, section 2), parsed once into a branded string: what has the type is valid, and two
 * ids are the same identity exactly when the strings are equal.
 *
 * Does not say that anybody holds the id: certificates do.
 */
import { SpiffeIdError } from "./error.ts";
import { trustDomainFromString, type TrustDomain } from "./trust-domain.ts";

declare const brand: unique symbol;
export type SpiffeId = string & { readonly [brand]: "SpiffeId" };

/** What an id names, by the mesh's own paths (identity.md). Other trust domains are free to use other paths. */
export type SpiffeIdentity =
  | { readonly kind: "workload"; readonly trustDomain: TrustDomain; readonly namespace: string; readonly serviceAccount: string }
  | { readonly kind: "device"; readonly trustDomain: TrustDomain; readonly fleet: string; readonly serial: string }
  | { readonly kind: "operator"; readonly trustDomain: TrustDomain; readonly name: string }
  | { readonly kind: "control-plane"; readonly trustDomain: TrustDomain }
  /** The id of the trust domain itself: it has no path, and no leaf certificate may carry it. */
  | { readonly kind: "trust-domain"; readonly trustDomain: TrustDomain }
  | { readonly kind: "other"; readonly trustDomain: TrustDomain; readonly path: string };

const scheme = "spiffe://";
const maxBytes = 2048;
const segmentCharacters = /^[A-Za-z0-9._-]+$/;

/** Throws SpiffeIdError; nothing is repaired, not even case. */
export function fromString(text: string): SpiffeId {
  if (text === "") throw new SpiffeIdError("empty", "the SPIFFE id is empty");
  if (text.length > maxBytes) throw new SpiffeIdError("too-long", "a SPIFFE id has at most 2048 bytes");
  if (!text.startsWith(scheme)) throw new SpiffeIdError("wrong-scheme", "a SPIFFE id starts with spiffe://");
  const slash = text.indexOf("/", scheme.length);
  if (slash < 0) {
    trustDomainFromString(text.slice(scheme.length));
    return text as SpiffeId;
  }
  trustDomainFromString(text.slice(scheme.length, slash));
  checkPath(text.slice(slash));
  return text as SpiffeId;
}

function checkPath(path: string): void {
  if (path.endsWith("/")) throw new SpiffeIdError("trailing-slash", "the path of a SPIFFE id does not end with a slash");
  for (const segment of path.slice(1).split("/")) checkSegment(segment);
}

function checkSegment(segment: string): void {
  if (segment === "") throw new SpiffeIdError("empty-segment", "the path of a SPIFFE id has no empty segment");
  if (segment === "." || segment === "..") throw new SpiffeIdError("dot-segment", "the path of a SPIFFE id has no . or .. segment");
  if (!segmentCharacters.test(segment)) {
    throw new SpiffeIdError("bad-path-character", "the path of a SPIFFE id consists of letters, digits, dots, hyphens and underscores");
  }
}

/** The builders below check every part as `fromString` does: a part cannot bring a segment of its own along. */
export function forWorkload(trustDomain: TrustDomain, namespace: string, serviceAccount: string): SpiffeId {
  return fromSegments(trustDomain, ["ns", namespace, "sa", serviceAccount]);
}

export function forDevice(trustDomain: TrustDomain, fleet: string, serial: string): SpiffeId {
  return fromSegments(trustDomain, ["device", fleet, serial]);
}

/** A person at the command line, or a pipeline. */
export function forOperator(trustDomain: TrustDomain, name: string): SpiffeId {
  return fromSegments(trustDomain, ["operator", name]);
}

export function forControlPlane(trustDomain: TrustDomain): SpiffeId {
  return fromSegments(trustDomain, ["control-plane"]);
}

export function forTrustDomain(trustDomain: TrustDomain): SpiffeId {
  return fromSegments(trustDomain, []);
}

function fromSegments(trustDomain: TrustDomain, segments: readonly string[]): SpiffeId {
  for (const segment of segments) checkSegment(segment);
  return fromString([scheme + trustDomain, ...segments].join("/"));
}

export function trustDomainOf(id: SpiffeId): TrustDomain {
  const slash = id.indexOf("/", scheme.length);
  return id.slice(scheme.length, slash < 0 ? undefined : slash) as TrustDomain;
}

/** With its leading slash; empty for the id of a trust domain. */
export function pathOf(id: SpiffeId): string {
  const slash = id.indexOf("/", scheme.length);
  return slash < 0 ? "" : id.slice(slash);
}

export function identityOf(id: SpiffeId): SpiffeIdentity {
  const trustDomain = trustDomainOf(id);
  const path = pathOf(id);
  if (path === "") return { kind: "trust-domain", trustDomain };
  const [first, second, third, fourth, ...rest] = path.slice(1).split("/");
  if (rest.length === 0) {
    if (first === "ns" && second !== undefined && third === "sa" && fourth !== undefined) {
      return { kind: "workload", trustDomain, namespace: second, serviceAccount: fourth };
    }
    if (first === "device" && second !== undefined && third !== undefined && fourth === undefined) {
      return { kind: "device", trustDomain, fleet: second, serial: third };
    }
    if (first === "operator" && second !== undefined && third === undefined) return { kind: "operator", trustDomain, name: second };
    if (first === "control-plane" && second === undefined) return { kind: "control-plane", trustDomain };
  }
  return { kind: "other", trustDomain, path };
}
