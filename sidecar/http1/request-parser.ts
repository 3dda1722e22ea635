/**
 * Requests out of bytes, strictly (RFC 9110, RFC 9112): what is accepted has one meaning, the same one that Node's own
 * parser gives it. Ambiguous framing is refused, never repaired.
 *
 * Not checked here: whether the path is canonical, whether the host is served, how long a client may take.
 *
 * Hot path. One object a request (its head); a header block that was seen before costs one lookup.
 */
import { FieldKind, type Field } from "../../common/http/field.ts";
import type { RequestHead } from "../../common/http/message.ts";
import { Http1Error } from "./error.ts";
import { readHeaderBlock, type HeaderBlock } from "./header-block.ts";
import { defaultLimits, type Http1Limits } from "./limits.ts";
import { lineIndex } from "./line-index.ts";
import { CHUNKED, createMessageReader, type MessageRole } from "./message-reader.ts";
import { readRequestLine, type RequestLine } from "./request-line.ts";
import { readSpecialTarget } from "./request-target.ts";

export interface RequestHandler {
  /** The parser's `keepAlive`, `expectContinue`, `upgrade` and `version` are those of this request until `resume`. */
  onRequest(head: RequestHead): void;
  /** Never empty. Valid only during the call, because the caller of `push` reuses its buffer. */
  onBody(chunk: Buffer): void;
  /** Nothing follows until `resume`, which may be called from here. */
  onEnd(trailers: readonly Field[]): void;
  /** The parser accepts nothing more: answer with `error.status` and close. */
  onError(error: Http1Error): void;
}

export interface RequestParser {
  /**
   * Reads bytes and calls the handler. The chunk may be reused after the call. Not to be called by the handler. Bytes
   * behind a complete request are copied and kept until `resume`; stop reading the socket meanwhile.
   */
  push(chunk: Buffer): void;
  /** Goes on with the next request, after `onEnd`. */
  resume(): void;
  /** The peer sends no more: a request that is cut short is reported as `truncated`. */
  finish(): void;
  /** After `onEnd` of an accepted upgrade or CONNECT: the bytes that follow, raw. The parser is of no use then. */
  takeRemainder(): Buffer;
  /** No more calls to the handler; what is kept is dropped. */
  close(): void;
  /** No byte of a request is outstanding: the connection may be closed without harm. */
  readonly idle: boolean;
  /** For slow-peer.ts: what of a request is awaited, 0 for nothing. */
  readonly headMark: number;
  readonly bodyMark: number;
  readonly keepAlive: boolean;
  /** The client waits for 100 before it sends its body. */
  readonly expectContinue: boolean;
  /** Protocols offered in `upgrade`; empty when none. */
  readonly upgrade: string;
  /** Minor version of HTTP/1. */
  readonly version: 0 | 1;
}

function checkBlock(block: HeaderBlock, { method, version }: RequestLine, limits: Http1Limits): void {
  if (version === 0 && block.chunked) {
    throw new Http1Error("bad-transfer-encoding", "transfer-encoding in HTTP/1.0");
  }
  if (version === 1 && block.host === "") throw new Http1Error("missing-host", "HTTP/1.1 without host");
  if (block.contentLength > limits.maxBodyBytes) {
    throw new Http1Error("body-too-large", `body over ${limits.maxBodyBytes} bytes`);
  }
  if (method === "CONNECT" && (block.chunked || block.contentLength > 0)) {
    throw new Http1Error("conflicting-length", "CONNECT with a body");
  }
  if ((block.kinds & FieldKind.EXPECT) !== 0 && block.expect !== "100-continue") {
    throw new Http1Error("bad-expectation", "expects something other than 100-continue");
  }
}

export function createRequestParser(handler: RequestHandler, limits: Http1Limits = defaultLimits): RequestParser {
  let head: RequestHead;
  let framing = 0;

  function accept(line: RequestLine, block: HeaderBlock): void {
    checkBlock(block, line, limits);
    const { method, version } = line;
    framing = block.chunked ? CHUNKED : Math.max(0, block.contentLength);
    let target = line.target;
    let authority = block.host;
    let scheme = "";
    if (!line.originForm) {
      const special = readSpecialTarget(method, target, authority);
      target = special.target;
      scheme = special.scheme;
      if (authority === "") authority = special.authority;
    }
    parser.version = version;
    parser.keepAlive = !block.close && (version === 1 || block.keepAlive);
    parser.expectContinue = version === 1 && block.expect !== "" && framing !== 0;
    parser.upgrade = version === 1 ? block.upgrade : "";
    head = {
      method,
      target,
      authority,
      scheme,
      fields: block.fields,
      kinds: block.kinds,
      contentLength: framing,
    };
  }

  const role: MessageRole = {
    pipelined: true,
    parse(section) {
      if (lineIndex.count === 0) throw new Http1Error("bad-request-line", "empty request line");
      const lineEnd = section.from + (lineIndex.ends[0] as number);
      const line = readRequestLine(section.buffer, section.from, lineEnd, lineIndex.hashes[0] as number);
      accept(line, readHeaderBlock(section, 1));
    },
    framing: () => framing,
    deliver: () => handler.onRequest(head),
    body: (chunk) => handler.onBody(chunk),
    end: (trailers) => handler.onEnd(trailers),
    error: (error) => handler.onError(error),
  };
  const reader = createMessageReader(role, limits, false);

  const parser = {
    push: reader.push,
    resume: reader.resume,
    finish: reader.finish,
    takeRemainder: reader.takeRemainder,
    close: reader.close,
    get idle() {
      return reader.idle;
    },
    get headMark() {
      return reader.headMark;
    },
    get bodyMark() {
      return reader.bodyMark;
    },
    keepAlive: true,
    expectContinue: false,
    upgrade: "",
    version: 1 as 0 | 1,
  };
  return parser;
}
