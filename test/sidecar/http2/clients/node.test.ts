/** As a client of node:http2, which says what it wants: 1xx, trailers, SETTINGS that change in the midst, pushes, resets, GOAWAY. */
import { once } from "node:events";
import * as http2 from "node:http2";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { NotCalled, openCaller, type Caller } from "./caller.ts";
import { bytesOf } from "./site.ts";

const large = bytesOf(4 << 20);
const open: AsyncDisposable[] = [];
afterEach(async () => {
  for (const each of open.splice(0).toReversed()) await each[Symbol.asyncDispose]();
});

type Answerer = (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => void;

/** A client of a node server that answers so, and the server's side of the connection. */
async function meet(answer: Answerer, options: http2.ServerOptions = {}): Promise<{ client: Caller; session: http2.ServerHttp2Session }> {
  const server = http2.createServer(options);
  server.on("stream", (stream, headers) => {
    stream.on("error", () => stream.destroy());
    answer(stream as http2.ServerHttp2Stream, headers);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const met = once(server, "session") as Promise<[http2.ServerHttp2Session]>;
  const client = await openCaller({ port: (server.address() as AddressInfo).port, host: "127.0.0.1" });
  const [session] = await met;
  const closing = async (): Promise<void> => {
    server.close();
    await once(server, "close");
  };
  open.push({ [Symbol.asyncDispose]: closing }, client);
  return { client, session };
}

const echo: Answerer = (stream, headers) => {
  stream.respond({ ":status": 200, "x-echo": headers["x-token"] ?? "none" });
  stream.pipe(stream);
};

describe("a server of node's", () => {
  it("is heard in 1xx, response and trailers", async () => {
    const { client } = await meet((stream) => {
      stream.additionalHeaders({ ":status": 100 });
      stream.additionalHeaders({ ":status": 103, link: "</a.css>; rel=preload" });
      stream.additionalHeaders({ ":status": 102 });
      stream.respond({ ":status": 201 }, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "x-checksum": "42" }));
      stream.end("body");
    });
    expect(await client.ask({ path: "/" })).toMatchObject({
      status: 201,
      hints: [100, 103, 102],
      trailers: { "x-checksum": "42" },
      body: Buffer.from("body"),
    });
  });

  it("hears our trailers before it answers", async () => {
    const { client } = await meet((stream) => {
      stream.resume();
      stream.on("trailers", (fields) => {
        stream.respond({ ":status": 200 });
        stream.end(String(fields["x-sum"]));
      });
    });
    const answer = await client.ask({ method: "POST", path: "/", body: large, trailers: { "x-sum": "7" } });
    expect(String(answer.body)).toBe("7");
  });

  it("changes windows, frames and tables while bodies go both ways", async () => {
    const { client, session } = await meet(echo);
    const tokens = Array.from({ length: 60 }, (_, i) => `${i % 3}`.repeat(600));
    const calls = tokens.map((token) =>
      client.ask({ method: "POST", path: "/", body: large.subarray(0, 300_000), fields: { "x-token": token } }),
    );
    const changes: http2.Settings[] = [
      { initialWindowSize: 1000 },
      { headerTableSize: 0, maxFrameSize: 50_000 },
      { headerTableSize: 4096, initialWindowSize: 200_000 },
      { headerTableSize: 200, initialWindowSize: 0 },
      { headerTableSize: 65_536, initialWindowSize: 65_535, maxFrameSize: 16_384 },
    ];
    for (const change of changes) await new Promise<void>((resolve) => session.settings(change, () => resolve()));
    const more = tokens.map((token) => client.ask({ method: "POST", path: "/", body: Buffer.from("x"), fields: { "x-token": token } }));
    for (const [i, answer] of (await Promise.all(calls)).entries()) {
      expect(answer.fields["x-echo"]).toBe(tokens[i]);
      expect(answer.body.equals(large.subarray(0, 300_000))).toBe(true);
    }
    for (const [i, answer] of (await Promise.all(more)).entries()) expect(answer.fields["x-echo"]).toBe(tokens[i]);
  });

  it("is told that it may not push", async () => {
    const { client, session } = await meet((stream) => {
      stream.respond({ ":status": 200 });
      stream.end(String(stream.pushAllowed));
    });
    expect(String((await client.ask({ path: "/" })).body)).toBe("false");
    expect(session.remoteSettings.enablePush).toBe(false);
  });

  it("resets, and is reset", async () => {
    const { client } = await meet((stream, headers) => {
      if (headers[":path"] === "/reset") stream.close(http2.constants.NGHTTP2_ENHANCE_YOUR_CALM);
      else {
        stream.respond({ ":status": 200 });
        stream.end(large);
      }
    });
    expect((await client.ask({ path: "/reset" })).reset).toBe("ENHANCE_YOUR_CALM");
    expect((await client.ask({ path: "/", cancelAt: 1 })).reset).toBe("CANCEL");
    expect((await client.ask({ path: "/" })).body.equals(large)).toBe(true);
  });

  it("that goes away in the midst answers what it has, and the rest may be called elsewhere", async () => {
    const { client, session } = await meet((stream) => {
      stream.respond({ ":status": 200 });
      if (stream.id === 41) session.goaway(http2.constants.NGHTTP2_NO_ERROR, 41);
      stream.end("answered");
    });
    const outcomes = await Promise.allSettled(Array.from({ length: 100 }, () => client.ask({ path: "/" })));
    const answered = outcomes.filter((outcome) => outcome.status === "fulfilled");
    const others = outcomes.filter((outcome) => outcome.status === "rejected");
    expect(answered).toHaveLength(21);
    expect(answered.every(({ value }) => String(value.body) === "answered")).toBe(true);
    expect(others.every(({ reason }) => reason instanceof NotCalled)).toBe(true);
    expect(client.connection.canRequest()).toBe(false);
  });

  it("that disappears resets what was under way", async () => {
    const { client, session } = await meet((stream) => {
      stream.respond({ ":status": 200 });
      stream.write("the beginning");
      setImmediate(() => session.destroy());
    });
    const answer = await client.ask({ path: "/" });
    expect(answer.reset).toBe("INTERNAL_ERROR");
    await client.closed;
  });

  it("takes extended CONNECT when it says so", async () => {
    const { client } = await meet(echo, { settings: { enableConnectProtocol: true } });
    expect(client.connection.peerAllowsExtendedConnect()).toBe(false);
    await client.ask({ path: "/" });
    expect(client.connection.peerAllowsExtendedConnect()).toBe(true);
  });
});
