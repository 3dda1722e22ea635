/** RFC 9113 sections 3 and 4: the preface, the frame header, frame sizes; h2spec's generic/1, http2/3.5, 4.1 and 4.2. */
import { describe, expect, it } from "vitest";
import { clientPreface, FrameFlag, FrameType } from "../../../../sidecar/http2/frames.ts";
import {
  block,
  data,
  connectionError,
  frame,
  fresh,
  framesOf,
  get,
  headers,
  openServer,
  ping,
  post,
  settings,
  settingsAck,
} from "../wire.ts";

describe("connection preface (3.4)", () => {
  it("is SETTINGS and a wider window, from the server", () => {
    const frames = framesOf(fresh("server").connection.takeOutput()!);
    expect(frames.map(({ type, flags, id }) => [type, flags, id])).toEqual([
      [FrameType.SETTINGS, 0, 0],
      [FrameType.WINDOW_UPDATE, 0, 0],
    ]);
    const sent = new Map<number, number>();
    for (let at = 0; at < frames[0]!.payload.length; at += 6)
      sent.set(frames[0]!.payload.readUInt16BE(at), frames[0]!.payload.readUInt32BE(at + 2));
    expect(sent).toEqual(
      new Map([
        [1, 65_536],
        [4, 262_144],
        [5, 16_384],
        [6, 65_536],
        [3, 256],
        [8, 1],
      ]),
    );
    expect(frames[1]!.payload.readUInt32BE(0)).toBe(4_194_304 - 65_535);
  });

  it("begins with the magic octets and forbids pushing, from the client", () => {
    const bytes = fresh("client").connection.takeOutput()!;
    expect(bytes.toString("latin1", 0, 24)).toBe("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    const [first] = framesOf(bytes.subarray(24));
    expect(first).toMatchObject({ type: FrameType.SETTINGS, flags: 0, id: 0 });
    expect(first!.payload.includes(Buffer.from([0, 2, 0, 0, 0, 0]))).toBe(true);
  });

  it("does not call onOutput for what is there from the start", () => {
    expect(fresh("server").outputs).toBe(0);
  });

  it.each([
    ["an HTTP/1.1 request", Buffer.from("GET / HTTP/1.1\r\nHost: a\r\n\r\n")],
    ["the magic with one octet changed", Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\rX")],
  ])("refuses %s", (_, bytes) => {
    const server = fresh("server");
    expect(connectionError(server, server.send(bytes))).toBe("PROTOCOL_ERROR");
  });

  it("waits for a magic that comes in parts", () => {
    const server = fresh("server");
    server.output();
    for (const byte of clientPreface) server.connection.receive(Buffer.from([byte]));
    expect(server.send(settings()).map((sent) => [sent.type, sent.flags])).toEqual([[FrameType.SETTINGS, FrameFlag.ACK]]);
  });

  it.each([
    ["PING", ping()],
    ["HEADERS", headers(1, block(...get))],
    ["an acknowledgement of SETTINGS", settingsAck],
    ["a frame of unknown type", frame(0xee, 0, 0)],
  ])("refuses %s as the first frame", (_, bytes) => {
    const server = fresh("server");
    expect(connectionError(server, server.send(clientPreface, bytes))).toBe("PROTOCOL_ERROR");
  });
});

describe("frame format (4.1)", () => {
  it("ignores frames of unknown type, on streams and on the connection", () => {
    const server = openServer();
    expect(server.send(frame(0x16, 0xff, 0, [1, 2, 3]), frame(0x16, 0, 7, [1])).length).toBe(0);
    expect(server.events).toEqual([]);
  });

  it("ignores flags that have no meaning, and the reserved bit", () => {
    const server = openServer();
    const answered = server.send(frame(FrameType.PING, 0x16, 0x8000_0000 - 0, Buffer.alloc(8)));
    expect(answered.map((sent) => [sent.type, sent.flags])).toEqual([[FrameType.PING, FrameFlag.ACK]]);
    server.send(frame(FrameType.HEADERS, FrameFlag.END_HEADERS | FrameFlag.END_STREAM, 0x8000_0001, block(...get)));
    expect(server.events).toMatchObject([{ event: "request", id: 1 }]);
  });
});

describe("frame size (4.2)", () => {
  it("takes a frame of the largest size allowed", () => {
    const server = openServer();
    server.send(headers(1, block(...post), FrameFlag.END_HEADERS), data(1, Buffer.alloc(16_384, 0x61)));
    expect(server.events.at(-1)).toEqual({ event: "data", id: 1, body: "a".repeat(16_384), end: false });
  });

  it.each([
    ["DATA", data(1, Buffer.alloc(16_385))],
    ["HEADERS", headers(1, Buffer.alloc(16_385))],
    ["an unknown frame", frame(0xee, 0, 1, Buffer.alloc(16_385))],
  ])("refuses a larger %s as soon as its header is there", (_, bytes) => {
    const server = openServer();
    server.send(headers(1, block(...post), FrameFlag.END_HEADERS));
    expect(connectionError(server, server.send(bytes.subarray(0, 9)))).toBe("FRAME_SIZE_ERROR");
  });
});
