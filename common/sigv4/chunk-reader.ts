/**
 * Takes `aws-chunked` framing off a streamed body and verifies its signatures, chunk by chunk, however the bytes are cut.
 *
 * Guarantees: no byte of a chunk is handed on before the signature of the whole chunk held; the body is at its end only once
 * the final chunk and, where they were announced, the trailers were verified and nothing came behind them. At most one
 * chunk and the trailers are held.
 * Does not check that trailing checksums are those of the payload: their signature, and the chunks', say more.
 *
 * Hot path: a chunk that lies whole in what is pushed is hashed and handed on where it is.
 */
import { createField, FieldKind, type Field } from "../http/field.ts";
import { createChunkChain, trailerSignatureName, type ChunkChainOptions } from "./chunk-signature.ts";
import { SigV4Error } from "./error.ts";
import { sameSignature } from "./same-signature.ts";

/** AWS's SDKs send chunks of 64 to 128 KiB. */
const defaultMaxChunkBytes = 256 * 1024;

/** `none`: the body has no trailer section. `any`: it has one, of whatever is in it. A set: exactly these, once each. */
export type ExpectedTrailers = "none" | "any" | ReadonlySet<string>;

export interface ChunkReaderOptions extends ChunkChainOptions {
  readonly maxChunkBytes?: number;
  /** Bytes of payload announced, or -1. */
  readonly decodedLength: number;
  readonly trailers: ExpectedTrailers;
  /** `payload` is a view of what was pushed, or of memory that the reader uses again: good until this returns. */
  readonly onPayload: (payload: Buffer) => void;
}

export interface ChunkReader {
  /**
   * The bytes may be overwritten once it returns.
   *
   * Throws SigV4Error: `malformed-chunk`, `chunk-too-large`, `chunk-signature-mismatch`, `decoded-length-mismatch`. A reader
   * that threw takes nothing more.
   */
  push(bytes: Buffer): void;
  /** To be called when the sender has ended the body: returns its trailers. Throws SigV4Error `stream-truncated`. */
  finish(): readonly Field[];
}

type State = "head" | "payload" | "payload-end" | "end" | "trailers" | "trailers-end" | "done" | "failed";

const LF = 0x0a;
const nothing = Buffer.alloc(0);
/** Sizes in lower case are most SDKs', in upper case .NET's. */
const head = /^(0|[1-9a-f][0-9a-f]{0,7}|[1-9A-F][0-9A-F]{0,7});chunk-signature=([0-9a-f]{64})\r\n$/;
const maxHead = 100;
const trailerLine = /^([!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}):([\t\u0020-\u007e\u0080-\u00ff]*)\r\n$/;
const signatureValue = /^[0-9a-f]{64}$/;
/** Characters of all trailers together. */
const maxTrailers = 8192;
const maxTrailerFields = 64;
/** What frames a message, routes it or says whose it is does not belong behind it (RFC 9110 section 6.5.1). */
const neverTrailer =
  FieldKind.HOP_BY_HOP | FieldKind.CONTENT_LENGTH | FieldKind.HOST | FieldKind.AUTHORIZATION | FieldKind.IDENTITY | FieldKind.EXPECT;

