/** RFC 9113 section 8, RFC 8441: what is a request, a response, trailers; h2spec's http2/8. A malformed message never reaches the handler. */
import { describe, expect, it } from "vitest";
import { createField } from "../../../../common/http/field.ts";
import { Http2ErrorCode } from "../../../../sidecar/http2/error.ts";
import { FrameFlag, FrameType } from "../../../../sidecar/http2/frames.ts";
import { block, data, streamErrors, get, headers, openClient, openServer, post, type Conversation } from "../wire.ts";

type Fields = readonly (readonly [string, string])[];

function replace(fields: Fields, name: string, value: string): Fields {
  return fields.map((field) => (field[0] === name ? [name, value] : field));
}
const without = (fields: Fields, name: string): Fields => fields.filter((field) => field[0] !== name);

/** How a server resets a request that its handler must not see. */
function refusalOf(fields: Fields, flags?: number): [id: number, code: string][] {
  const server = openServer();
  const frames = server.send(headers(1, block(...fields), flags));
  expect(server.events).toEqual([]);
  return streamErrors(server, frames);
}

const malformed = [[1, "PROTOCOL_ERROR"]];

describe("a request (8.3.1)", () => {
  it("is handed on with its parts", () => {
    const server = openServer();
    server.send(
      headers(
        1,
        block([":method", "POST"], [":scheme", "https"], [":path", "/a?b=c"], [":authority", "orders:8080"], ["x-a", "1"], ["x-a", "2"]),
        FrameFlag.END_HEADERS,
      ),
    );
    expect(server.events).toEqual([
      {
        event: "request",
        id: 1,
        method: "POST",
        target: "/a?b=c",
        authority: "orders:8080",
        scheme: "https",
        fields: ["x-a: 1", "x-a: 2"],
        contentLength: -1,
        end: false,
      },
    ]);
  });

  it("may name its authority by host alone", () => {
    const server = openServer();
    server.send(headers(1, block(...without(get, ":authority"), ["host", "orders.shop"])));
    expect(server.events).toMatchObject([{ authority: "orders.shop", fields: [] }]);
  });

  it("may name it twice, if it is the same", () => {
    const server = openServer();
    server.send(headers(1, block(...get, ["host", "Orders.shop"])));
    expect(server.events).toMatchObject([{ authority: "orders.shop", fields: [] }]);
  });

  it("may be OPTIONS *", () => {
    const server = openServer();
    server.send(headers(1, block([":method", "OPTIONS"], [":scheme", "http"], [":path", "*"], [":authority", "a"])));
    expect(server.events).toMatchObject([{ method: "OPTIONS", target: "*", scheme: "http" }]);
  });

  it("has one cookie field, whatever crumbs it came in (8.2.3)", () => {
    const server = openServer();
    server.send(headers(1, block(...get, ["cookie", "a=1"], ["x", "y"], ["cookie", "b=2"], ["cookie", "a=1"])));
    expect(server.events).toMatchObject([{ fields: ["cookie: a=1; b=2; a=1", "x: y"] }]);
  });

  it("has one cookie field each time the same crumbs come", () => {
    const server = openServer();
    const crumbs = block(...get, ["cookie", "a"], ["cookie", "b"]);
    server.send(headers(1, crumbs), headers(3, crumbs), headers(5, crumbs));
    expect(server.events).toMatchObject([{ fields: ["cookie: a; b"] }, { fields: ["cookie: a; b"] }, { fields: ["cookie: a; b"] }]);
  });

  it("may say te: trailers", () => {
    const server = openServer();
    server.send(headers(1, block(...get, ["te", "trailers"])));
    expect(server.events).toMatchObject([{ fields: ["te: trailers"] }]);
  });

  it("may have fields named like properties of objects", () => {
    const server = openServer();
    server.send(headers(1, block(...get, ["constructor", "a"], ["__proto__", "b"])));
    expect(server.events).toMatchObject([{ fields: ["constructor: a", "__proto__: b"] }]);
  });

  const host = "orders.shop";
  it.each<[string, Fields]>([
    ["no :method", without(get, ":method")],
    ["no :scheme", without(get, ":scheme")],
    ["no :path", without(get, ":path")],
    ["neither :authority nor host", without(get, ":authority")],
    ["an empty :path", replace(get, ":path", "")],
    ["a relative :path", replace(get, ":path", "a")],
    ["an absolute form in :path", replace(get, ":path", "http://orders.shop/")],
    ["a blank in :path", replace(get, ":path", "/a b")],
    ["a LF in :path", replace(get, ":path", "/a\nX: y")],
    ["a byte over 0x7E in :path", replace(get, ":path", "/\u00e9")],
    [":path * without OPTIONS", replace(get, ":path", "*")],
    ["an empty :method", replace(get, ":method", "")],
    ["a blank in :method", replace(get, ":method", "GET /x")],
    ["an unknown scheme", replace(get, ":scheme", "javascript")],
    ["an empty :authority", replace(get, ":authority", "")],
    ["user information in :authority", replace(get, ":authority", "user@orders.shop")],
    ["a blank in :authority", replace(get, ":authority", "orders shop")],
    ["an escape in :authority", replace(get, ":authority", "%6frders.shop")],
    ["a path in :authority", replace(get, ":authority", "orders.shop/x")],
    ["two :method", [...get, [":method", "GET"]]],
    ["two :scheme", [...get, [":scheme", "https"]]],
    ["two :path", [...get, [":path", "/"]]],
    ["two :authority", [...get, [":authority", host]]],
    ["an unknown pseudo-field", [...get, [":test", "ok"]]],
    ["a response's pseudo-field", [...get, [":status", "200"]]],
    ["a pseudo-field behind a field", [["x", "y"], ...get]],
    ["a pseudo-field behind host", [["host", host], ...get]],
    [":protocol without CONNECT", [...get, [":protocol", "websocket"]]],
    ["another host", [...get, ["host", "inventory.shop"]]],
    ["two host", [...get, ["host", host], ["host", host]]],
    ["an empty host", [...get, ["host", ""]]],
    ["connection", [...get, ["connection", "close"]]],
    ["keep-alive", [...get, ["keep-alive", "1"]]],
    ["proxy-connection", [...get, ["proxy-connection", "close"]]],
    ["transfer-encoding", [...get, ["transfer-encoding", "chunked"]]],
    ["upgrade", [...get, ["upgrade", "h2c"]]],
    ["http2-settings", [...get, ["http2-settings", "AAA"]]],
    ["te with anything but trailers", [...get, ["te", "trailers, deflate"]]],
    ["an upper-case name", [...get, ["X-A", "b"]]],
    ["an empty name", [...get, ["", "b"]]],
    ["a colon in a name", [...get, ["a:b", "c"]]],
    ["a blank in a name", [...get, ["a b", "c"]]],
    ["a CR in a name", [...get, ["a\rb", "c"]]],
    ["a byte over 0x7E in a name", [...get, ["\u00e9", "c"]]],
    ["a CR in a value", [...get, ["a", "b\rc"]]],
    ["a LF in a value", [...get, ["a", "b\nc"]]],
    ["CRLF in a value", [...get, ["a", "b\r\nx-evil: 1"]]],
    ["a NUL in a value", [...get, ["a", "b\0c"]]],
    ["another control byte in a value", [...get, ["a", "b\u0001c"]]],
    ["DEL in a value", [...get, ["a", "b\u007f"]]],
    ["a blank before a value", [...get, ["a", " b"]]],
    ["a blank behind a value", [...get, ["a", "b "]]],
    ["a tab before a value", [...get, ["a", "\tb"]]],
    ["a tab behind a value", [...get, ["a", "b\t"]]],
    ["a long value with one bad byte", [...get, ["a", `${"x".repeat(300)}\n${"x".repeat(300)}`]]],
    ["content-length without its body", [...get, ["content-length", "1"]]],
    ["content-length that is no number", [...get, ["content-length", "1a"]]],
    ["a negative content-length", [...get, ["content-length", "-1"]]],
    ["a signed content-length", [...get, ["content-length", "+0"]]],
    ["a content-length with a zero in front", [...get, ["content-length", "00"]]],
    ["an empty content-length", [...get, ["content-length", ""]]],
    ["a list in content-length", [...get, ["content-length", "0, 0"]]],
    ["a content-length beyond any body", [...get, ["content-length", "99999999999999999999"]]],
    ["two content-length", [...get, ["content-length", "0"], ["content-length", "0"]]],
  ])("with %s is refused", (_, fields) => expect(refusalOf(fields)).toEqual(malformed));
});

