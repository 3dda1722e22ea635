/** A case of h2spec's list, and what its server is to do. Sections and numbers are h2spec's (of RFC 7540 and RFC 7541); what a case sends is ours. */
import { expect } from "vitest";
import type { Http2ErrorName } from "../../../../sidecar/http2/error.ts";
import type { Http2Limits, Http2Stream } from "../../../../sidecar/http2/connection.ts";
import { FrameFlag, FrameType } from "../../../../sidecar/http2/frames.ts";
import { connectionError, openServer, ping, streamErrors, type Conversation, type Frame } from "../wire.ts";

export interface Case {
  /** Section, `group/section`; its cases are numbered in the order they stand in. */
  readonly section: string;
  readonly what: string;
  readonly run: () => void;
}

/** The body of every answer. */
export const answerBody = "hello";

/** A server that answers every request that has ended with 200 and a body; `holds`: one that answers nothing. */
export function site(limits: Partial<Http2Limits> = {}, holds = false): Conversation {
  const answer = (stream: Http2Stream): void => {
    if (holds) return;
    server.connection.respond(stream, 200, [], false);
    server.connection.sendData(stream, Buffer.from(answerBody), true);
  };
  const server: Conversation = openServer(limits, {
    onRequest: (stream, _, end) => end && answer(stream),
    onData(stream, chunk, end) {
      server.connection.consumed(stream, chunk.length);
      if (end) answer(stream);
    },
    onTrailers: answer,
  });
  return server;
}

/** The stream is answered in full, and the connection goes on. */
export function expectAnswer(server: Conversation, frames: readonly Frame[], id = 1): void {
  const own = frames.filter((sent) => sent.id === id && sent.type !== FrameType.WINDOW_UPDATE);
  expect(own.map(({ type }) => type)).toEqual([FrameType.HEADERS, FrameType.DATA]);
  expect(own[1]).toMatchObject({ flags: FrameFlag.END_STREAM, payload: Buffer.from(answerBody) });
  expectAlive(server);
}

export function expectAlive(server: Conversation): void {
  expect(server.send(ping(0, Buffer.from("h2spec--")))).toEqual([
    { type: FrameType.PING, flags: FrameFlag.ACK, id: 0, payload: Buffer.from("h2spec--") },
  ]);
}

/** The connection ends with that code, and no message has reached the owner. */
export function expectFatal(server: Conversation, frames: readonly Frame[], code: Http2ErrorName): void {
  expect(connectionError(server, frames)).toBe(code);
}

/** The stream, and it alone, is reset with that code. */
export function expectReset(server: Conversation, frames: readonly Frame[], code: Http2ErrorName, id = 1): void {
  expect(streamErrors(server, frames)).toEqual([[id, code]]);
}

/** What was answered of bodies, by length. */
export function bodyLengths(frames: readonly Frame[]): number[] {
  return frames.filter(({ type }) => type === FrameType.DATA).map(({ payload }) => payload.length);
}
