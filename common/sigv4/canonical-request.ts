/**
 * The canonical request of SigV4 and its hash ("Create a signed AWS API request", steps 1 to 3), for services other than
 * S3: the path, normalised before, is URI-encoded once more. Hot path: concatenation of texts that the fields carry.
 */
import type { Field } from "../http/field.ts";
import { canonicalQuery } from "./canonical-query.ts";
import { sha256Hex } from "./digest.ts";
import { hostIndex, type HeaderOrder } from "./header-order.ts";
import { uriEncodePath } from "./uri-encode.ts";

export const algorithm = "AWS4-HMAC-SHA256";

/** What a signature covers. */
export interface SignableRequest {
  readonly method: string;
  /** As normalizeTarget returned it. */
  readonly path: string;
  /** As sent, without the question mark. */
  readonly query: string;
  /** The field `host` made of `Host` or `:authority`, as sent. */
  readonly host: Field;
  /** All other fields in order of arrival; what is not to be signed among them is left out. */
  readonly fields: readonly Field[];
  /** The body's hash or its mode, as `x-amz-content-sha256` has it (see payload-hash.ts). */
  readonly payloadHash: string;
}

/** Latin1: one character, one byte. Throws SigV4Error `malformed-query`. */
export function canonicalRequest(request: SignableRequest, order: HeaderOrder): string {
  const { host, fields } = request;
  const { positions } = order;
  let text = `${request.method}\n${uriEncodePath(request.path)}\n${canonicalQuery(request.query)}\n`;
  for (let index = 0; index < positions.length; index++) {
    const field = fieldAt(host, fields, positions[index]);
    if (order.hasDuplicates && index > 0 && field.name === fieldAt(host, fields, positions[index - 1]).name) {
      text = `${text.slice(0, -1)},${field.canonical.slice(field.name.length + 1)}`;
    } else {
      text += field.canonical;
    }
  }
  return `${text}\n${order.text}\n${request.payloadHash}`;
}

/** `date` is the value of `x-amz-date`, `scope` the text of the credential scope. */
export function stringToSign(request: SignableRequest, order: HeaderOrder, date: string, scope: string): string {
  return `${algorithm}\n${date}\n${scope}\n${sha256Hex(canonicalRequest(request, order))}`;
}

export function fieldAt(host: Field, fields: readonly Field[], position: number | undefined): Field {
  const field = position === hostIndex ? host : fields[position ?? fields.length];
  if (field === undefined) throw new RangeError("a header order was applied to fields of another sequence");
  return field;
}
