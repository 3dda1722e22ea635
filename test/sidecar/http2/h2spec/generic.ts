/** h2spec's generic group: what every server has to take. */
import { expect } from "vitest";
import { clientPreface, FrameFlag, FrameType } from "../../../../sidecar/http2/frames.ts";
import { block, continuation, data, frame, fresh, get, goaway, headers, post, reset, settings, uint32, windowUpdate } from "../wire.ts";
import { expectAlive, expectAnswer, site, type Case } from "./case.ts";

const head = block(...get);
const openHead = headers(1, block(...post), FrameFlag.END_HEADERS);
const ended = FrameFlag.END_STREAM;

const priority = (id: number, dependsOn: number, weight: number, exclusive = false): Buffer =>
  frame(FrameType.PRIORITY, 0, id, Buffer.concat([uint32(exclusive ? dependsOn + 0x8000_0000 : dependsOn), Buffer.from([weight])]));

/** A request that is answered whatever comes before or with it. */
const answered = (section: string, what: string, ...bytes: Buffer[]): Case => ({
  section,
  what,
  run() {
    const server = site();
    expectAnswer(server, server.send(...bytes));
  },
});

const streams: readonly Case[] = [
  {
    section: "generic/1",
    what: "the client's preface is answered by SETTINGS and its acknowledgement",
    run() {
      const server = fresh("server");
      const [first, ...others] = server.send(clientPreface, settings());
      expect(first).toMatchObject({ type: FrameType.SETTINGS, flags: 0, id: 0 });
      expect(others).toContainEqual({ type: FrameType.SETTINGS, flags: FrameFlag.ACK, id: 0, payload: Buffer.alloc(0) });
      expectAlive(server);
    },
  },
  answered("generic/2", "PRIORITY on an idle stream", priority(1, 0, 255), headers(1, head)),
  {
    section: "generic/2",
    what: "WINDOW_UPDATE on a half-closed (remote) stream",
    run() {
      const server = site();
      const before = server.send(settings([4, 0]), headers(1, head));
      expectAnswer(server, [...before, ...server.send(windowUpdate(1, 100))]);
    },
  },
  {
    section: "generic/2",
    what: "PRIORITY on a half-closed (remote) stream",
    run() {
      const server = site();
      const before = server.send(settings([4, 0]), headers(1, head));
      expectAnswer(server, [...before, ...server.send(priority(1, 0, 255)), ...server.send(windowUpdate(1, 100))]);
    },
  },
  {
    section: "generic/2",
    what: "RST_STREAM on a half-closed (remote) stream",
    run() {
      const server = site({}, true);
      server.send(headers(1, head), reset(1));
      expect(server.connection.streamCount()).toBe(0);
      expectAlive(server);
    },
  },
  {
    section: "generic/2",
    what: "PRIORITY on a closed stream",
    run() {
      const server = site();
      expectAnswer(server, server.send(headers(1, head)));
      expect(server.send(priority(1, 0, 255))).toEqual([]);
      expectAlive(server);
    },
  },
];

const frames: readonly Case[] = [
  answered("generic/3.1", "one DATA frame", openHead, data(1, "test", ended)),
  answered("generic/3.1", "several DATA frames", openHead, data(1, "te"), data(1, "st", ended)),
  answered("generic/3.1", "DATA with padding", openHead, data(1, "\u0004test\0\0\0\0", FrameFlag.PADDED | ended)),
  answered("generic/3.2", "HEADERS", headers(1, head)),
  answered("generic/3.2", "HEADERS with padding", headers(1, Buffer.concat([Buffer.from([3]), head, Buffer.alloc(3)]), 0x0d)),
  answered("generic/3.2", "HEADERS with a priority", headers(1, Buffer.concat([uint32(0), Buffer.from([255]), head]), 0x25)),
  answered("generic/3.3", "PRIORITY of weight 1", priority(1, 0, 0), headers(1, head)),
  answered("generic/3.3", "PRIORITY of weight 256", priority(1, 0, 255), headers(1, head)),
  answered("generic/3.3", "PRIORITY that depends on a stream", priority(1, 3, 255), headers(1, head)),
  answered("generic/3.3", "PRIORITY that excludes others", priority(1, 3, 255, true), headers(1, head)),
  answered("generic/3.3", "PRIORITY on an idle stream, HEADERS on one before it", priority(3, 0, 255), headers(1, head)),
  {
    section: "generic/3.4",
    what: "RST_STREAM",
    run() {
      const server = site();
      expect(server.send(openHead, reset(1))).toEqual([]);
      expectAlive(server);
    },
  },
  {
    section: "generic/3.5",
    what: "SETTINGS",
    run() {
      const server = site();
      expect(server.send(settings([3, 100]))).toMatchObject([{ type: FrameType.SETTINGS, flags: FrameFlag.ACK }]);
      expectAlive(server);
    },
  },
  { section: "generic/3.7", what: "PING", run: () => expectAlive(site()) },
  {
    section: "generic/3.8",
    what: "GOAWAY",
    run() {
      const server = site();
      expect(server.send(goaway(0))).toEqual([]);
      expectAlive(server);
    },
  },
  answered("generic/3.9", "WINDOW_UPDATE on the connection", windowUpdate(0, 1), headers(1, head)),
  answered("generic/3.9", "WINDOW_UPDATE on a stream", openHead, windowUpdate(1, 1), data(1, "", ended)),
  answered("generic/3.10", "one CONTINUATION", headers(1, head.subarray(0, 9), ended), continuation(1, head.subarray(9))),
  answered(
    "generic/3.10",
    "several CONTINUATIONs",
    headers(1, head.subarray(0, 9), ended),
    continuation(1, head.subarray(9, 20), 0),
    continuation(1, head.subarray(20)),
  ),
];

