/** Threats row 19: floods end in ENHANCE_YOUR_CALM, and honest traffic of the same kind does not. Memory: memory.test.ts. */
import { describe, expect, it } from "vitest";
import { createField } from "../../../common/http/field.ts";
import { Http2ErrorCode } from "../../../sidecar/http2/error.ts";
import { FrameFlag, FrameType } from "../../../sidecar/http2/frames.ts";
import {
  block,
  connectionError,
  continuation,
  data,
  frame,
  get,
  goaway,
  headers,
  openClient,
  openServer,
  ping,
  post,
  reset,
  settings,
  settingsAck,
  streamErrors,
  windowUpdate,
  type Conversation,
  type Frame,
} from "./wire.ts";

/** Gives `make(0)`, `make(1)`, … until the connection ends or `most` were given; returns the last answer. */
function flood(conversation: Conversation, most: number, make: (i: number) => Buffer): { given: number; frames: Frame[] } {
  let frames: Frame[] = [];
  let given = 0;
  while (given < most && !conversation.connection.isClosed()) frames = conversation.send(make(given++));
  return { given, frames };
}

const openPost = (id: number): Buffer => headers(id, block(...post), FrameFlag.END_HEADERS);

describe("a flood of", () => {
  it.each<[string, number, (i: number) => Buffer]>([
    ["rapid resets (CVE-2023-44487)", 1000, (i) => Buffer.concat([headers(2 * i + 3, block(...get)), reset(2 * i + 3)])],
    ["resets of streams long closed", 1000, () => reset(1)],
    ["PING", 500, () => ping()],
    ["SETTINGS", 100 - 1, () => settings([4, 65_535])],
    ["empty DATA (CVE-2019-9518)", 1000, () => data(1, [])],
    ["DATA of padding alone", 1000, () => data(1, [0], FrameFlag.PADDED)],
    ["WINDOW_UPDATE", 5000, () => windowUpdate(0, 1)],
    ["PRIORITY (CVE-2019-9513)", 1000, (i) => frame(FrameType.PRIORITY, 0, 2 * i + 3, [0, 0, 0, 0, 1])],
    ["unknown frames", 1000, () => frame(0xee, 0, 0)],
    ["malformed requests, which make us reset (CVE-2025-8671)", 500, (i) => headers(2 * i + 3, block([":method", "GET"]))],
    ["CONTINUATION (VU#421644)", 33, (i) => (i === 0 ? headers(3, block(...get), 0) : continuation(3, block(["a", "b"]), 0))],
    ["answers to PINGs that nobody sent", 500, () => ping(FrameFlag.ACK)],
    ["acknowledgements of SETTINGS", 100, () => settingsAck],
    ["GOAWAY", 100, () => goaway(0)],
    ["WINDOW_UPDATE on a stream long closed", 5000, () => windowUpdate(1, 1)],
    ["empty CONTINUATION", 33, (i) => (i === 0 ? headers(3, block(...get), 0) : continuation(3, [], 0))],
  ])("%s", (_, limit, make) => {
    const server = openServer();
    server.send(openPost(1));
    const { given, frames } = flood(server, 20_000, make);
    expect(given).toBeLessThanOrEqual(limit + 1);
    expect(given).toBeGreaterThan(limit / 2);
    expect(connectionError(server, frames)).toBe("ENHANCE_YOUR_CALM");
  });

  // MadeYouReset (CVE-2025-8671): legal requests, each followed by what forces the server to reset it, so that the work it began is lost.
  it.each<[string, (id: number) => Buffer]>([
    ["a window update of nothing", (id) => windowUpdate(id, 0)],
    ["a window too large", (id) => windowUpdate(id, 0x7fff_ffff)],
    ["a second head that ends nothing", (id) => headers(id, block(["x", "y"]), FrameFlag.END_HEADERS)],
    ["trailers with a pseudo-field", (id) => headers(id, block([":path", "/"]))],
    ["PRIORITY of a wrong length", (id) => frame(FrameType.PRIORITY, 0, id, [0, 0, 0, 0])],
    ["DATA beyond the stream's window", (id) => Buffer.concat(Array.from({ length: 5 }, () => data(id, Buffer.alloc(16_384))))],
    ["DATA behind its end", (id) => Buffer.concat([data(id, "", FrameFlag.END_STREAM), data(id, "x")])],
    ["a head behind its end", (id) => Buffer.concat([data(id, "", FrameFlag.END_STREAM), headers(id, block(["x", "y"]))])],
  ])("requests that the server must reset, by %s", (_, provoke) => {
    const server = openServer({ streamWindow: 65_535 });
    const { given, frames } = flood(server, 20_000, (i) => Buffer.concat([openPost(2 * i + 1), provoke(2 * i + 1)]));
    expect(given).toBe(501);
    expect(connectionError(server, frames)).toBe("ENHANCE_YOUR_CALM");
    const resets = server.events.filter(({ event }) => event === "reset");
    expect(resets).toHaveLength(501);
  });

  it("content-length that lies", () => {
    const server = openServer();
    const lie = (id: number): Buffer =>
      Buffer.concat([headers(id, block(...post, ["content-length", "1"]), FrameFlag.END_HEADERS), data(id, "xy")]);
    const { given, frames } = flood(server, 20_000, (i) => lie(2 * i + 1));
    expect(given).toBe(501);
    expect(connectionError(server, frames)).toBe("ENHANCE_YOUR_CALM");
  });

  it.each<[string, (id: number) => Buffer]>([
    ["heads", (id) => headers(id, block(["x", "y"]))],
    ["empty ends", (id) => data(id, "", FrameFlag.END_STREAM)],
    ["empty DATA", (id) => data(id, "")],
  ])("%s on a stream that we have reset", (_, make) => {
    const server = openServer();
    server.send(openPost(1));
    server.connection.reset(server.streams.get(1)!, Http2ErrorCode.CANCEL);
    const { given, frames } = flood(server, 20_000, () => make(1));
    expect(given).toBe(1001);
    expect(connectionError(server, frames)).toBe("ENHANCE_YOUR_CALM");
  });

  it("requests behind the end of a drain", () => {
    const server = openServer();
    server.connection.goaway(Http2ErrorCode.ENHANCE_YOUR_CALM);
    server.output();
    const { given, frames } = flood(server, 20_000, (i) => headers(2 * i + 1, block(...get)));
    expect(given).toBe(1001);
    expect(connectionError(server, frames)).toBe("ENHANCE_YOUR_CALM");
    expect(server.events.filter(({ event }) => event === "request")).toEqual([]);
  });

  it("streams over the limit", () => {
    const server = openServer();
    const { given, frames } = flood(server, 20_000, (i) => headers(2 * i + 1, block(...get)));
    expect(given).toBe(256 + 501);
    expect(server.events.filter(({ event }) => event === "request")).toHaveLength(256);
    expect(connectionError(server, frames)).toBe("ENHANCE_YOUR_CALM");
  });

  it("a field block too large, in frames of any size", () => {
    const server = openServer();
    const { given, frames } = flood(server, 100, (i) =>
      i === 0 ? headers(1, block(...get), 0) : continuation(1, Buffer.alloc(16_384), 0),
    );
    expect(given).toBe(9);
    expect(connectionError(server, frames)).toBe("ENHANCE_YOUR_CALM");
  });

  it("PINGs whose answers nobody reads ends before the memory does", () => {
    const server = openServer({ pings: 1e9, controlOutput: 10_000 });
    let given = 0;
    while (!server.connection.isClosed() && given < 10_000) {
      server.connection.receive(ping());
      given++;
    }
    expect(given).toBe(Math.floor(10_000 / 17) + 1);
    expect(server.events.at(-1)).toEqual({ event: "fatal", code: "ENHANCE_YOUR_CALM" });
  });

  it("informational responses resets their stream", () => {
    const client = openClient();
    client.connection.request({ method: "GET", scheme: "https", authority: "a", path: "/" }, [], true);
    client.output();
    const hint = headers(1, block([":status", "103"]), FrameFlag.END_HEADERS);
    expect(streamErrors(client, client.send(...Array.from({ length: 101 }, () => hint)))).toEqual([[1, "ENHANCE_YOUR_CALM"]]);
    expect(client.events.filter(({ event }) => event === "informational")).toHaveLength(100);
  });
});

