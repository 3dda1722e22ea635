/** h2spec's http2 group, sections 3 to 5: the preface, frames as such, the states of streams, errors. */
import { expect } from "vitest";
import { clientPreface, FrameFlag, FrameType } from "../../../../sidecar/http2/frames.ts";
import {
  block,
  continuation,
  data,
  fresh,
  frame,
  get,
  headers,
  ping,
  post,
  reset,
  settings,
  uint32,
  windowUpdate,
  type Conversation,
} from "../wire.ts";
import { expectAlive, expectAnswer, expectFatal, expectReset, site, type Case } from "./case.ts";

const head = block(...get);
const openHead = headers(1, block(...post), FrameFlag.END_HEADERS);
const ended = FrameFlag.END_STREAM;
const priorityOf = (id: number, dependsOn: number): Buffer =>
  frame(FrameType.PRIORITY, 0, id, Buffer.concat([uint32(dependsOn), Buffer.from([255])]));

const starting: readonly Case[] = [
  {
    section: "http2/3.5",
    what: "the preface is answered by SETTINGS first",
    run() {
      const server = fresh("server");
      expect(server.send(clientPreface, settings())[0]).toMatchObject({ type: FrameType.SETTINGS, flags: 0 });
    },
  },
  {
    section: "http2/3.5",
    what: "a wrong preface ends the connection",
    run() {
      const server = fresh("server");
      const frames = server.send(Buffer.from("INVALID CONNECTION PREFACE\r\n\r\n"));
      expect(frames.at(-1)).toMatchObject({ type: FrameType.GOAWAY });
      expect(server.events).toEqual([{ event: "fatal", code: "PROTOCOL_ERROR" }]);
    },
  },
];

const frames: readonly Case[] = [
  {
    section: "http2/4.1",
    what: "a frame of unknown type is ignored",
    run() {
      const server = site();
      expect(server.send(frame(0xff, 0, 0, Buffer.alloc(8)))).toEqual([]);
      expectAlive(server);
    },
  },
  {
    section: "http2/4.1",
    what: "undefined flags are ignored",
    run() {
      const answer = site().send(frame(FrameType.PING, 0x16, 0, Buffer.from("h2spec..")));
      expect(answer).toMatchObject([{ type: FrameType.PING, flags: FrameFlag.ACK, payload: Buffer.from("h2spec..") }]);
    },
  },
  {
    section: "http2/4.1",
    what: "the reserved bit of a stream id is ignored",
    run() {
      const answer = site().send(frame(FrameType.PING, 0, 0x8000_0000, Buffer.from("h2spec..")));
      expect(answer).toMatchObject([{ type: FrameType.PING, flags: FrameFlag.ACK, id: 0, payload: Buffer.from("h2spec..") }]);
    },
  },
  {
    section: "http2/4.2",
    what: "DATA of 2^14 bytes is taken",
    run() {
      const server = site();
      expectAnswer(server, server.send(openHead, data(1, Buffer.alloc(16_384), ended)));
    },
  },
  {
    section: "http2/4.2",
    what: "DATA over the largest frame size is not",
    run() {
      const server = site();
      expectFatal(server, server.send(openHead, data(1, Buffer.alloc(16_385), ended)), "FRAME_SIZE_ERROR");
    },
  },
  {
    section: "http2/4.2",
    what: "HEADERS over the largest frame size are not",
    run() {
      const server = site();
      const large = block(...get, ["x-large", "v".repeat(16_384)]);
      expectFatal(server, server.send(headers(1, large)), "FRAME_SIZE_ERROR");
      expect(server.events).toHaveLength(1);
    },
  },
  {
    section: "http2/4.3",
    what: "a field block that cannot be decoded",
    run() {
      const server = site();
      // A literal whose length goes beyond its block.
      expectFatal(server, server.send(headers(1, Buffer.concat([head, Buffer.from([0x40, 0x7f, 0xff, 0x01])]))), "COMPRESSION_ERROR");
    },
  },
  {
    section: "http2/4.3",
    what: "PRIORITY within a field block",
    run() {
      const server = site();
      expectFatal(server, server.send(headers(1, head, ended), priorityOf(1, 0), continuation(1, [])), "PROTOCOL_ERROR");
    },
  },
  {
    section: "http2/4.3",
    what: "HEADERS of another stream within a field block",
    run() {
      const server = site();
      expectFatal(server, server.send(headers(1, head, ended), headers(3, head), continuation(1, [])), "PROTOCOL_ERROR");
    },
  },
];