const messages: readonly Case[] = [
  answered("generic/4", "GET", headers(1, head)),
  {
    section: "generic/4",
    what: "HEAD",
    run() {
      const server = site({}, true);
      server.send(headers(1, block([":method", "HEAD"], ...get.slice(1))));
      expect(server.events).toMatchObject([{ event: "request", method: "HEAD", end: true }]);
      server.connection.respond(server.streams.get(1)!, 200, [], true);
      expect(server.output()).toMatchObject([{ type: FrameType.HEADERS, id: 1, flags: FrameFlag.END_HEADERS | ended }]);
      expectAlive(server);
    },
  },
  answered("generic/4", "POST", openHead, data(1, "test", ended)),
  {
    section: "generic/4",
    what: "POST with trailers",
    run() {
      const server = site();
      expectAnswer(server, server.send(openHead, data(1, "test"), headers(1, block(["x-test", "ok"]))));
      expect(server.events).toContainEqual({ event: "trailers", id: 1, fields: ["x-test: ok"] });
    },
  },
];

// Strings of RFC 7541 Appendix C: as they are, and in Huffman code.
const string = (text: string): Buffer => Buffer.from([text.length, ...Buffer.from(text, "latin1")]);
const name = string("custom-key");
const value = string("custom-value");
const packedName = Buffer.from("8825a849e95ba97d7f", "hex");
const packedValue = Buffer.from("8925a849e95bb8e8b4bf", "hex");
/** The number of "user-agent" in the static table. */
const USER_AGENT = 58;
const asIndexed = "user-agent: custom-value";
const asNew = "custom-key: custom-value";

function representation(what: string, expected: string, ...field: readonly (Buffer | readonly number[])[]): Case {
  const encoded = Buffer.concat(field.map((part) => Buffer.from(part)));
  return {
    section: "generic/5",
    what,
    run() {
      const server = site();
      expectAnswer(server, server.send(headers(1, Buffer.concat([head, encoded]))));
      expect(server.events[0]).toMatchObject({ event: "request", fields: [expected] });
    },
  };
}

const sizeUpdates = (what: string, ...updates: readonly number[]): Case =>
  answered("generic/5", what, headers(1, Buffer.concat([Buffer.from(updates), head])));

// A name's number in six bits or four (RFC 7541 section 6.2).
const withIndexing = [0x40 | USER_AGENT];
const withoutIndexing = [0x0f, USER_AGENT - 15];
const neverIndexed = [0x1f, USER_AGENT - 15];

const representations: readonly Case[] = [
  {
    section: "generic/5",
    what: "indexed fields",
    run() {
      const server = site();
      const authority = Buffer.concat([Buffer.from([0x41]), string("orders.shop")]);
      expectAnswer(server, server.send(headers(1, Buffer.concat([Buffer.from([0x82, 0x87, 0x84]), authority, Buffer.from([0x90])]))));
      expect(server.events[0]).toMatchObject({ method: "GET", scheme: "https", target: "/", fields: ["accept-encoding: gzip, deflate"] });
    },
  },
  representation("a literal with indexing, its name indexed", asIndexed, withIndexing, value),
  representation("a literal with indexing, its name indexed, in Huffman code", asIndexed, withIndexing, packedValue),
  representation("a literal with indexing, its name new", asNew, [0x40], name, value),
  representation("a literal with indexing, its name new, in Huffman code", asNew, [0x40], packedName, packedValue),
  representation("a literal without indexing, its name indexed", asIndexed, withoutIndexing, value),
  representation("a literal without indexing, its name indexed, in Huffman code", asIndexed, withoutIndexing, packedValue),
  representation("a literal without indexing, its name new", asNew, [0x00], name, value),
  representation("a literal without indexing, its name new, in Huffman code", asNew, [0x00], packedName, packedValue),
  representation("a literal never indexed, its name indexed", asIndexed, neverIndexed, value),
  representation("a literal never indexed, its name indexed, in Huffman code", asIndexed, neverIndexed, packedValue),
  representation("a literal never indexed, its name new", asNew, [0x10], name, value),
  representation("a literal never indexed, its name new, in Huffman code", asNew, [0x10], packedName, packedValue),
  sizeUpdates("a table size update", 0x3f, 0x61),
  sizeUpdates("two table size updates", 0x20, 0x3f, 0x61),
];

export const generic: readonly Case[] = [...streams, ...frames, ...messages, ...representations];
