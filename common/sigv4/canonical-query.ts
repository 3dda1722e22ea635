/**
 * The query's part of the canonical request, and whether it carries a signature of its own. Hot path: results are kept for
 * queries that repeat.
 *
 * What SigV4 cannot tell apart: `a` and `a=`, `+` and `%2B`, the order of different names, empty parts between ampersands.
 */
import { createRecentCache } from "../http/recent-cache.ts";
import { SigV4Error } from "./error.ts";
import { uriEncode } from "./uri-encode.ts";

interface CanonicalQuery {
  readonly text: string;
  readonly authenticates: boolean;
}

const none: CanonicalQuery = { text: "", authenticates: false };
const known = createRecentCache<CanonicalQuery>(2048, 512);

/**
 * Names and values decoded and encoded anew, sorted by encoded name and then value ("Create a canonical request", step 3).
 * A plus sign stands for itself, not for a space. Throws SigV4Error `malformed-query` for a malformed escape.
 */
export function canonicalQuery(query: string): string {
  return parse(query).text;
}

/**
 * Whether the request carries (also) query authentication (`X-Amz-Signature` and its kin, in any case and escaped or not),
 * which no request may do beside an Authorization field. Throws like `canonicalQuery`.
 */
export function hasQueryAuthentication(query: string): boolean {
  return parse(query).authenticates;
}

function parse(query: string): CanonicalQuery {
  if (query === "") return none;
  let parsed = known.get(query);
  if (parsed === undefined) {
    parsed = canonicalize(query);
    known.set(query, parsed);
  }
  return parsed;
}

const authenticationName = /^x-amz-(?:signature|algorithm|credential)$/i;

function canonicalize(query: string): CanonicalQuery {
  const parameters: [name: string, value: string][] = [];
  let authenticates = false;
  for (const part of query.split("&")) {
    if (part === "") continue;
    const equals = part.indexOf("=");
    const name = encodeAnew(equals < 0 ? part : part.slice(0, equals));
    const value = equals < 0 ? "" : encodeAnew(part.slice(equals + 1));
    // All of these names' characters are unreserved, so an escaped one has been decoded by now.
    if (authenticationName.test(name)) authenticates = true;
    parameters.push([name, value]);
  }
  // Not as joined strings: `=` sorts after the digits and the hyphen that a longer name may go on with.
  parameters.sort(([nameA, valueA], [nameB, valueB]) => compare(nameA, nameB) || compare(valueA, valueB));
  return { text: parameters.map(([name, value]) => `${name}=${value}`).join("&"), authenticates };
}

function encodeAnew(text: string): string {
  return uriEncode(decodeQuery(text));
}

const escapes = /%([0-9A-Fa-f]{2})?/g;

/** Latin1: an escape is a byte, and so is every other character. Throws SigV4Error `malformed-query`. */
export function decodeQuery(text: string): string {
  return text.replace(escapes, (_, digits: string | undefined) => {
    if (digits === undefined) throw new SigV4Error("malformed-query", "the query has a % without two hexadecimal digits after it");
    return String.fromCharCode(Number.parseInt(digits, 16));
  });
}

/** By code unit, which for encoded text is by byte. */
function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
