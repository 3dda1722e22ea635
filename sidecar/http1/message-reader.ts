/**
 * What request and response parsers share: one message after the other is taken out of chunks of bytes, however they
 * are cut. The role says what a head means; this finds where heads and bodies end.
 *
 * Hot path. Chunks belong to the caller and are reused by it: whatever must outlive `push` is copied here. A message's
 * end stops the reader, so that the next one is not looked at before the caller asks for it.
 */
import type { Field } from "../../common/http/field.ts";
import { createChunkedReader, type ChunkedReader } from "./chunked.ts";
import { Http1Error } from "./error.ts";
import type { Http1Limits } from "./limits.ts";
import { lineIndex } from "./line-index.ts";
import { createSectionReader, type Section } from "./section-reader.ts";

/** How a body ends, where `framing` is not its length. */
export const CHUNKED = -1;
export const UNTIL_CLOSE = -2;
/** Not the end of a message: another head follows. */
export const INFORMATIONAL = -3;
/** Whatever follows belongs to another protocol. */
export const SWITCHED = -4;

export interface MessageRole {
  /** Bytes behind a message are the next one, to be kept; otherwise they are an error. */
  readonly pipelined: boolean;
  /** Reads a whole head, which was indexed last. Throws Http1Error. */
  parse(section: Section): void;
  /** Length of the body that follows the head just read, or how it ends. */
  framing(): number;
  /** Hands over the head just read. */
  deliver(): void;
  body(chunk: Buffer): void;
  /** `dirty`: bytes came that nobody asked for, and an error follows. */
  end(trailers: readonly Field[], dirty: boolean): void;
  error(error: Http1Error): void;
}

export interface MessageReader {
  readonly push: (chunk: Buffer) => void;
  /** Reads the next message, of what is kept to begin with. */
  readonly resume: () => void;
  readonly finish: () => void;
  readonly takeRemainder: () => Buffer;
  readonly close: () => void;
  /** No byte of a message has come since the last one ended. */
  readonly idle: boolean;
  /** For a `ProgressWatch`: a head begun and not whole, or the first request, begun by connecting; the same number for the same head. */
  readonly headMark: number;
  /** The same of a body: another number whenever bytes come. */
  readonly bodyMark: number;
}

const HEAD = 0;
const LENGTH = 1;
const IN_CHUNKS = 2;
const TO_THE_END = 3;
const STOPPED = 4;
const CLOSED = 5;
const DETACHED = 6;

const noFields: readonly Field[] = [];
const noBytes: Buffer = Buffer.alloc(0);

