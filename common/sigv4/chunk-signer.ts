/**
 * Frames and signs a body in chunks, as `x-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD` or `…-TRAILER` announces
 * it. Hot path: the payload is hashed where it lies and never copied; what goes around it is text to write beside it.
 */
import type { Field } from "../http/field.ts";
import { createChunkChain, lineEnd, sortTrailers, trailerSignatureName, type ChunkChainOptions } from "./chunk-signature.ts";

export interface ChunkSignerOptions extends ChunkChainOptions {
  /** Whether the request announced a signed trailer section (`…-TRAILER`); it may turn out empty. */
  readonly hasTrailers: boolean;
}

/** Latin1 throughout: a character is a byte. */
export interface ChunkSigner {
  /** What comes before the chunk; `chunkTail` comes behind it. A chunk must not be empty: that would end the body. */
  head(chunk: Buffer): string;
  /** The final chunk and everything behind it: the end of the body. `trailers` only where they were announced. */
  end(trailers?: readonly Field[]): string;
}

export const chunkTail: string = lineEnd;
const noPayload = Buffer.alloc(0);

/** One signer for one body: chunks are signed in the order they are sent in. */
export function createChunkSigner(options: ChunkSignerOptions): ChunkSigner {
  const chain = createChunkChain(options);

  function headOf(chunk: Buffer): string {
    return `${chunk.length.toString(16)};chunk-signature=${chain.sign(chunk)}${lineEnd}`;
  }

  return {
    head(chunk) {
      if (chunk.length === 0) throw new RangeError("an empty chunk would end the body");
      return headOf(chunk);
    },
    end(trailers = []) {
      if (!options.hasTrailers) {
        if (trailers.length > 0) throw new RangeError("trailers that the request did not announce");
        return headOf(noPayload) + lineEnd;
      }
      let text = headOf(noPayload);
      for (const { name, value } of sortTrailers(trailers)) text += `${name}:${value}${lineEnd}`;
      return `${text}${trailerSignatureName}:${chain.signTrailers(trailers)}${lineEnd}${lineEnd}`;
    },
  };
}
