/**
 * Which fields of a request are signed, and in which order. Hot path: the sequence of field names is walked as a trie whose
 * nodes hold the finished order, so that nothing is sorted, split or searched for names that came in this sequence before.
 *
 * The trie is bounded by the text it holds, not only by entries, and starts anew when full: names come from the wire.
 */
import { FieldKind, type Field } from "../http/field.ts";
import { SigV4Error } from "./error.ts";

/** Stands for the host, which is kept apart from the other fields (message.ts). */
export const hostIndex = -1;
export const absent = -2;

/** Positions are indexes into the request's fields, good for every request whose names come in the same sequence. */
export interface HeaderOrder {
  /** The `SignedHeaders` text: names in order, once each. */
  readonly text: string;
  /** Positions in canonical order; fields of one name are neighbours, in order of arrival. */
  readonly positions: readonly number[];
  readonly hasDuplicates: boolean;
  /** Position of the one `x-amz-date`; `absent` where the query has the signature. */
  readonly date: number;
  /** Positions of the fields that say how to judge the request, each `absent` or signed and alone. */
  readonly contentSha256: number;
  readonly securityToken: number;
  readonly sequence: number;
  readonly audience: number;
}

/** Changed between two hops by right, of no meaning beyond one, or not part of the request that is signed. */
const neverSigned = FieldKind.HOP_BY_HOP | FieldKind.UNSIGNED | FieldKind.AUTHORIZATION | FieldKind.CONTENT_LENGTH | FieldKind.HOST;
const alwaysSigned = FieldKind.AMZ | FieldKind.REPLAY;

interface Node {
  readonly children: Map<string, Node>;
  /** The child found last: traffic repeats itself, and comparing two interned names is cheaper than hashing one. */
  lastName: string;
  lastChild: Node | undefined;
  signing: HeaderOrder | undefined;
  readonly verifying: Map<string, HeaderOrder>;
}

function createNode(): Node {
  return { children: new Map(), lastName: "", lastChild: undefined, signing: undefined, verifying: new Map() };
}

/** Roughly the bytes that the trie may take; an ordinary mix of applications needs a hundredth. */
const maxWeight = 4 * 1024 * 1024;
const nodeWeight = 400;
let root = createNode();
let weight = 0;

function walk(fields: readonly Field[]): Node {
  if (weight > maxWeight) {
    root = createNode();
    weight = 0;
  }
  let node = root;
  for (const { name } of fields) {
    let child = node.lastName === name ? node.lastChild : node.children.get(name);
    if (child === undefined) {
      child = createNode();
      node.children.set(name, child);
      weight += nodeWeight + name.length;
    }
    node.lastName = name;
    node.lastChild = child;
    node = child;
  }
  return node;
}

/**
 * The order for a request that is about to be signed. Signed is `host` and every field but hop-by-hop ones, those that
 * proxies change (`FieldKind.UNSIGNED`), Authorization, and Content-Length: each leg frames the body its own way, and the
 * body itself is covered by its hash.
 *
 * Throws SigV4Error `missing-date`, `duplicate-header`.
 */
export function orderForSigning(fields: readonly Field[]): HeaderOrder {
  const node = walk(fields);
  if (node.signing === undefined) {
    const names = new Set(["host"]);
    for (const field of fields) if ((field.kinds & neverSigned) === 0) names.add(field.name);
    node.signing = dated(arrange(fields, [...names].sort()));
    weight += weightOf(node.signing);
  }
  return node.signing;
}

/**
 * The order for a request that says it signed `signedHeaders` (sorted, unique, with `host`: parseAuthorization checks).
 *
 * Throws SigV4Error: `missing-signed-header`, `unsigned-amz-header`, `duplicate-header`, `missing-date`.
 */
export function orderForVerifying(fields: readonly Field[], signedHeaders: string): HeaderOrder {
  return dated(verifyingOrder(fields, signedHeaders));
}

/**
 * The same for a signature in the query, which also says date and session. Throws SigV4Error `missing-signed-header`,
 * `unsigned-amz-header`, and `duplicate-header` where fields say them again.
 */
export function orderForPresigned(fields: readonly Field[], signedHeaders: string): HeaderOrder {
  const order = verifyingOrder(fields, signedHeaders);
  if (order.date !== absent || order.securityToken !== absent) {
    throw new SigV4Error("duplicate-header", "both query and fields say the date or the session of the signature");
  }
  return order;
}

function verifyingOrder(fields: readonly Field[], signedHeaders: string): HeaderOrder {
  const node = walk(fields);
  let order = node.verifying.get(signedHeaders);
  if (order === undefined) {
    const names = signedHeaders.split(";");
    order = arrange(fields, names);
    for (const field of fields) {
      if ((field.kinds & alwaysSigned) !== 0 && !names.includes(field.name)) {
        throw new SigV4Error("unsigned-amz-header", `${field.name} is not signed`);
      }
    }
    node.verifying.set(signedHeaders, order);
    weight += weightOf(order);
  }
  return order;
}

function dated(order: HeaderOrder): HeaderOrder {
  if (order.date === absent) throw new SigV4Error("missing-date", "the request has no x-amz-date");
  return order;
}

function weightOf(order: HeaderOrder): number {
  return nodeWeight + 2 * order.text.length + 32 * order.positions.length;
}

function arrange(fields: readonly Field[], names: readonly string[]): HeaderOrder {
  const positions: number[] = [];
  const positionsOf = new Map<string, number[]>();
  for (const [position, { name }] of fields.entries()) {
    const found = positionsOf.get(name);
    if (found === undefined) positionsOf.set(name, [position]);
    else found.push(position);
  }
  if (positionsOf.has("host")) throw new SigV4Error("duplicate-header", "the request has more than one host");
  positionsOf.set("host", [hostIndex]);
  for (const name of names) {
    const found = positionsOf.get(name);
    if (found === undefined) throw new SigV4Error("missing-signed-header", "SignedHeaders names a field that the request does not have");
    positions.push(...found);
  }

  function single(name: string): number {
    const found = positionsOf.get(name);
    if (found === undefined) return absent;
    if (found.length > 1) throw new SigV4Error("duplicate-header", `the request has more than one ${name}`);
    return found[0] ?? absent;
  }

  return {
    text: names.join(";"),
    positions,
    hasDuplicates: positions.length > names.length,
    date: single("x-amz-date"),
    contentSha256: single("x-amz-content-sha256"),
    securityToken: single("x-amz-security-token"),
    sequence: single("x-countersign-sequence"),
    audience: single("x-countersign-audience"),
  };
}
