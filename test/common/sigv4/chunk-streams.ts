/** Streams of signed chunks for tests, and what a reader makes of them. */
import type { Field } from "../../../common/http/field.ts";
import { createChunkReader, type ChunkReaderOptions } from "../../../common/sigv4/chunk-reader.ts";
import type { ChunkChainOptions } from "../../../common/sigv4/chunk-signature.ts";
import { chunkTail, createChunkSigner } from "../../../common/sigv4/chunk-signer.ts";
import { createSigningKey } from "../../../common/sigv4/signing-key.ts";

export const origin: ChunkChainOptions = {
  signingKey: createSigningKey("secret", "20260915", "prod-example", "orders.shop"),
  amzDate: "20260915T120000Z",
  scopeText: "20260915/prod-example/orders.shop/aws4_request",
  seedSignature: "0123456789abcdef".repeat(4),
};

/** The framed body in the parts it is made of: head, payload and tail of each chunk, then the end. Without trailers, none are announced. */
export function partsOf(chunks: readonly Buffer[], trailers?: readonly Field[], from: ChunkChainOptions = origin): Buffer[] {
  const signer = createChunkSigner({ ...from, hasTrailers: trailers !== undefined });
  const parts = chunks.flatMap((chunk) => [Buffer.from(signer.head(chunk), "latin1"), chunk, Buffer.from(chunkTail, "latin1")]);
  return [...parts, Buffer.from(signer.end(trailers), "latin1")];
}

export function streamOf(chunks: readonly Buffer[], trailers?: readonly Field[], from: ChunkChainOptions = origin): Buffer {
  return Buffer.concat(partsOf(chunks, trailers, from));
}

export function bytesOf(stream: Buffer): Buffer[] {
  return Array.from({ length: stream.length }, (_, index) => stream.subarray(index, index + 1));
}

export interface ReadStream {
  /** What came before the error, if there was one. */
  readonly payload: Buffer;
  readonly chunks: number;
  readonly trailers: readonly Field[];
  readonly error: unknown;
}

export type ReaderChanges = Partial<Omit<ChunkReaderOptions, "onPayload">>;

/** Every piece is overwritten after it was pushed: a reader must have kept its own copy of what it still needs. */
export function read(pieces: Iterable<Buffer>, changes: ReaderChanges = {}): ReadStream {
  const received: Buffer[] = [];
  const reader = createChunkReader({
    ...origin,
    decodedLength: -1,
    trailers: "none",
    ...changes,
    onPayload: (chunk) => {
      received.push(Buffer.from(chunk));
    },
  });
  let trailers: readonly Field[] = [];
  let error: unknown;
  try {
    for (const piece of pieces) {
      const pushed = Buffer.from(piece);
      reader.push(pushed);
      pushed.fill(0xff);
    }
    trailers = reader.finish();
  } catch (caught) {
    error = caught;
  }
  return { payload: Buffer.concat(received), chunks: received.length, trailers, error };
}