/** A connection whose output nobody takes: what lies there, and what has been asked of it. */
describe("a peer that asks and does not read", () => {
  /** A server that answers every request at once, with a body if any; its output stays where it is. */
  function unread(body: number, limits: Parameters<typeof openServer>[0] = {}): Conversation {
    const server: Conversation = openServer(limits, {
      onRequest: (stream) => {
        server.connection.respond(stream, 200, [createField("x-large", "v".repeat(1000))], body === 0);
        if (body > 0) server.connection.sendData(stream, Buffer.alloc(body), true);
      },
    });
    return server;
  }

  it.each<[string, number, (id: number) => Buffer[]]>([
    ["small answers (CVE-2019-9517)", 0, (id) => [headers(id, block(...get))]],
    ["bodies", 1000, (id) => [headers(id, block(...get))]],
    ["bodies for windows of its own making (CVE-2019-9511)", 40_000, (id) => [headers(id, block(...get)), windowUpdate(id, 1_000_000)]],
    ["answers it resets", 0, (id) => [openPost(id), reset(id)]],
    ["refusals of heads too large", 0, (id) => [headers(id, block(...get, ["x", "v".repeat(2000)]))]],
  ])("gets no more than its streams' worth of %s", (what, body, make) => {
    const server = unread(body, what.startsWith("refusals") ? { headerListSize: 1000 } : {});
    let given = 0;
    while (!server.connection.isClosed() && given < 20_000) server.connection.receive(Buffer.concat(make(2 * given++ + 1)));
    expect(server.events.at(-1)).toEqual({ event: "fatal", code: "ENHANCE_YOUR_CALM" });
    expect(given).toBe(256 + 501);
    const bytes = server.connection.takeOutput()!.length;
    expect(bytes).toBeLessThan(256 * 1100 + 262_144 + 65_536 + 501 * 13);
  });

  it("gets all of them when it reads", () => {
    const server = unread(0);
    for (let id = 1; id < 20_000; id += 2) {
      server.connection.receive(headers(id, block(...get)));
      if (id % 512 === 511) server.connection.takeOutput();
    }
    expect(server.events.filter(({ event }) => event === "request")).toHaveLength(10_000);
    expect(server.connection.isClosed()).toBe(false);
  });

  it("can make the answers that wait for its windows no larger than one part each", () => {
    const server: Conversation = openServer(
      {},
      {
        onRequest(stream) {
          server.connection.respond(stream, 200, [], false);
          // An owner that heeds the answer gives one part and waits.
          expect(server.connection.sendData(stream, Buffer.alloc(16_384), false)).toBe(false);
        },
      },
    );
    server.send(settings([4, 0]));
    for (let id = 1; id < 1000; id += 2) server.send(headers(id, block(...get)));
    expect(server.connection.streamCount()).toBe(256);
    // Tiny windows: every byte of them is one frame, and there are no more frames than bytes given.
    const frames = server.send(...Array.from({ length: 256 }, (_, i) => windowUpdate(2 * i + 1, 1)));
    expect(frames).toHaveLength(256);
    expect(frames.every(({ type, payload }) => type === FrameType.DATA && payload.length === 1)).toBe(true);
    expect(server.events.filter(({ event }) => event === "writable")).toEqual([]);
    expect(server.connection.resetStalled()).toBe(0);
    server.send(windowUpdate(1, 1));
    expect(server.connection.resetStalled()).toBe(255);
    expect(server.connection.streamCount()).toBe(1);
    expect(server.connection.resetStalled()).toBe(1);
  });
});

