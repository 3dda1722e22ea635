/** h2spec's http2 group, section 8: what is a message. One that is not never reaches the owner of the connection. */
import { expect } from "vitest";
import { FrameFlag, FrameType } from "../../../../sidecar/http2/frames.ts";
import { block, data, frame, get, headers, post } from "../wire.ts";
import { expectFatal, expectReset, site, type Case } from "./case.ts";

type Fields = readonly (readonly [name: string, value: string])[];

const [method, scheme, path, authority] = get;
const openHead = headers(1, block(...post), FrameFlag.END_HEADERS);

/** A request of these fields is reset and not heard of. */
const malformed = (section: string, what: string, fields: Fields): Case => ({
  section,
  what,
  run() {
    const server = site();
    const frames = server.send(headers(1, block(...fields)));
    expect(server.events).toEqual([]);
    expectReset(server, frames, "PROTOCOL_ERROR");
  },
});

/** A request that is whole up to `last`, which breaks it. */
const broken = (section: string, what: string, ...bytes: Buffer[]): Case => ({
  section,
  what,
  run() {
    const server = site();
    const frames = server.send(...bytes);
    expect(server.events.at(-1)).toEqual({ event: "reset", id: 1, code: "PROTOCOL_ERROR", byPeer: false });
    expectReset(server, frames, "PROTOCOL_ERROR");
  },
});

const promised = headers(1, block(...post, ["content-length", "1"]), FrameFlag.END_HEADERS);

export const messages: readonly Case[] = [
  broken("http2/8.1", "a second HEADERS without END_STREAM", openHead, headers(1, block(["x-test", "ok"]), FrameFlag.END_HEADERS)),
  malformed("http2/8.1.2", "a name in upper case", [...get, ["X-TEST", "ok"]]),
  malformed("http2/8.1.2.1", "an unknown pseudo-field", [...get, [":test", "ok"]]),
  malformed("http2/8.1.2.1", "a response's pseudo-field", [...get, [":status", "200"]]),
  broken("http2/8.1.2.1", "a pseudo-field in trailers", openHead, data(1, "test"), headers(1, block([":method", "POST"]))),
  malformed("http2/8.1.2.1", "a pseudo-field behind a field", [method, scheme, authority, ["x-test", "ok"], path]),
  malformed("http2/8.1.2.2", "a connection-specific field", [...get, ["connection", "keep-alive"]]),
  malformed("http2/8.1.2.2", "te of anything but trailers", [...get, ["te", "trailers, deflate"]]),
  malformed("http2/8.1.2.3", "an empty :path", [method, scheme, [":path", ""], authority]),
  malformed("http2/8.1.2.3", "no :method", [scheme, path, authority]),
  malformed("http2/8.1.2.3", "no :scheme", [method, path, authority]),
  malformed("http2/8.1.2.3", "no :path", [method, scheme, authority]),
  malformed("http2/8.1.2.3", "two :method", [...get, method]),
  malformed("http2/8.1.2.3", "two :scheme", [...get, scheme]),
  malformed("http2/8.1.2.3", "two :path", [...get, path]),
  broken("http2/8.1.2.6", "content-length other than one DATA frame", promised, data(1, "test", FrameFlag.END_STREAM)),
  broken("http2/8.1.2.6", "content-length other than several DATA frames", promised, data(1, "t"), data(1, "est", FrameFlag.END_STREAM)),
  {
    section: "http2/8.2",
    what: "PUSH_PROMISE from a client",
    run() {
      const server = site();
      const promise = frame(FrameType.PUSH_PROMISE, FrameFlag.END_HEADERS, 1, Buffer.concat([Buffer.from([0, 0, 0, 2]), block(...get)]));
      expectFatal(server, server.send(openHead, promise), "PROTOCOL_ERROR");
    },
  },
];
