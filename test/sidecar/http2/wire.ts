/** HTTP/2 by hand: frames as bytes, a connection that records what it says, and a peer that may break any rule. */
import { expect } from "vitest";
import { errorCodeFromWire, errorName, type Http2ErrorName } from "../../../sidecar/http2/error.ts";
import {
  createHttp2Connection,
  type Http2Connection,
  type Http2Handler,
  type Http2Limits,
  type Http2Stream,
} from "../../../sidecar/http2/connection.ts";
import { clientPreface, FrameFlag, FrameType } from "../../../sidecar/http2/frames.ts";

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly id: number;
  readonly payload: Buffer;
}

export type Bytes = Buffer | readonly number[];

export function frame(type: number, flags: number, id: number, payload: Bytes = []): Buffer {
  const body = Buffer.from(payload);
  const head = Buffer.alloc(9);
  head.writeUIntBE(body.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(id, 5);
  return Buffer.concat([head, body]);
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

export const settings = (...pairs: readonly (readonly [id: number, value: number])[]): Buffer =>
  frame(
    FrameType.SETTINGS,
    0,
    0,
    Buffer.concat(pairs.map(([id, value]) => Buffer.concat([Buffer.from([id >> 8, id & 255]), uint32(value)]))),
  );
export const settingsAck = frame(FrameType.SETTINGS, FrameFlag.ACK, 0);
export const data = (id: number, payload: Bytes | string, flags = 0): Buffer =>
  frame(FrameType.DATA, flags, id, typeof payload === "string" ? Buffer.from(payload) : payload);
export const headers = (id: number, block: Bytes, flags: number = FrameFlag.END_HEADERS | FrameFlag.END_STREAM): Buffer =>
  frame(FrameType.HEADERS, flags, id, block);
export const continuation = (id: number, block: Bytes, flags: number = FrameFlag.END_HEADERS): Buffer =>
  frame(FrameType.CONTINUATION, flags, id, block);
export const reset = (id: number, code = 8): Buffer => frame(FrameType.RST_STREAM, 0, id, uint32(code));
export const ping = (flags = 0, payload: Bytes = Buffer.alloc(8)): Buffer => frame(FrameType.PING, flags, 0, payload);
export const windowUpdate = (id: number, by: number): Buffer => frame(FrameType.WINDOW_UPDATE, 0, id, uint32(by));
export const goaway = (last: number, code = 0, debug = ""): Buffer =>
  frame(FrameType.GOAWAY, 0, 0, Buffer.concat([uint32(last), uint32(code), Buffer.from(debug)]));

/** HPACK literals without indexing, names and values raw. */
export function block(...fields: readonly (readonly [name: string, value: string])[]): Buffer {
  const text = (value: string): Buffer => {
    const bytes = Buffer.from(value, "latin1");
    const length = bytes.length < 127 ? [bytes.length] : [127, ((bytes.length - 127) & 127) | 128, (bytes.length - 127) >> 7];
    return Buffer.concat([Buffer.from(length), bytes]);
  };
  return Buffer.concat(fields.flatMap(([name, value]) => [Buffer.from([0]), text(name), text(value)]));
}

export const get = [
  [":method", "GET"],
  [":scheme", "https"],
  [":path", "/"],
  [":authority", "orders.shop"],
] as const;
export const post = [[":method", "POST"], ...get.slice(1)] as const;

/** The frames in `bytes`, which must end with one. */
export function framesOf(bytes: Buffer): Frame[] {
  const frames: Frame[] = [];
  let rest = bytes;
  while (rest.length > 0) {
    const length = rest.readUIntBE(0, 3);
    expect(rest.length).toBeGreaterThanOrEqual(9 + length);
    frames.push({ type: rest[3]!, flags: rest[4]!, id: rest.readUInt32BE(5), payload: rest.subarray(9, 9 + length) });
    rest = rest.subarray(9 + length);
  }
  return frames;
}

/** What a handler was told, as plain values; bodies as latin1 text. */
export type Event =
  | {
      event: "request";
      id: number;
      method: string;
      target: string;
      authority: string;
      scheme: string;
      fields: string[];
      contentLength: number;
      end: boolean;
    }
  | { event: "response" | "informational"; id: number; status: number; fields: string[]; contentLength: number; end: boolean }
  | { event: "data"; id: number; body: string; end: boolean }
  | { event: "trailers"; id: number; fields: string[] }
  | { event: "reset"; id: number; code: Http2ErrorName; byPeer: boolean }
  | { event: "writable"; id: number }
  | { event: "goaway"; last: number; code: Http2ErrorName; debug: string }
  | { event: "settings" | "pong" }
  | { event: "fatal"; code: Http2ErrorName };

export interface Recorder {
  readonly handler: Http2Handler;
  readonly events: Event[];
  readonly streams: Map<number, Http2Stream>;
  outputs: number;
}

/** A handler that writes everything down and does nothing; `also` is called after it. */
export function record(also: Partial<Http2Handler> = {}): Recorder {
  const lines = (fields: readonly { name: string; value: string }[]): string[] => fields.map(({ name, value }) => `${name}: ${value}`);
  const events: Event[] = [];
  const streams = new Map<number, Http2Stream>();
  const recorder: Recorder = {
    events,
    streams,
    outputs: 0,
    handler: {
      onRequest(stream, head, end) {
        streams.set(stream.id, stream);
        const { method, target, authority, scheme, contentLength } = head;
        events.push({ event: "request", id: stream.id, method, target, authority, scheme, fields: lines(head.fields), contentLength, end });
        also.onRequest?.(stream, head, end);
      },
      onResponse(stream, head, end) {
        events.push({
          event: "response",
          id: stream.id,
          status: head.status,
          fields: lines(head.fields),
          contentLength: head.contentLength,
          end,
        });
        also.onResponse?.(stream, head, end);
      },
      onInformational(stream, head) {
        events.push({
          event: "informational",
          id: stream.id,
          status: head.status,
          fields: lines(head.fields),
          contentLength: head.contentLength,
          end: false,
        });
        also.onInformational?.(stream, head);
      },
      onData(stream, chunk, end) {
        events.push({ event: "data", id: stream.id, body: chunk.toString("latin1"), end });
        also.onData?.(stream, chunk, end);
      },
      onTrailers(stream, fields) {
        events.push({ event: "trailers", id: stream.id, fields: lines(fields) });
        also.onTrailers?.(stream, fields);
      },
      onRenewal: (binding) => also.onRenewal?.(binding),
      onReset(stream, code, byPeer) {
        events.push({ event: "reset", id: stream.id, code: errorName(code), byPeer });
        also.onReset?.(stream, code, byPeer);
      },
      onWritable(stream) {
        events.push({ event: "writable", id: stream.id });
        also.onWritable?.(stream);
      },
      onGoaway(last, code, debug) {
        events.push({ event: "goaway", last, code: errorName(code), debug: debug.toString("latin1") });
        also.onGoaway?.(last, code, debug);
      },
      onSettings() {
        events.push({ event: "settings" });
        also.onSettings?.();
      },
      onPong() {
        events.push({ event: "pong" });
        also.onPong?.();
      },
      onOutput() {
        recorder.outputs++;
        also.onOutput?.();
      },
      onFatal(error) {
        events.push({ event: "fatal", code: error.code });
        also.onFatal?.(error);
      },
    },
  };
  return recorder;
}

export interface Conversation extends Recorder {
  readonly connection: Http2Connection;
  /** Gives the connection bytes; returns the frames it answers with. */
  send(...bytes: readonly Buffer[]): Frame[];
  /** Frames gathered since the last look. */
  output(): Frame[];
  /** The codec's clock, ms. */
  readonly clock: { time: number };
}

function converse(role: "client" | "server", limits: Partial<Http2Limits>, also: Partial<Http2Handler>): Conversation {
  const recorder = record(also);
  const clock = { time: 0 };
  const connection = createHttp2Connection({ role, handler: recorder.handler, limits, now: () => clock.time });
  const output = (): Frame[] => framesOf(connection.takeOutput() ?? Buffer.alloc(0));
  return Object.assign(recorder, {
    clock,
    connection,
    output,
    send: (...bytes: readonly Buffer[]) => {
      connection.receive(Buffer.concat(bytes));
      return output();
    },
  });
}

/** A server past the exchange of SETTINGS, with nothing recorded yet. */
export function openServer(limits: Partial<Http2Limits> = {}, also: Partial<Http2Handler> = {}): Conversation {
  const server = converse("server", limits, also);
  server.output();
  server.send(clientPreface, settings(), settingsAck);
  server.events.length = 0;
  return server;
}

/** A client past the exchange of SETTINGS; `pairs` are the server's. */
export function openClient(
  limits: Partial<Http2Limits> = {},
  also: Partial<Http2Handler> = {},
  pairs: readonly (readonly [number, number])[] = [],
): Conversation {
  const client = converse("client", limits, also);
  client.connection.takeOutput();
  client.send(settings(...pairs), settingsAck);
  client.events.length = 0;
  return client;
}

/** A connection at its very beginning. */
export function fresh(role: "client" | "server", limits: Partial<Http2Limits> = {}): Conversation {
  return converse(role, limits, {});
}

/** The code the connection ended with: GOAWAY as the last frame, every stream gone, `onFatal` the last event, nothing after it. */
export function connectionError(conversation: Conversation, frames: readonly Frame[]): Http2ErrorName {
  const last = frames.at(-1);
  expect(last?.type, "the last frame is GOAWAY").toBe(FrameType.GOAWAY);
  const code = errorName(errorCodeFromWire(last!.payload.readUInt32BE(4)));
  expect(conversation.events.at(-1)).toEqual({ event: "fatal", code });
  expect(conversation.connection.isClosed()).toBe(true);
  expect(conversation.connection.streamCount()).toBe(0);
  expect(conversation.send(ping())).toEqual([]);
  return code;
}

/** The streams reset among `frames`, with their codes; the connection goes on. */
export function streamErrors(conversation: Conversation, frames: readonly Frame[]): [id: number, code: Http2ErrorName][] {
  expect(conversation.connection.isClosed()).toBe(false);
  const answered = conversation.send(ping());
  expect(answered.map((sent) => [sent.type, sent.flags])).toEqual([[FrameType.PING, FrameFlag.ACK]]);
  const resets = frames.filter((sent) => sent.type === FrameType.RST_STREAM);
  return resets.map((sent) => [sent.id, errorName(errorCodeFromWire(sent.payload.readUInt32BE(0)))]);
}