describe("honest traffic is let through:", () => {
  it.each<[string, (i: number) => Buffer]>([
    ["PING", () => ping()],
    ["SETTINGS", () => settings()],
    ["WINDOW_UPDATE", () => windowUpdate(0, 1)],
  ])("%s, spread over time", (_, make) => {
    const server = openServer();
    for (let i = 0; i < 8_000; i++) {
      server.clock.time += 1000;
      server.send(make(i));
    }
    expect(server.connection.isClosed()).toBe(false);
  });

  it("resets among requests that end well", () => {
    const server = openServer({}, { onRequest: (stream) => stream.id % 4 === 1 && server.connection.respond(stream, 200, [], true) });
    for (let id = 1; id < 8_000; id += 4) server.send(headers(id, block(...get)), headers(id + 2, block(...get)), reset(id + 2));
    expect(server.connection.isClosed()).toBe(false);
  });

  it("a window update for every DATA frame", () => {
    const server = openServer();
    server.send(headers(1, block(...get)));
    server.connection.respond(server.streams.get(1)!, 200, [], false);
    for (let i = 0; i < 8_000; i++) {
      server.connection.sendData(server.streams.get(1)!, Buffer.alloc(100), false);
      server.send(windowUpdate(0, 100), windowUpdate(1, 100));
    }
    expect(server.connection.isClosed()).toBe(false);
  });
});

