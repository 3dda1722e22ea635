/** Generated conversations: what both sides are to say, whichever codec speaks for them, and how to hear it again in other cuts. */
import { hash } from "node:crypto";
import * as fc from "fast-check";
import { createField, type Field } from "../../../common/http/field.ts";
import {
  createHttp2Connection,
  type Http2Connection,
  type Http2Handler,
  type Http2Limits,
  type Http2Stream,
} from "../../../sidecar/http2/connection.ts";
import { record, type Event } from "./wire.ts";

export type Headers = readonly (readonly [name: string, value: string])[];

export interface Message {
  readonly headers: Headers;
  /** Sizes of the parts the body is sent in. */
  readonly body: readonly number[];
  readonly trailers: Headers;
}

export interface Call {
  readonly method: string;
  readonly path: string;
  readonly request: Message;
  readonly status: number;
  readonly response: Message;
}

export interface Conversation {
  readonly calls: readonly Call[];
  readonly limits: Partial<Http2Limits>;
  /** Of the peer. */
  readonly settings: { readonly initialWindowSize: number; readonly headerTableSize: number; readonly maxFrameSize: number };
}

const name = fc.oneof(
  fc.stringMatching(/^x-[a-z0-9_!]{1,6}$/),
  fc.constantFrom("accept", "content-type", "x-tenant", "x-session", "traceparent"),
);
const value = fc.oneof(
  fc.constantFrom("", "text/plain", "a  b", "t".repeat(700)),
  fc.string({ unit: "grapheme-ascii", maxLength: 40 }).map((text) => text.trim()),
);
const headers = fc.uniqueArray(fc.tuple(name, value), { selector: ([text]) => text, maxLength: 8 });
const message = fc.record({
  headers,
  body: fc.oneof(fc.constant([]), fc.array(fc.oneof(fc.nat(100), fc.nat(40_000)), { maxLength: 4 })),
  trailers: fc.oneof(fc.constant([]), headers),
});
const withoutBody: Message = { headers: [], body: [], trailers: [] };
const call: fc.Arbitrary<Call> = fc
  .record({
    method: fc.constantFrom("GET", "POST", "PUT", "DELETE", "HEAD"),
    path: fc.constantFrom("/", "/a?b=c", "/v1/orders/42", "/%61/;x"),
    request: message,
    status: fc.constantFrom(200, 201, 404, 503, 204, 304),
    response: message,
  })
  .map((made) => {
    const empty = made.method === "HEAD" || made.status === 204 || made.status === 304;
    return {
      ...made,
      request: made.method === "POST" || made.method === "PUT" ? made.request : { ...withoutBody, headers: made.request.headers },
      response: empty ? { ...withoutBody, headers: made.response.headers } : made.response,
    };
  });

export const conversation: fc.Arbitrary<Conversation> = fc.record({
  calls: fc.array(call, { minLength: 1, maxLength: 8 }),
  limits: fc.record({
    streamWindow: fc.constantFrom(20_000, 65_535, 262_144),
    connectionWindow: fc.constantFrom(65_535, 100_000, 4_194_304),
    headerTableSize: fc.constantFrom(0, 200, 4096, 65_536),
    frameSize: fc.constantFrom(16_384, 30_000),
    outputHighWater: fc.constantFrom(10_000, 262_144),
  }),
  settings: fc.record({
    initialWindowSize: fc.constantFrom(1000, 65_535, 300_000),
    headerTableSize: fc.constantFrom(0, 100, 4096, 65_536),
    maxFrameSize: fc.constantFrom(16_384, 50_000),
  }),
});

/** The parts of a body: every byte tells its place. */
export function partsOf(sizes: readonly number[]): Buffer[] {
  let at = 0;
  return sizes.map((size) => Buffer.from(Array.from({ length: size }, () => at++ % 251)));
}

export const fieldsOf = (pairs: Headers): Field[] => pairs.map(([text, content]) => createField(text, content));

/** What one side heard of a message. */
export interface Heard {
  head: string;
  headers: Headers;
  /** Its length and hash. */
  body: string;
  trailers: Headers;
}

export function digest(bytes: Buffer): string {
  return `${bytes.length} bytes ${hash("sha256", bytes)}`;
}

/** What the other side is to hear. */
export function expectedOf(head: string, { headers, body, trailers }: Message): Heard {
  return { head, headers: sorted(headers), body: digest(Buffer.concat(partsOf(body))), trailers: sorted(trailers) };
}

export function sorted(pairs: Headers): Headers {
  return pairs.toSorted(([a], [b]) => (a < b ? -1 : 1));
}