describe("CONNECT (8.5) and extended CONNECT (RFC 8441)", () => {
  it("names an authority alone", () => {
    const server = openServer();
    server.send(headers(1, block([":method", "CONNECT"], [":authority", "db:5432"]), FrameFlag.END_HEADERS));
    expect(server.events).toMatchObject([
      { method: "CONNECT", target: "db:5432", authority: "db:5432", scheme: "", contentLength: -1, end: false },
    ]);
    expect(server.streams.get(1)!.protocol).toBe("");
  });

  it("with :protocol names scheme and path too", () => {
    const server = openServer();
    server.send(headers(1, block([":method", "CONNECT"], [":protocol", "websocket"], ...get.slice(1)), FrameFlag.END_HEADERS));
    expect(server.events).toMatchObject([{ method: "CONNECT", target: "/", authority: "orders.shop", scheme: "https" }]);
    expect(server.streams.get(1)!.protocol).toBe("websocket");
  });

  it.each<[string, Fields]>([
    [
      "a :path",
      [
        [":method", "CONNECT"],
        [":authority", "a:1"],
        [":path", "/"],
      ],
    ],
    [
      "a :scheme",
      [
        [":method", "CONNECT"],
        [":authority", "a:1"],
        [":scheme", "https"],
      ],
    ],
    [
      "host in place of :authority",
      [
        [":method", "CONNECT"],
        ["host", "a:1"],
      ],
    ],
    [
      ":protocol and no :path",
      [
        [":method", "CONNECT"],
        [":protocol", "websocket"],
        [":scheme", "https"],
        [":authority", "a"],
      ],
    ],
    [
      ":protocol and no :authority",
      [
        [":method", "CONNECT"],
        [":protocol", "websocket"],
        [":scheme", "https"],
        [":path", "/"],
      ],
    ],
    ["an empty :protocol", [[":method", "CONNECT"], [":protocol", ""], ...get.slice(1)]],
  ])("with %s is refused", (_, fields) => expect(refusalOf(fields, FrameFlag.END_HEADERS)).toEqual(malformed));

  it("with :protocol is refused where it was not announced", () => {
    const server = openServer({ extendedConnect: false });
    const frames = server.send(
      headers(1, block([":method", "CONNECT"], [":protocol", "websocket"], ...get.slice(1)), FrameFlag.END_HEADERS),
    );
    expect(streamErrors(server, frames)).toEqual([[1, "PROTOCOL_ERROR"]]);
  });

  it("is sent with :protocol only to a server that announced it", () => {
    const head = { method: "CONNECT", scheme: "https", authority: "a", path: "/chat", protocol: "websocket" };
    expect(() => openClient().connection.request(head, [], false)).toThrow(expect.objectContaining({ code: "PROTOCOL_ERROR" }));
    const client = openClient({}, {}, [[8, 1]]);
    const server = openServer();
    client.connection.request(head, [], false);
    server.connection.receive(client.connection.takeOutput()!);
    expect(server.events).toMatchObject([{ event: "request", method: "CONNECT", target: "/chat" }]);
    expect(server.streams.get(1)!.protocol).toBe("websocket");
  });
});