/** What comes first, what then ends the connection, and how. */
const fatal = (section: string, what: string, open: readonly Buffer[], then: Buffer, code: Parameters<typeof expectFatal>[2]): Case => ({
  section,
  what,
  run() {
    const server = site({}, what.startsWith("half-closed"));
    server.send(...open);
    expectFatal(server, server.send(then), code);
  },
});

/** The same, of what ends a stream. */
const resets = (section: string, what: string, open: readonly Buffer[], then: Buffer, code: Parameters<typeof expectReset>[2]): Case => ({
  section,
  what,
  run() {
    const server = site({}, what.startsWith("half-closed"));
    server.send(...open);
    expectReset(server, server.send(then), code);
  },
});

const whole = headers(1, head);
const rest = continuation(1, block(["x", "y"]));

const states: readonly Case[] = [
  fatal("http2/5.1", "idle: DATA", [], data(1, "test", ended), "PROTOCOL_ERROR"),
  fatal("http2/5.1", "idle: RST_STREAM", [], reset(1), "PROTOCOL_ERROR"),
  fatal("http2/5.1", "idle: WINDOW_UPDATE", [], windowUpdate(1, 100), "PROTOCOL_ERROR"),
  fatal("http2/5.1", "idle: CONTINUATION", [], continuation(1, head), "PROTOCOL_ERROR"),
  resets("http2/5.1", "half-closed (remote): DATA", [whole], data(1, "test", ended), "STREAM_CLOSED"),
  resets("http2/5.1", "half-closed (remote): HEADERS", [whole], headers(1, head), "STREAM_CLOSED"),
  fatal("http2/5.1", "half-closed (remote): CONTINUATION", [whole], rest, "PROTOCOL_ERROR"),
  resets("http2/5.1", "closed by RST_STREAM: DATA", [openHead, reset(1)], data(1, "test", ended), "STREAM_CLOSED"),
  resets("http2/5.1", "closed by RST_STREAM: HEADERS", [openHead, reset(1)], headers(1, head), "STREAM_CLOSED"),
  fatal("http2/5.1", "closed by RST_STREAM: CONTINUATION", [openHead, reset(1)], rest, "PROTOCOL_ERROR"),
  fatal("http2/5.1", "closed: DATA", [whole], data(1, "test", ended), "STREAM_CLOSED"),
  fatal("http2/5.1", "closed: HEADERS", [whole], headers(1, head), "STREAM_CLOSED"),
  fatal("http2/5.1", "closed: CONTINUATION", [whole], rest, "PROTOCOL_ERROR"),
  fatal("http2/5.1.1", "an even stream id", [], headers(2, head), "PROTOCOL_ERROR"),
  fatal("http2/5.1.1", "a stream id below an earlier one", [headers(5, head)], headers(3, head), "PROTOCOL_ERROR"),
  {
    section: "http2/5.1.2",
    what: "streams over the advertised limit are refused",
    run() {
      const server: Conversation = site({ concurrentStreams: 100 }, true);
      const frames = server.send(...Array.from({ length: 101 }, (_, i) => headers(2 * i + 1, head)));
      expectReset(server, frames, "REFUSED_STREAM", 201);
      expect(server.events.filter(({ event }) => event === "request")).toHaveLength(100);
    },
  },
  fatal(
    "http2/5.3.1",
    "HEADERS of a stream that depends on itself",
    [],
    headers(1, Buffer.concat([uint32(1), Buffer.from([255]), head]), 0x25),
    "PROTOCOL_ERROR",
  ),
  fatal("http2/5.3.1", "PRIORITY of a stream that depends on itself", [], priorityOf(2, 2), "PROTOCOL_ERROR"),
  fatal("http2/5.4.1", "an error of the connection: GOAWAY, then nothing more", [], ping(0, Buffer.alloc(6)), "FRAME_SIZE_ERROR"),
  {
    section: "http2/5.5",
    what: "an extension frame nobody knows is ignored",
    run() {
      const server = site();
      expect(server.send(frame(0x20, 0, 3, Buffer.alloc(8)))).toEqual([]);
      expectAnswer(server, server.send(whole));
    },
  },
  fatal(
    "http2/5.5",
    "an extension frame within a field block",
    [headers(1, head, ended)],
    frame(0x20, 0, 1, Buffer.alloc(8)),
    "PROTOCOL_ERROR",
  ),
];

export const streams: readonly Case[] = [...starting, ...frames, ...states];