export function createChunkReader(options: ChunkReaderOptions): ChunkReader {
  const { decodedLength, trailers: expected, onPayload, maxChunkBytes = defaultMaxChunkBytes } = options;
  const chain = createChunkChain(options);
  let state: State = "head";
  /** The line under way, and how long it may become. */
  let line = "";
  let lineRoom = maxHead;
  let total = 0;
  let size = 0;
  let claimed = "";
  /** A chunk that comes in pieces; the memory stays for the next one. */
  let kept = nothing;
  let keptLength = 0;
  const trailers: Field[] = [];

  /** Adds to `line` up to its end; the position behind what was taken. */
  function readLine(bytes: Buffer, from: number): number {
    const limit = Math.min(bytes.length, from + lineRoom);
    let to = from;
    while (to < limit && bytes[to] !== LF) to++;
    if (to < limit) to++;
    line += bytes.toString("latin1", from, to);
    lineRoom -= to - from;
    if (lineRoom === 0 && !lineIsWhole()) throw malformed("a line of the framing is too long");
    return to;
  }

  function lineIsWhole(): boolean {
    return line.charCodeAt(line.length - 1) === LF;
  }

  function verify(payload: Buffer): void {
    if (!sameSignature(chain.sign(payload), claimed)) throw mismatch("a chunk is not what was signed in its place");
  }

  function beginChunk(): void {
    const match = head.exec(line);
    if (match === null) throw malformed("a chunk does not begin with its size and signature");
    size = Number.parseInt(match[1] ?? "", 16);
    claimed = match[2] ?? "";
    if (size > maxChunkBytes) throw new SigV4Error("chunk-too-large", `a chunk is larger than ${maxChunkBytes} bytes`);
    total += size;
    if (decodedLength >= 0 && (size === 0 ? total !== decodedLength : total > decodedLength)) {
      throw new SigV4Error("decoded-length-mismatch", "the body is not as long as x-amz-decoded-content-length says");
    }
    if (size > 0) state = "payload";
    else {
      verify(nothing);
      state = expected === "none" ? "end" : "trailers";
      if (expected !== "none") lineRoom = maxTrailers;
    }
  }

  function readPayload(bytes: Buffer, from: number): number {
    const to = Math.min(bytes.length, from + size - keptLength);
    let payload: Buffer;
    if (keptLength === 0 && to - from === size) payload = bytes.subarray(from, to);
    else {
      if (kept.length < size) kept = Buffer.allocUnsafeSlow(size);
      bytes.copy(kept, keptLength, from, to);
      keptLength += to - from;
      if (keptLength < size) return to;
      payload = kept.subarray(0, size);
      keptLength = 0;
    }
    verify(payload);
    state = "payload-end";
    onPayload(payload);
    return to;
  }

  function readTrailer(): void {
    const match = trailerLine.exec(line);
    if (match === null) throw malformed("a trailer is malformed, or the trailers lack their signature");
    const field = createField((match[1] ?? "").toLowerCase(), trimBlanks(match[2] ?? ""));
    if (field.name !== trailerSignatureName) {
      if ((field.kinds & neverTrailer) !== 0) throw malformed("a trailer has a name that only a head may have");
      if (trailers.push(field) > maxTrailerFields) throw malformed("too many trailers");
      return;
    }
    if (!signatureValue.test(field.value)) throw malformed("the trailers' signature is not 64 lower-case hexadecimal digits");
    if (!sameSignature(chain.signTrailers(trailers), field.value)) throw mismatch("the trailers are not what was signed");
    if (typeof expected === "object") checkAnnounced(trailers, expected);
    state = "trailers-end";
  }

  function readFraming(): void {
    if (state === "trailers") readTrailer();
    else {
      lineRoom = maxHead;
      if (state === "head") beginChunk();
      else if (line !== "\r\n") throw malformed("a chunk is longer than it says, or something follows the last");
      else state = state === "payload-end" ? "head" : "done";
    }
    line = "";
  }

  function take(bytes: Buffer): void {
    let position = 0;
    while (position < bytes.length) {
      if (state === "done" || state === "failed") throw malformed("bytes behind the end of the body");
      if (state === "payload") position = readPayload(bytes, position);
      else {
        position = readLine(bytes, position);
        if (!lineIsWhole()) return;
        readFraming();
      }
    }
  }

  return {
    push(bytes) {
      try {
        take(bytes);
      } catch (error) {
        state = "failed";
        kept = nothing;
        throw error;
      }
    },
    finish() {
      if (state !== "done") throw new SigV4Error("stream-truncated", "the body ends before its final chunk");
      return trailers;
    },
  };
}

function checkAnnounced(trailers: readonly Field[], announced: ReadonlySet<string>): void {
  const names = new Set(trailers.map((field) => field.name));
  if (names.size !== trailers.length || names.size !== announced.size || !names.isSubsetOf(announced)) {
    throw malformed("the trailers are not those that x-amz-trailer announced");
  }
}

function trimBlanks(text: string): string {
  let from = 0;
  let to = text.length;
  while (from < to && isBlank(text.charCodeAt(from))) from++;
  while (to > from && isBlank(text.charCodeAt(to - 1))) to--;
  return text.slice(from, to);
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

function malformed(message: string): SigV4Error {
  return new SigV4Error("malformed-chunk", message);
}

function mismatch(message: string): SigV4Error {
  return new SigV4Error("chunk-signature-mismatch", message);
}