describe("a request's body (8.1.1)", () => {
  function upload(length: string): Conversation {
    const server = openServer();
    server.send(headers(1, block(...post, ["content-length", length]), FrameFlag.END_HEADERS));
    return server;
  }

  it("may be as long as content-length says", () => {
    const server = upload("4");
    server.send(data(1, "ab"), data(1, "cd", FrameFlag.END_STREAM));
    expect(server.events.slice(1)).toEqual([
      { event: "data", id: 1, body: "ab", end: false },
      { event: "data", id: 1, body: "cd", end: true },
    ]);
  });

  it.each<[string, Buffer[]]>([
    ["one frame that is longer", [data(1, "abcde", FrameFlag.END_STREAM)]],
    ["frames that are longer together", [data(1, "abcd"), data(1, "e", FrameFlag.END_STREAM)]],
    ["too long without an end", [data(1, "abcde")]],
    ["one frame that is shorter", [data(1, "abc", FrameFlag.END_STREAM)]],
    ["nothing", [data(1, "", FrameFlag.END_STREAM)]],
    ["padding instead", [data(1, [3, 0x61, 0, 0, 0], FrameFlag.END_STREAM | FrameFlag.PADDED)]],
    ["trailers too early", [data(1, "ab"), headers(1, block(["x", "y"]))]],
  ])("%s is refused, and never ends for the handler", (_, bytes) => {
    const server = upload("4");
    const frames = server.send(...bytes);
    expect(server.events.at(-1)).toEqual({ event: "reset", id: 1, code: "PROTOCOL_ERROR", byPeer: false });
    expect(server.events.filter((event) => "end" in event && event.end)).toEqual([]);
    expect(streamErrors(server, frames)).toEqual([[1, "PROTOCOL_ERROR"]]);
  });
});

