/** h2spec's http2 group, sections 6 and 7: every frame, and the codes of errors. */
import { expect } from "vitest";
import type { Http2ErrorName } from "../../../../sidecar/http2/error.ts";
import { FrameFlag, FrameType } from "../../../../sidecar/http2/frames.ts";
import { block, continuation, data, frame, get, goaway, headers, ping, post, reset, settings, uint32, windowUpdate } from "../wire.ts";
import { answerBody, bodyLengths, expectAlive, expectAnswer, expectFatal, expectReset, site, type Case } from "./case.ts";

const head = block(...get);
const openHead = headers(1, block(...post), FrameFlag.END_HEADERS);
const begun = headers(1, head, FrameFlag.END_STREAM);
const ended = FrameFlag.END_STREAM;
const priority = frame(FrameType.PRIORITY, 0, 1, [0, 0, 0, 0, 255]);
const largest = 0x7fff_ffff;

/** The last of `bytes` ends the connection. */
const fatal = (section: string, what: string, code: Http2ErrorName, ...bytes: Buffer[]): Case => ({
  section,
  what,
  run() {
    const server = site();
    server.send(...bytes.slice(0, -1));
    expectFatal(server, server.send(bytes.at(-1)!), code);
  },
});

/** The last of `bytes` ends stream 1. */
const resets = (section: string, what: string, code: Http2ErrorName, ...bytes: Buffer[]): Case => ({
  section,
  what,
  run() {
    const server = site();
    server.send(...bytes.slice(0, -1));
    expectReset(server, server.send(bytes.at(-1)!), code);
  },
});

const bodies: readonly Case[] = [
  fatal("http2/6.1", "DATA on stream 0", "PROTOCOL_ERROR", data(0, "test")),
  {
    section: "http2/6.1",
    what: "DATA on a stream that is neither open nor half-closed (local)",
    run() {
      const server = site({}, true);
      server.send(headers(1, head));
      expectReset(server, server.send(data(1, "test", ended)), "STREAM_CLOSED");
    },
  },
  fatal("http2/6.1", "DATA with more padding than payload", "PROTOCOL_ERROR", openHead, data(1, [6, 1, 2, 3, 4], FrameFlag.PADDED)),
  fatal("http2/6.2", "HEADERS without END_HEADERS, then PRIORITY", "PROTOCOL_ERROR", begun, priority),
  fatal("http2/6.2", "HEADERS without END_HEADERS, then those of another stream", "PROTOCOL_ERROR", begun, headers(3, head)),
  fatal("http2/6.2", "HEADERS on stream 0", "PROTOCOL_ERROR", headers(0, head)),
  fatal(
    "http2/6.2",
    "HEADERS with more padding than payload",
    "PROTOCOL_ERROR",
    headers(1, Buffer.concat([Buffer.from([head.length + 1]), head]), 0x0d),
  ),
  fatal("http2/6.3", "PRIORITY on stream 0", "PROTOCOL_ERROR", frame(FrameType.PRIORITY, 0, 0, [0, 0, 0, 0, 255])),
  resets("http2/6.3", "PRIORITY of four bytes", "FRAME_SIZE_ERROR", openHead, frame(FrameType.PRIORITY, 0, 1, [0, 0, 0, 1])),
  fatal("http2/6.4", "RST_STREAM on stream 0", "PROTOCOL_ERROR", reset(0)),
  fatal("http2/6.4", "RST_STREAM on an idle stream", "PROTOCOL_ERROR", reset(1)),
  fatal("http2/6.4", "RST_STREAM of three bytes", "FRAME_SIZE_ERROR", openHead, frame(FrameType.RST_STREAM, 0, 1, [0, 0, 8])),
];

const settingsCases: readonly Case[] = [
  fatal("http2/6.5", "SETTINGS with ACK and a payload", "FRAME_SIZE_ERROR", frame(FrameType.SETTINGS, FrameFlag.ACK, 0, [0])),
  fatal("http2/6.5", "SETTINGS on a stream", "PROTOCOL_ERROR", frame(FrameType.SETTINGS, 0, 1, Buffer.alloc(6))),
  fatal("http2/6.5", "SETTINGS of three bytes", "FRAME_SIZE_ERROR", frame(FrameType.SETTINGS, 0, 0, [0, 3, 0])),
  fatal("http2/6.5.2", "ENABLE_PUSH 2", "PROTOCOL_ERROR", settings([2, 2])),
  fatal("http2/6.5.2", "INITIAL_WINDOW_SIZE 2^31", "FLOW_CONTROL_ERROR", settings([4, largest + 1])),
  fatal("http2/6.5.2", "MAX_FRAME_SIZE 2^14 - 1", "PROTOCOL_ERROR", settings([5, 16_383])),
  fatal("http2/6.5.2", "MAX_FRAME_SIZE 2^24", "PROTOCOL_ERROR", settings([5, 16_777_216])),
  {
    section: "http2/6.5.2",
    what: "a setting nobody knows is ignored",
    run() {
      const server = site();
      expect(server.send(settings([0xff, 1]))).toMatchObject([{ type: FrameType.SETTINGS, flags: FrameFlag.ACK }]);
      expectAlive(server);
    },
  },
  {
    section: "http2/6.5.3",
    what: "values count in their order",
    run() {
      const server = site();
      expect(bodyLengths(server.send(settings([4, 100], [4, 1]), headers(1, head)))).toEqual([1]);
    },
  },
  {
    section: "http2/6.5.3",
    what: "SETTINGS are acknowledged",
    run: () =>
      expect(site().send(settings([2, 0]))).toMatchObject([{ type: FrameType.SETTINGS, flags: FrameFlag.ACK, payload: Buffer.alloc(0) }]),
  },
];