describe("a head over the limit", () => {
  const wide = block(...post, ...Array.from({ length: 80 }, (_, i) => [`x-${i}`, "v".repeat(900)] as const));
  const parts = (id: number, flags: number): Buffer[] => {
    const cuts = Array.from({ length: Math.ceil(wide.length / 16_384) }, (_, i) => wide.subarray(i * 16_384, (i + 1) * 16_384));
    return cuts.map((cut, i) => {
      const end = i === cuts.length - 1 ? FrameFlag.END_HEADERS : 0;
      return i === 0 ? headers(id, cut, flags | end) : continuation(id, cut, end);
    });
  };

  it("is answered 431, and the connection goes on with its tables in step", () => {
    const server = openServer();
    const frames = server.send(...parts(1, FrameFlag.END_STREAM));
    expect(frames.map(({ type, id, flags }) => [type, id, flags])).toEqual([
      [FrameType.HEADERS, 1, FrameFlag.END_HEADERS | FrameFlag.END_STREAM],
    ]);
    const client = openClient();
    client.connection.request({ method: "GET", scheme: "https", authority: "a", path: "/" }, [], true);
    client.send(...frames.map(({ type, flags, id, payload }) => frame(type, flags, id, payload)));
    expect(client.events).toMatchObject([{ event: "response", status: 431, end: true }]);
    server.send(headers(3, block(...get)));
    expect(server.events).toMatchObject([{ event: "request", id: 3 }]);
  });

  it("with a body to come is answered 431, and the body not waited for", () => {
    const server = openServer();
    const frames = server.send(...parts(1, 0));
    expect(frames.map(({ type }) => type)).toEqual([FrameType.HEADERS, FrameType.RST_STREAM]);
    expect(streamErrors(server, frames)).toEqual([[1, "NO_ERROR"]]);
    expect(server.send(data(1, "body", FrameFlag.END_STREAM))).toEqual([]);
    expect(server.events).toEqual([]);
  });

  it("in a response resets the stream", () => {
    const client = openClient({ headerListSize: 100 });
    client.connection.request({ method: "GET", scheme: "https", authority: "a", path: "/" }, [], true);
    client.output();
    const frames = client.send(headers(1, block([":status", "200"], ["a", "x".repeat(100)])));
    expect(streamErrors(client, frames)).toEqual([[1, "ENHANCE_YOUR_CALM"]]);
    expect(client.events).toEqual([{ event: "reset", id: 1, code: "ENHANCE_YOUR_CALM", byPeer: false }]);
  });

  it("in trailers resets the stream", () => {
    const server = openServer({ headerListSize: 200 });
    const frames = server.send(openPost(1), headers(1, block(["a", "x".repeat(200)])));
    expect(streamErrors(server, frames)).toEqual([[1, "ENHANCE_YOUR_CALM"]]);
  });

  it("that is an HPACK bomb ends the connection (CVE-2016-6581)", () => {
    const server = openServer();
    const large = Buffer.concat([Buffer.from([0x40, 1, 0x61, 0x7f, 0xb1, 0x1e]), Buffer.alloc(4016, 0x78)]);
    server.send(headers(1, Buffer.concat([block(...get), large])));
    expect(server.events).toMatchObject([{ event: "request", fields: [`a: ${"x".repeat(4016)}`] }]);
    expect(connectionError(server, server.send(headers(3, Buffer.concat([block(...get), Buffer.alloc(16_000, 0xbe)]))))).toBe(
      "ENHANCE_YOUR_CALM",
    );
  });
});