/** Puts together what a recorder heard on one stream. */
export function heardOn(events: readonly Event[], id: number): Heard {
  const chunks: Buffer[] = [];
  const heard: Heard = { head: "", headers: [], body: "", trailers: [] };
  const pairs = (lines: readonly string[]): Headers =>
    sorted(lines.map((line) => [line.slice(0, line.indexOf(": ")), line.slice(line.indexOf(": ") + 2)] as const));
  for (const event of events) {
    if (!("id" in event) || event.id !== id) continue;
    if (event.event === "request") heard.head = `${event.method} ${event.target}`;
    if (event.event === "response") heard.head = String(event.status);
    if (event.event === "request" || event.event === "response") heard.headers = pairs(event.fields);
    if (event.event === "data") chunks.push(Buffer.from(event.body, "latin1"));
    if (event.event === "trailers") heard.trailers = pairs(event.fields);
  }
  return { ...heard, body: digest(Buffer.concat(chunks)) };
}

/** A message under way on a stream of ours: the parts not given to `sendData` yet. */
interface Sending {
  parts: Buffer[];
  readonly trailers: Headers;
}

/** Sends what is left of the stream's message as far as it goes; the rest follows at `onWritable`. */
function continueMessage(connection: Http2Connection, stream: Http2Stream): void {
  const sending = stream.data as Sending;
  while (sending.parts.length > 0) {
    const part = sending.parts.shift()!;
    const last = sending.parts.length === 0 && sending.trailers.length === 0;
    if (!connection.sendData(stream, part, last) || last) return;
  }
  if (sending.trailers.length > 0) connection.sendTrailers(stream, fieldsOf(sending.trailers));
}

function isWhole({ body, trailers }: Message): boolean {
  return body.length === 0 && trailers.length === 0;
}

/** One side of ours: it hears everything, and says its part at the moments the conversation fixes. */
export interface Player {
  readonly handler: Http2Handler;
  readonly events: Event[];
  /** Takes the connection made around the handler; a client makes every request now. */
  begin(connection: Http2Connection): void;
}

/** Plays a role. `onDone` is called when a client has heard the end of every response. */
export function play(role: "client" | "server", calls: readonly Call[], onDone: () => void = () => {}): Player {
  const begun = new Map<number, Call>();
  let answered = 0;
  let connection: Http2Connection;

  function heardEnd(stream: Http2Stream): void {
    if (role === "client") {
      if (++answered === calls.length) onDone();
      return;
    }
    const call = begun.get(stream.id)!;
    stream.data = { parts: partsOf(call.response.body), trailers: call.response.trailers } satisfies Sending;
    connection.respond(stream, call.status, fieldsOf(call.response.headers), isWhole(call.response));
    if (!isWhole(call.response)) continueMessage(connection, stream);
  }

  const { handler, events } = record({
    onRequest(stream, _, ended) {
      begun.set(stream.id, calls[begun.size]!);
      if (ended) heardEnd(stream);
    },
    onResponse(stream, _, ended) {
      if (ended) heardEnd(stream);
    },
    onData(stream, chunk, ended) {
      connection.consumed(stream, chunk.length);
      if (ended) heardEnd(stream);
    },
    onTrailers: heardEnd,
    onWritable: (stream) => continueMessage(connection, stream),
  });

  return {
    handler,
    events,
    begin(made) {
      connection = made;
      if (role === "server") return;
      for (const call of calls) {
        const head = { method: call.method, scheme: "http", authority: "orders.shop", path: call.path };
        const stream = connection.request(head, fieldsOf(call.request.headers), isWhole(call.request));
        stream.data = { parts: partsOf(call.request.body), trailers: call.request.trailers } satisfies Sending;
        if (!isWhole(call.request)) continueMessage(connection, stream);
      }
    },
  };
}

/** What must not depend on how the bytes were cut: all events but those of our own sending, parts of a body put together. */
export function withoutCuts(events: readonly Event[]): Event[] {
  const kept: Event[] = [];
  for (const event of events) {
    const last = kept.at(-1);
    if (event.event === "writable") continue;
    if (event.event === "data" && last?.event === "data" && last.id === event.id && !last.end) {
      kept[kept.length - 1] = { ...last, body: last.body + event.body, end: event.end };
    } else kept.push(event);
  }
  // A failure is to be readable.
  return kept.map((event) => (event.event === "data" ? { ...event, body: digest(Buffer.from(event.body, "latin1")) } : event));
}

/**
 * Plays a role against recorded bytes, given in parts of the sizes that `cut` names in turn. The windows are wide: when credit
 * was given back, and so how far the peer could go, did depend on the cuts.
 */
export function replay(role: "client" | "server", { calls, limits }: Conversation, received: Buffer, cut: () => number): Event[] {
  const player = play(role, calls);
  const connection = createHttp2Connection({
    role,
    handler: player.handler,
    limits: { ...limits, streamWindow: 4_194_304, connectionWindow: 33_554_432 },
    now: () => 0,
  });
  player.begin(connection);
  const drain = (): void => {
    while (connection.takeOutput() !== undefined);
  };
  drain();
  for (let at = 0; at < received.length;) {
    const size = Math.min(cut(), received.length - at);
    const part = Buffer.from(received.subarray(at, at + size));
    connection.receive(part);
    // A codec that kept a view of the part would read this later.
    part.fill(0xaa);
    drain();
    at += size;
  }
  return withoutCuts(player.events);
}
