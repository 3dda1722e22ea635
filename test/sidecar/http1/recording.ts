/**
 * Runs a parser over pieces of a byte stream and writes down what it said. The pieces pass through one buffer that is
 * overwritten after every push, as a socket's read buffer is: whoever keeps a view of it is found out.
 */
import type { Field } from "../../../common/http/field.ts";
import type { ResponseHead } from "../../../common/http/message.ts";
import { defaultLimits, type Http1Limits } from "../../../sidecar/http1/limits.ts";
import { createRequestParser } from "../../../sidecar/http1/request-parser.ts";
import { createResponseParser } from "../../../sidecar/http1/response-parser.ts";

export type Lines = readonly (readonly [name: string, value: string])[];

export type Heard =
  | {
      readonly request: string;
      readonly authority: string;
      readonly scheme: string;
      readonly fields: Lines;
      readonly contentLength: number;
      readonly flags: string;
    }
  | { readonly status: number; readonly fields: Lines; readonly contentLength: number; readonly flags: string }
  | { readonly body: string }
  | { readonly end: Lines }
  | { readonly error: string; readonly status: number };

export function bytes(text: string): Buffer {
  return Buffer.from(text, "latin1");
}

export function lines(fields: readonly Field[]): Lines {
  return fields.map((field) => [field.name, field.value] as const);
}

/** Adjacent pieces of a body are one: where a body is cut is nobody's business. */
function hear(heard: Heard[], event: Heard): void {
  const last = heard.at(-1);
  if ("body" in event && last !== undefined && "body" in last) heard[heard.length - 1] = { body: last.body + event.body };
  else heard.push(event);
}

function feed(pieces: readonly Buffer[], push: (chunk: Buffer) => void): void {
  const size = pieces.reduce((most, piece) => Math.max(most, piece.length), 1);
  const socketBuffer = Buffer.alloc(size + 8);
  for (const [index, piece] of pieces.entries()) {
    const offset = index % 5;
    piece.copy(socketBuffer, offset);
    push(socketBuffer.subarray(offset, offset + piece.length));
    socketBuffer.fill("\n");
  }
}

export function recordRequests(pieces: readonly Buffer[], limits: Http1Limits = defaultLimits): Heard[] {
  const heard: Heard[] = [];
  const parser = createRequestParser(
    {
      onRequest(head) {
        const flags = [
          parser.keepAlive ? "keep" : "close",
          ...(parser.expectContinue ? ["continue"] : []),
          ...(parser.upgrade === "" ? [] : [`upgrade=${parser.upgrade}`]),
        ];
        hear(heard, {
          request: `${head.method} ${head.target} ${parser.version}`,
          authority: head.authority,
          scheme: head.scheme,
          fields: lines(head.fields),
          contentLength: head.contentLength,
          flags: flags.join(" "),
        });
      },
      onBody: (chunk) => hear(heard, { body: chunk.toString("latin1") }),
      onEnd(trailers) {
        hear(heard, { end: lines(trailers) });
        parser.resume();
      },
      onError: (error) => hear(heard, { error: error.code, status: error.status }),
    },
    limits,
  );
  feed(pieces, (chunk) => parser.push(chunk));
  parser.finish();
  return heard;
}

export interface ResponseOptions {
  readonly method?: string;
  readonly upgrade?: boolean;
  readonly limits?: Http1Limits;
}

export function recordResponses(pieces: readonly Buffer[], options: ResponseOptions = {}): Heard[] {
  const heard: Heard[] = [];
  const hearHead = (head: ResponseHead) =>
    hear(heard, {
      status: head.status,
      fields: lines(head.fields),
      contentLength: head.contentLength,
      flags: `${parser.version} ${parser.keepAlive ? "keep" : "close"}`,
    });
  const parser = createResponseParser(
    {
      onInformational: hearHead,
      onResponse: hearHead,
      onBody: (chunk) => hear(heard, { body: chunk.toString("latin1") }),
      onEnd: (trailers) => hear(heard, { end: lines(trailers) }),
      onError: (error) => hear(heard, { error: error.code, status: error.status }),
    },
    options.limits,
  );
  parser.expect(options.method ?? "GET", options.upgrade);
  feed(pieces, (chunk) => parser.push(chunk));
  parser.finish();
  return heard;
}

/** Every way to cut `whole` in two, and byte by byte. */
export function* cuts(whole: Buffer): Generator<Buffer[]> {
  for (let at = 1; at < whole.length; at++) yield [whole.subarray(0, at), whole.subarray(at)];
  yield Array.from(whole, (byte) => Buffer.from([byte]));
}