describe("trailers (8.1)", () => {
  const open = headers(1, block(...post), FrameFlag.END_HEADERS);

  it("end the request", () => {
    const server = openServer();
    server.send(open, data(1, "ab"), headers(1, block(["x-checksum", "1"])));
    expect(server.events.slice(1)).toEqual([
      { event: "data", id: 1, body: "ab", end: false },
      { event: "trailers", id: 1, fields: ["x-checksum: 1"] },
    ]);
  });

  it.each<[string, Buffer]>([
    ["without END_STREAM", headers(1, block(["x", "y"]), FrameFlag.END_HEADERS)],
    ["with a pseudo-field", headers(1, block([":method", "GET"]))],
    ["with content-length", headers(1, block(["content-length", "2"]))],
    ["with host", headers(1, block(["host", "orders.shop"]))],
    ["with a connection-specific field", headers(1, block(["transfer-encoding", "chunked"]))],
    ["with an upper-case name", headers(1, block(["X", "y"]))],
  ])("%s are refused", (_, bytes) => {
    const server = openServer();
    const frames = server.send(open, bytes);
    expect(server.events.slice(1)).toEqual([{ event: "reset", id: 1, code: "PROTOCOL_ERROR", byPeer: false }]);
    expect(streamErrors(server, frames)).toEqual([[1, "PROTOCOL_ERROR"]]);
  });
});