const connection: readonly Case[] = [
  { section: "http2/6.7", what: "PING is answered with its payload", run: () => expectAlive(site()) },
  {
    section: "http2/6.7",
    what: "PING with ACK is not answered",
    run() {
      const server = site();
      expect(server.send(ping(FrameFlag.ACK, Buffer.from("invalid.")))).toEqual([]);
      expectAlive(server);
    },
  },
  fatal("http2/6.7", "PING on a stream", "PROTOCOL_ERROR", frame(FrameType.PING, 0, 1, Buffer.alloc(8))),
  fatal("http2/6.7", "PING of six bytes", "FRAME_SIZE_ERROR", ping(0, Buffer.alloc(6))),
  fatal("http2/6.8", "GOAWAY on a stream", "PROTOCOL_ERROR", frame(FrameType.GOAWAY, 0, 1, Buffer.alloc(8))),
];

const windows: readonly Case[] = [
  fatal("http2/6.9", "WINDOW_UPDATE of nothing", "PROTOCOL_ERROR", windowUpdate(0, 0)),
  resets("http2/6.9", "WINDOW_UPDATE of nothing on a stream", "PROTOCOL_ERROR", openHead, windowUpdate(1, 0)),
  fatal("http2/6.9", "WINDOW_UPDATE of three bytes", "FRAME_SIZE_ERROR", frame(FrameType.WINDOW_UPDATE, 0, 0, [0, 0, 1])),
  {
    section: "http2/6.9.1",
    what: "a window of one byte lets one byte through",
    run() {
      const server = site();
      const frames = server.send(settings([4, 1]), headers(1, head));
      expect(bodyLengths(frames)).toEqual([1]);
      expect(bodyLengths(server.send(windowUpdate(1, 100)))).toEqual([answerBody.length - 1]);
    },
  },
  fatal(
    "http2/6.9.1",
    "the connection's window over 2^31-1",
    "FLOW_CONTROL_ERROR",
    Buffer.concat([windowUpdate(0, largest), windowUpdate(0, largest)]),
  ),
  resets(
    "http2/6.9.1",
    "a stream's window over 2^31-1",
    "FLOW_CONTROL_ERROR",
    openHead,
    Buffer.concat([windowUpdate(1, largest), windowUpdate(1, largest)]),
  ),
  {
    section: "http2/6.9.2",
    what: "INITIAL_WINDOW_SIZE moves the windows of open streams",
    run() {
      const server = site();
      expect(bodyLengths(server.send(settings([4, 0]), headers(1, head)))).toEqual([]);
      expect(bodyLengths(server.send(settings([4, 1])))).toEqual([1]);
    },
  },
  {
    section: "http2/6.9.2",
    what: "a window may become negative",
    run() {
      const server = site();
      expect(bodyLengths(server.send(settings([4, 3]), headers(1, head)))).toEqual([3]);
      expect(bodyLengths(server.send(settings([4, 2])))).toEqual([]);
      // From -1 on: three make two.
      expect(bodyLengths(server.send(windowUpdate(1, 1)))).toEqual([]);
      expect(bodyLengths(server.send(windowUpdate(1, 2)))).toEqual([2]);
    },
  },
  fatal("http2/6.9.2", "INITIAL_WINDOW_SIZE over 2^31-1", "FLOW_CONTROL_ERROR", settings([4, 0xffff_ffff])),
];

const blocks: readonly Case[] = [
  {
    section: "http2/6.10",
    what: "several CONTINUATIONs",
    run() {
      const server = site();
      expectAnswer(server, server.send(begun, continuation(1, block(["a", "b"]), 0), continuation(1, block(["c", "d"]))));
    },
  },
  fatal(
    "http2/6.10",
    "CONTINUATION, then another frame",
    "PROTOCOL_ERROR",
    begun,
    continuation(1, block(["a", "b"]), 0),
    data(1, "test", ended),
  ),
  fatal("http2/6.10", "CONTINUATION on stream 0", "PROTOCOL_ERROR", begun, continuation(0, block(["a", "b"]))),
  fatal(
    "http2/6.10",
    "CONTINUATION behind HEADERS with END_HEADERS",
    "PROTOCOL_ERROR",
    headers(1, head),
    continuation(1, block(["a", "b"])),
  ),
  fatal(
    "http2/6.10",
    "CONTINUATION behind CONTINUATION with END_HEADERS",
    "PROTOCOL_ERROR",
    begun,
    continuation(1, block(["a", "b"])),
    continuation(1, block(["c", "d"])),
  ),
  fatal("http2/6.10", "CONTINUATION behind DATA", "PROTOCOL_ERROR", openHead, data(1, "test"), continuation(1, block(["a", "b"]))),
];

const codes: readonly Case[] = [
  {
    section: "http2/7",
    what: "GOAWAY with a code nobody knows",
    run() {
      const server = site();
      expect(server.send(goaway(0, 0xff))).toEqual([]);
      expect(server.events).toEqual([{ event: "goaway", last: 0, code: "INTERNAL_ERROR", debug: "" }]);
      expectAlive(server);
    },
  },
  {
    section: "http2/7",
    what: "RST_STREAM with a code nobody knows",
    run() {
      const server = site();
      expect(server.send(openHead, frame(FrameType.RST_STREAM, 0, 1, uint32(0xff)))).toEqual([]);
      expect(server.events.at(-1)).toEqual({ event: "reset", id: 1, code: "INTERNAL_ERROR", byPeer: true });
      expectAlive(server);
    },
  },
];

export const frames: readonly Case[] = [...bodies, ...settingsCases, ...connection, ...windows, ...blocks, ...codes];
