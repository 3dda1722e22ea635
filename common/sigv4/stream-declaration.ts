/** What the head of a request says of the signed chunks behind it: `x-amz-decoded-content-length` and `x-amz-trailer`. */
import { findField, type Field } from "../http/field.ts";
import type { ExpectedTrailers } from "./chunk-reader.ts";
import { SigV4Error } from "./error.ts";
import { streamingPayloadTrailer, type PayloadHash } from "./payload-hash.ts";

export interface StreamDeclaration {
  /** Bytes of the body without its framing, or -1 where nothing says. */
  readonly decodedLength: number;
  readonly trailers: ExpectedTrailers;
}

const decodedLengthName = "x-amz-decoded-content-length";
const trailerName = "x-amz-trailer";

const wholeNumber = /^(?:0|[1-9]\d{0,14})$/;
const listSeparator = /[ \t]*,[ \t]*/;
const fieldName = /^[!#$%&'*+.^_`|~0-9a-z-]{1,256}$/;

/**
 * `payload` is of mode `streamed`. AWS's clients always say length and trailers; a sidecar, which passes on what an application
 * has only begun to send, knows neither, so both may be left out: then any trailers are taken, if `payload` has them signed.
 *
 * Throws SigV4Error: `malformed-stream-header`, `duplicate-header`.
 */
export function parseStreamDeclaration(payload: PayloadHash, fields: readonly Field[]): StreamDeclaration {
  const length = single(fields, decodedLengthName);
  if (length !== undefined && !wholeNumber.test(length)) throw malformed("x-amz-decoded-content-length is not a length");
  return { decodedLength: length === undefined ? -1 : Number(length), trailers: expectedTrailers(payload, single(fields, trailerName)) };
}

function expectedTrailers(payload: PayloadHash, announced: string | undefined): ExpectedTrailers {
  if (payload.value !== streamingPayloadTrailer) {
    if (announced !== undefined) throw malformed("x-amz-trailer announces trailers, and x-amz-content-sha256 does not");
    return "none";
  }
  if (announced === undefined) return "any";
  const names = announced.toLowerCase().split(listSeparator);
  if (!names.every((name) => fieldName.test(name))) throw malformed("x-amz-trailer is not a list of names");
  const unique = new Set(names);
  if (unique.size < names.length) throw malformed("x-amz-trailer names a trailer twice");
  return unique;
}

function single(fields: readonly Field[], name: string): string | undefined {
  const field = findField(fields, name);
  if (field !== undefined && fields.some((other) => other !== field && other.name === name)) {
    throw new SigV4Error("duplicate-header", `the request has more than one ${name}`);
  }
  return field?.value;
}

function malformed(message: string): SigV4Error {
  return new SigV4Error("malformed-stream-header", message);
}