export function createMessageReader(role: MessageRole, limits: Http1Limits, stopped: boolean): MessageReader {
  const head = createSectionReader(limits.maxHeadBytes, limits.maxHeaders + 1);
  let chunked: ChunkedReader | undefined;
  let state = stopped ? STOPPED : HEAD;
  /** Bytes of a body still to come. */
  let remaining = 0;
  let emptyLineSeen = false;
  let heads = 0;
  let pushes = 0;
  let switched = false;
  let ended = false;

  /** What is being read now: the caller's chunk or `held`. */
  let current = noBytes;
  let position = 0;
  let limit = 0;
  let running = false;

  /** Bytes behind a complete message. */
  let held = noBytes;
  let heldFrom = 0;
  let heldTo = 0;

  function fail(error: Http1Error): void {
    if (state === CLOSED || state === DETACHED) return;
    close();
    role.error(error);
  }

  function close(): void {
    state = CLOSED;
    held = noBytes;
    heldFrom = heldTo = 0;
    head.reset();
    chunked = undefined;
  }

  function failWith(error: unknown): void {
    if (!(error instanceof Http1Error)) throw error;
    fail(error);
  }

  function complete(trailers: readonly Field[]): void {
    const dirty = position < limit && !role.pipelined;
    state = STOPPED;
    role.end(trailers, dirty);
    if (dirty) fail(new Http1Error("unexpected-bytes", "bytes behind a complete response"));
  }

  function deliver(): void {
    const length = role.framing();
    if (length === SWITCHED) {
      switched = true;
      state = STOPPED;
      role.deliver();
      return;
    }
    role.deliver();
    if (state !== HEAD || length === INFORMATIONAL) return;
    if (length > 0) {
      remaining = length;
      state = LENGTH;
    } else if (length === 0) complete(noFields);
    else if (length === CHUNKED) {
      chunked ??= createChunkedReader(limits);
      chunked.reset();
      state = IN_CHUNKS;
    } else {
      remaining = limits.maxBodyBytes;
      state = TO_THE_END;
    }
  }

  function readHead(): void {
    try {
      position = head.read(current, position, limit);
      if (!head.whole) return;
      if (role.pipelined && lineIndex.count === 0 && !emptyLineSeen) {
        // RFC 9112 2.2: an empty line before a request is ignored, for clients that end a body with one too many.
        emptyLineSeen = true;
        head.reset();
        return;
      }
      emptyLineSeen = false;
      heads++;
      role.parse(head);
      head.reset();
    } catch (error) {
      failWith(error);
      return;
    }
    deliver();
  }

  function readBody(): void {
    const from = position;
    const taken = Math.min(remaining, limit - from);
    position = from + taken;
    remaining -= taken;
    if (taken > 0) role.body(taken === current.length ? current : current.subarray(from, position));
    if (remaining > 0) return;
    if (state === LENGTH) complete(noFields);
    else if (position < limit) fail(new Http1Error("body-too-large", `body over ${limits.maxBodyBytes} bytes`));
  }

  function readChunks(reader: ChunkedReader): void {
    const chunk = current;
    try {
      position = reader.read(chunk, position, limit);
    } catch (error) {
      failWith(error);
      return;
    }
    if (reader.dataTo > reader.dataFrom) role.body(chunk.subarray(reader.dataFrom, reader.dataTo));
    if (state === IN_CHUNKS && reader.done) complete(reader.trailers);
  }

  function run(buffer: Buffer, from: number, to: number): void {
    current = buffer;
    position = from;
    limit = to;
    running = true;
    try {
      // eslint-disable-next-line no-unmodified-loop-condition -- modified by the functions called
      while (position < limit && state < STOPPED) {
        if (state === HEAD) readHead();
        else if (state === IN_CHUNKS) readChunks(chunked as ChunkedReader);
        else readBody();
      }
    } finally {
      running = false;
      current = noBytes;
    }
    if (buffer === held) {
      heldFrom = position;
      if (heldFrom === heldTo) held = noBytes;
    } else if (state === STOPPED && position < limit) hold(buffer, position, limit);
  }

  function hold(chunk: Buffer, from: number, to: number): void {
    if (!role.pipelined && !switched) {
      fail(new Http1Error("unexpected-bytes", "bytes that no request asked for"));
      return;
    }
    if (held === noBytes) heldFrom = heldTo = 0;
    const kept = heldTo - heldFrom;
    const needed = kept + to - from;
    if (needed > limits.maxPipelinedBytes) {
      fail(new Http1Error("too-much-pipelined", `over ${limits.maxPipelinedBytes} bytes behind a request`));
      return;
    }
    if (heldTo + to - from > held.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(needed, Math.min(2 * kept, limits.maxPipelinedBytes)));
      held.copy(grown, 0, heldFrom, heldTo);
      held = grown;
      heldFrom = 0;
      heldTo = kept;
    }
    chunk.copy(held, heldTo, from, to);
    heldTo += to - from;
  }

  function finish(): void {
    ended = true;
    if (state === TO_THE_END) {
      complete(noFields);
    } else if (state < STOPPED && (state !== HEAD || head.partial)) {
      fail(new Http1Error("truncated", "the connection ended inside a message"));
    }
  }

  return {
    push(chunk) {
      if (state === CLOSED || chunk.length === 0) return;
      pushes++;
      if (state === DETACHED) throw new Error("push after takeRemainder");
      if (state === STOPPED) hold(chunk, 0, chunk.length);
      else run(chunk, 0, chunk.length);
    },
    resume() {
      if (state !== STOPPED || switched) return;
      state = HEAD;
      if (running) return;
      if (heldFrom < heldTo) run(held, heldFrom, heldTo);
      if (ended) finish();
    },
    finish,
    takeRemainder() {
      if (state !== STOPPED) throw new Error("takeRemainder inside a message");
      const remainder = running ? Buffer.from(current.subarray(position, limit)) : held.subarray(heldFrom, heldTo);
      close();
      state = DETACHED;
      return remainder;
    },
    close,
    get idle() {
      return state === STOPPED || (state === HEAD && !head.partial);
    },
    get headMark() {
      return state === HEAD && (head.partial || (role.pipelined && heads === 0)) ? heads + 1 : 0;
    },
    get bodyMark() {
      return state > HEAD && state < STOPPED ? pushes : 0;
    },
  };
}