describe("a response (8.3.2)", () => {
  function asked(method = "GET"): Conversation {
    const client = openClient();
    client.connection.request({ method, scheme: "https", authority: "orders.shop:443", path: "/" }, [], true);
    client.output();
    return client;
  }

  it("may be preceded by informational ones", () => {
    const client = asked();
    client.send(
      headers(1, block([":status", "103"], ["link", "</a>"]), FrameFlag.END_HEADERS),
      headers(1, block([":status", "200"], ["content-length", "2"]), FrameFlag.END_HEADERS),
      data(1, "ok", FrameFlag.END_STREAM),
    );
    expect(client.events).toEqual([
      { event: "informational", id: 1, status: 103, fields: ["link: </a>"], contentLength: 0, end: false },
      { event: "response", id: 1, status: 200, fields: ["content-length: 2"], contentLength: 2, end: false },
      { event: "data", id: 1, body: "ok", end: true },
    ]);
    expect(client.connection.streamCount()).toBe(0);
  });

  it("to HEAD, and 304, may state a length they do not have", () => {
    const head = asked("HEAD");
    head.send(headers(1, block([":status", "200"], ["content-length", "9"])));
    expect(head.events).toMatchObject([{ event: "response", contentLength: 0, end: true }]);
    const unchanged = asked();
    unchanged.send(
      headers(1, block([":status", "304"], ["content-length", "9"]), FrameFlag.END_HEADERS),
      data(1, "", FrameFlag.END_STREAM),
    );
    expect(unchanged.events).toMatchObject([
      { event: "response", contentLength: 0 },
      { event: "data", end: true },
    ]);
  });

  it("to HEAD may not have a body", () => {
    const client = asked("HEAD");
    const frames = client.send(headers(1, block([":status", "200"]), FrameFlag.END_HEADERS), data(1, "x", FrameFlag.END_STREAM));
    expect(streamErrors(client, frames)).toEqual([[1, "PROTOCOL_ERROR"]]);
  });

  it("to CONNECT is a tunnel, whatever length it states (RFC 9110 9.3.6)", () => {
    const client = openClient();
    client.connection.request({ method: "CONNECT", scheme: "", authority: "db:5432", path: "" }, [], false);
    client.send(headers(1, block([":status", "200"], ["content-length", "1"]), FrameFlag.END_HEADERS), data(1, "abc"));
    expect(client.events).toMatchObject([
      { event: "response", contentLength: -1 },
      { event: "data", body: "abc" },
    ]);
  });

  it.each<[string, Buffer]>([
    ["no :status", headers(1, block(["x", "y"]))],
    ["two :status", headers(1, block([":status", "200"], [":status", "200"]))],
    ["a :status that is no number", headers(1, block([":status", "2x0"]))],
    ["a :status of two digits", headers(1, block([":status", "20"]))],
    ["a :status of four digits", headers(1, block([":status", "2000"]))],
    [":status 099", headers(1, block([":status", "099"]))],
    [":status 101", headers(1, block([":status", "101"]), FrameFlag.END_HEADERS)],
    ["a 1xx that ends the stream", headers(1, block([":status", "100"]))],
    ["a request's pseudo-field", headers(1, block([":status", "200"], [":path", "/"]))],
    ["a pseudo-field behind a field", headers(1, block(["x", "y"], [":status", "200"]))],
    ["an upper-case name", headers(1, block([":status", "200"], ["X", "y"]))],
    ["a connection-specific field", headers(1, block([":status", "200"], ["connection", "close"]))],
    ["content-length without its body", headers(1, block([":status", "200"], ["content-length", "1"]))],
    ["DATA before the head", data(1, "x")],
  ])("with %s is refused", (_, bytes) => {
    const client = asked();
    const frames = client.send(bytes);
    expect(client.events).toEqual([{ event: "reset", id: 1, code: "PROTOCOL_ERROR", byPeer: false }]);
    expect(streamErrors(client, frames)).toEqual([[1, "PROTOCOL_ERROR"]]);
  });

  it("that comes whole before the request's end lets the client stop (8.1)", () => {
    const client = openClient();
    client.connection.request({ method: "POST", scheme: "https", authority: "a", path: "/" }, [], false);
    client.send(headers(1, block([":status", "413"])), Buffer.from([0, 0, 4, FrameType.RST_STREAM, 0, 0, 0, 0, 1, 0, 0, 0, 0]));
    expect(client.events).toMatchObject([
      { event: "response", status: 413, end: true },
      { event: "reset", id: 1, code: "NO_ERROR", byPeer: true },
    ]);
  });

  it("may come whole before the request's end, and the rest be refused with NO_ERROR (8.1)", () => {
    const server = openServer();
    server.send(headers(1, block(...post), FrameFlag.END_HEADERS));
    const stream = server.streams.get(1)!;
    server.connection.respond(stream, 413, [], true);
    expect(server.connection.streamCount()).toBe(1);
    server.connection.reset(stream, Http2ErrorCode.NO_ERROR);
    expect(server.output().map((sent) => [sent.type, sent.flags])).toEqual([
      [FrameType.HEADERS, FrameFlag.END_HEADERS | FrameFlag.END_STREAM],
      [FrameType.RST_STREAM, 0],
    ]);
    expect(server.send(data(1, "late", FrameFlag.END_STREAM))).toEqual([]);
    expect(server.connection.streamCount()).toBe(0);
  });
});

