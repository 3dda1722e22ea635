/**
 * Responses out of bytes, strictly (RFC 9110, RFC 9112), one for each request that was announced by `expect`. Bytes that
 * belong to no response are an error: a connection that has them must not be used again.
 *
 * Hot path: as request-parser.ts.
 */
import type { Field } from "../../common/http/field.ts";
import type { ResponseHead } from "../../common/http/message.ts";
import { Http1Error } from "./error.ts";
import { readHeaderBlock, type HeaderBlock } from "./header-block.ts";
import { defaultLimits, type Http1Limits } from "./limits.ts";
import { lineIndex } from "./line-index.ts";
import { CHUNKED, createMessageReader, INFORMATIONAL, SWITCHED, UNTIL_CLOSE, type MessageRole } from "./message-reader.ts";
import { readStatusLine, type StatusLine } from "./status-line.ts";

export interface ResponseHandler {
  /**
   * 1xx: 100, 103 and others come before the response; after 101 `takeRemainder` yields the other protocol's bytes, also
   * during this call.
   */
  onInformational(head: ResponseHead): void;
  /**
   * The parser's `keepAlive` and `version` are those of this response until the next `expect`. After a 2xx to CONNECT
   * `takeRemainder` yields the tunnel's bytes, and there is no `onEnd`.
   */
  onResponse(head: ResponseHead): void;
  /** Never empty. Valid only during the call, because the caller of `push` reuses its buffer. */
  onBody(chunk: Buffer): void;
  /** `keepAlive` is false here when more bytes came than the response has; `onError` then follows. */
  onEnd(trailers: readonly Field[]): void;
  /** The parser accepts nothing more. */
  onError(error: Http1Error): void;
}

export interface ResponseParser {
  /** Announces the next response: to a request of `method`, which offered to switch protocols if `upgrade`. */
  expect(method: string, upgrade?: boolean): void;
  /** Reads bytes and calls the handler. The chunk may be reused after the call. Not to be called by the handler. */
  push(chunk: Buffer): void;
  /** The peer sends no more: ends a body that only this ends, reports `no-response` or `truncated` otherwise. */
  finish(): void;
  /** After 101, or a 2xx to CONNECT: the bytes that follow, raw. The parser is of no use then. */
  takeRemainder(): Buffer;
  /** No more calls to the handler. */
  close(): void;
  /** Whether the connection may be used for another request. */
  readonly keepAlive: boolean;
  readonly version: 0 | 1;
  /** For slow-peer.ts: what of a response has begun and is awaited, 0 for nothing. */
  readonly headMark: number;
  readonly bodyMark: number;
}

const emptyBodied = (status: number): boolean => status < 200 || status === 204 || status === 304;

function asResponse(error: Http1Error): Http1Error {
  return error.status === 502 ? error : new Http1Error(error.code, error.message, { cause: error, status: 502 });
}

export function createResponseParser(handler: ResponseHandler, limits: Http1Limits = defaultLimits): ResponseParser {
  let method = "";
  let offered = false;
  let awaiting = false;
  let informed = false;
  let head: ResponseHead;
  let framing = 0;

  function framingOf({ status, version }: StatusLine, block: HeaderBlock): number {
    if (block.chunked && version === 0) {
      throw new Http1Error("bad-transfer-encoding", "transfer-encoding in HTTP/1.0");
    }
    const tunnelled = method === "CONNECT" && status >= 200 && status < 300;
    if (status < 200 || status === 204 || tunnelled) {
      // RFC 9110 8.6 and RFC 9112 6.1 forbid both here; a peer that means them would be out of step with us.
      if (block.chunked || block.contentLength > 0) {
        throw new Http1Error("conflicting-length", `body in a response of status ${status}`);
      }
      if (status === 101 && (!offered || block.upgrade === "")) {
        throw new Http1Error("unexpected-switch", "101 that no request asked for, or that does not say to what");
      }
      if (status < 200 && version === 0) throw new Http1Error("bad-status-line", "1xx in HTTP/1.0");
      if (status < 200 && block.close) throw new Http1Error("bad-connection", "1xx that closes the connection");
      return status === 101 || tunnelled ? SWITCHED : status < 200 ? INFORMATIONAL : 0;
    }
    if (method === "HEAD" || emptyBodied(status)) return 0;
    if (block.chunked) return CHUNKED;
    if (block.contentLength > limits.maxBodyBytes) {
      throw new Http1Error("body-too-large", `body over ${limits.maxBodyBytes} bytes`);
    }
    return block.contentLength === -1 ? UNTIL_CLOSE : block.contentLength;
  }

  function accept(line: StatusLine, block: HeaderBlock): void {
    framing = framingOf(line, block);
    const { status, version } = line;
    parser.version = version;
    parser.keepAlive = framing !== UNTIL_CLOSE && !block.close && (version === 1 || block.keepAlive);
    const endless = framing === CHUNKED || framing === UNTIL_CLOSE;
    head = {
      status,
      fields: block.fields,
      kinds: block.kinds,
      contentLength: endless ? -1 : Math.max(0, framing),
    };
  }

  const role: MessageRole = {
    pipelined: false,
    parse(section) {
      if (lineIndex.count === 0) throw new Http1Error("bad-status-line", "empty status line");
      const lineEnd = section.from + (lineIndex.ends[0] as number);
      const line = readStatusLine(section.buffer, section.from, lineEnd, lineIndex.hashes[0] as number);
      accept(line, readHeaderBlock(section, 1));
    },
    framing: () => framing,
    deliver() {
      if (head.status < 200) {
        informed = true;
        if (framing === SWITCHED) awaiting = false;
        handler.onInformational(head);
      } else {
        awaiting = false;
        handler.onResponse(head);
      }
    },
    body: (chunk) => handler.onBody(chunk),
    end(trailers, dirty) {
      if (dirty) parser.keepAlive = false;
      handler.onEnd(trailers);
    },
    error: (error) => handler.onError(asResponse(error)),
  };
  const reader = createMessageReader(role, limits, true);

  const parser = {
    expect(requestMethod: string, upgrade = false): void {
      if (awaiting) throw new Error("expect before the last response");
      method = requestMethod;
      offered = upgrade;
      awaiting = true;
      informed = false;
      reader.resume();
    },
    push: reader.push,
    finish(): void {
      if (awaiting && reader.idle) {
        const code = informed ? "truncated" : "no-response";
        reader.close();
        handler.onError(new Http1Error(code, "the connection ended before a response", { status: 502 }));
      } else reader.finish();
    },
    takeRemainder: reader.takeRemainder,
    close: reader.close,
    get headMark() {
      return reader.headMark;
    },
    get bodyMark() {
      return reader.bodyMark;
    },
    keepAlive: true,
    version: 1 as 0 | 1,
  };
  return parser;
}
