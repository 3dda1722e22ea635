/**
 * The chain of signatures over a streamed body: each covers one chunk and the signature before it, the first of which is the
 * request's own ("Signature Calculations for the Authorization Header: Transferring Payload in Multiple Chunks", and
 * "Including Trailing Headers"). A chunk cannot be left out, moved, repeated or taken into another stream.
 *
 * Hot path: one SHA-256 of the chunk and one HMAC each time.
 */
import { hash, type KeyObject } from "node:crypto";
import type { Field } from "../http/field.ts";
import { hmacSha256Hex, sha256Hex } from "./digest.ts";
import { emptyPayloadHash } from "./payload-hash.ts";

/** What a chain begins with: the request that announced the body. */
export interface ChunkChainOptions {
  /** The key that signed the request. */
  readonly signingKey: KeyObject;
  /** The value of `x-amz-date`. */
  readonly amzDate: string;
  /** `date/region/service/aws4_request` */
  readonly scopeText: string;
  /** The request's signature: 64 lower-case hexadecimal digits. */
  readonly seedSignature: string;
}

/** Both return 64 lower-case hexadecimal digits. */
export interface ChunkChain {
  /** The signature of the next chunk, the final one being empty. */
  sign(payload: Buffer): string;
  /** That of the trailers, behind the final chunk. The order of names is of no account, that of one name's fields is. */
  signTrailers(trailers: readonly Field[]): string;
}

export function createChunkChain(options: ChunkChainOptions): ChunkChain {
  const { signingKey } = options;
  const origin = `${options.amzDate}\n${options.scopeText}\n`;
  const prefix = `AWS4-HMAC-SHA256-PAYLOAD\n${origin}`;
  let previous = options.seedSignature;

  return {
    sign(payload) {
      const payloadHash = payload.length === 0 ? emptyPayloadHash : hash("sha256", payload);
      previous = hmacSha256Hex(signingKey, `${prefix}${previous}\n${emptyPayloadHash}\n${payloadHash}`);
      return previous;
    },
    signTrailers(trailers) {
      const text = sortTrailers(trailers)
        .map((field) => field.canonical)
        .join("");
      return hmacSha256Hex(signingKey, `AWS4-HMAC-SHA256-TRAILER\n${origin}${previous}\n${sha256Hex(text)}`);
    },
  };
}

/** By name, fields of one name in the order they had. */
export function sortTrailers(trailers: readonly Field[]): readonly Field[] {
  return trailers.toSorted((a, b) => (a.name < b.name ? -1 : Number(a.name > b.name)));
}

/** What ends every part of the framing. */
export const lineEnd = "\r\n";
export const trailerSignatureName = "x-amz-trailer-signature";