describe("what is sent", () => {
  const head = { method: "GET", scheme: "https", authority: "a", path: "/" };

  it("leaves out connection-specific fields and host, but not te: trailers", () => {
    const client = openClient();
    const server = openServer();
    const fields = ["connection", "keep-alive", "transfer-encoding", "upgrade", "proxy-connection", "host", "x-kept"].map((name) =>
      createField(name, "v"),
    );
    client.connection.request(head, [...fields, createField("te", "gzip"), createField("te", "trailers")], true);
    server.connection.receive(client.connection.takeOutput()!);
    expect(server.events).toMatchObject([{ event: "request", fields: ["x-kept: v", "te: trailers"] }]);
  });

  it.each([
    ["an upper-case name", createField("X-A", "b")],
    ["an empty name", createField("", "b")],
    ["a pseudo-field", createField(":path", "/other")],
    ["a LF in a name", createField("a\nb", "c")],
    ["CRLF in a value", createField("a", "b\r\nx-evil: 1")],
    ["a NUL in a value", createField("a", "b\0")],
    ["a blank at the edge", createField("a", " b")],
    ["a character that is no byte, LF once cut to one", createField("a", "b\u010ac")],
    ["content-length that is no number", createField("content-length", "x")],
  ])("with %s is refused before anything of it is written", (_, field) => {
    const client = openClient();
    const server = openServer();
    expect(() => client.connection.request(head, [createField("x-first", "1"), field], true)).toThrow(
      expect.objectContaining({ code: "PROTOCOL_ERROR" }),
    );
    expect(client.output()).toEqual([]);
    client.connection.request(head, [createField("x-first", "1")], true);
    server.connection.receive(client.connection.takeOutput()!);
    expect(server.events).toMatchObject([{ event: "request", id: 1, fields: ["x-first: 1"] }]);
  });

  it.each([
    ["a method with a blank", { ...head, method: "GET /" }],
    ["an empty authority", { ...head, authority: "" }],
    ["a LF in the authority", { ...head, authority: "a\nb" }],
    ["a relative path", { ...head, path: "x" }],
    ["a blank in the path", { ...head, path: "/ HTTP/1.1" }],
    ["* without OPTIONS", { ...head, path: "*" }],
    ["an unknown scheme", { ...head, scheme: "ftp" }],
    [":protocol without CONNECT", { ...head, protocol: "websocket" }],
  ])("with %s is refused", (_, bad) => {
    expect(() => openClient().connection.request(bad, [], true)).toThrow(expect.objectContaining({ code: "PROTOCOL_ERROR" }));
  });

  it.each([99, 101, 1000, Number.NaN])("no status %s", (status) => {
    const server = openServer();
    server.send(headers(1, block(...get)));
    expect(() => server.connection.respond(server.streams.get(1)!, status, [], false)).toThrow(
      expect.objectContaining({ code: "PROTOCOL_ERROR" }),
    );
  });

  it("has a body of its content-length, or the stream is reset", () => {
    const lengths = [createField("content-length", "4")];
    for (const send of [
      (server: Conversation) => server.connection.sendData(server.streams.get(1)!, Buffer.from("abcde"), false),
      (server: Conversation) => server.connection.sendData(server.streams.get(1)!, Buffer.from("abc"), true),
      (server: Conversation) => server.connection.sendTrailers(server.streams.get(1)!, []),
    ]) {
      const server = openServer();
      server.send(headers(1, block(...get)));
      server.connection.respond(server.streams.get(1)!, 200, lengths, false);
      send(server);
      const frames = server.output();
      expect(frames.some((sent) => sent.type === FrameType.DATA)).toBe(false);
      expect(streamErrors(server, frames)).toEqual([[1, "INTERNAL_ERROR"]]);
      expect(server.events.at(-1)).toEqual({ event: "reset", id: 1, code: "INTERNAL_ERROR", byPeer: false });
    }
  });

  it("comes in order", () => {
    const server = openServer();
    server.send(headers(1, block(...get)));
    const stream = server.streams.get(1)!;
    const wrong = expect.objectContaining({ code: "INTERNAL_ERROR" });
    expect(() => server.connection.sendData(stream, Buffer.from("x"), false)).toThrow(wrong);
    expect(() => server.connection.sendTrailers(stream, [])).toThrow(wrong);
    server.connection.respond(stream, 103, [], false);
    server.connection.respond(stream, 200, [], false);
    expect(() => server.connection.respond(stream, 200, [], false)).toThrow(wrong);
    server.connection.sendData(stream, Buffer.from("x"), true);
    expect(() => server.connection.sendData(stream, Buffer.from("x"), true)).toThrow(wrong);
  });

  it("on a stream that was reset goes nowhere", () => {
    const server = openServer();
    server.send(headers(1, block(...get)), Buffer.from([0, 0, 4, FrameType.RST_STREAM, 0, 0, 0, 0, 1, 0, 0, 0, 8]));
    const stream = server.streams.get(1)!;
    server.connection.respond(stream, 200, [], false);
    expect(server.connection.sendData(stream, Buffer.from("x"), true)).toBe(true);
    server.connection.sendTrailers(stream, []);
    server.connection.reset(stream, Http2ErrorCode.CANCEL);
    expect(server.output()).toEqual([]);
    expect(server.events.filter(({ event }) => event === "reset")).toHaveLength(1);
  });
});
