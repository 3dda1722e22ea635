/** HTTP/2 with prior knowledge between unmodified clients and servers, each beside its sidecar. */
import { execFile } from "node:child_process";
import { once } from "node:events";
import {
  connect,
  constants,
  createServer,
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type IncomingHttpHeaders,
  type IncomingHttpStatusHeader,
  type OutgoingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import { buffer } from "node:stream/consumers";
import { promisify } from "node:util";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { until } from "./harness.ts";
import { startPair, type Pair } from "./pair.ts";

type Handler = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void;

const run = promisify(execFile);
const megabyte = Buffer.alloc(1024 * 1024, "0123456789abcdef");

const echo: Handler = (stream, headers) => {
  stream.respond({ ":status": 200, "x-method": headers[":method"], "x-path": headers[":path"] });
  stream.pipe(stream);
};
let handler: Handler = echo;
const sessions = new Set<ServerHttp2Session>();
const application = createServer();
application.on("session", (session) => sessions.add(session));
application.on("stream", (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
  stream.on("error", () => undefined);
  handler(stream, headers);
});

let pair: Pair;
let client: ClientHttp2Session;
beforeAll(async () => {
  pair = await startPair(application);
  client = connect(`http://${pair.outbound}`);
});
afterAll(async () => {
  client?.destroy();
  for (const session of sessions) session.destroy();
  await pair?.mesh.stop();
});
beforeEach(() => {
  handler = echo;
});

function open(headers: OutgoingHttpHeaders, endStream = true): ClientHttp2Stream {
  const stream = client.request({ ":authority": "target", ...headers }, { endStream });
  stream.on("error", () => undefined);
  return stream;
}

interface Answer {
  readonly headers: IncomingHttpHeaders & IncomingHttpStatusHeader;
  readonly body: Buffer;
  readonly trailers: IncomingHttpHeaders;
}

async function answerTo(stream: ClientHttp2Stream): Promise<Answer> {
  let trailers: IncomingHttpHeaders = {};
  stream.on("trailers", (fields: IncomingHttpHeaders) => (trailers = fields));
  const [headers] = (await once(stream, "response")) as [IncomingHttpHeaders & IncomingHttpStatusHeader];
  const body = await buffer(stream);
  return { headers, body, trailers };
}

describe("requests and answers", () => {
  test("fields, cookies, query and body arrive as they were sent", async () => {
    let seen: IncomingHttpHeaders = {};
    handler = (stream, headers) => {
      seen = headers;
      echo(stream, headers);
    };
    const stream = open(
      {
        ":method": "PUT",
        ":path": "/a/b?z=1&a=%20x",
        cookie: "a=1; b=2",
        "X-Upper": "Case",
        "x-empty": "",
        priority: "u=1, i",
        te: "trailers",
      },
      false,
    );
    stream.end("the body");
    const { headers, body } = await answerTo(stream);
    expect(headers).toMatchObject({ ":status": 200, "x-method": "PUT", "x-path": "/a/b?z=1&a=%20x" });
    expect(body.toString()).toBe("the body");
    expect(seen).toMatchObject({
      ":authority": "target",
      ":scheme": "http",
      cookie: "a=1; b=2",
      "x-upper": "Case",
      "x-empty": "",
      priority: "u=1, i",
      "x-countersign-peer": "spiffe://test.example/ns/shop/sa/caller",
    });
  });

  test("HEAD, 204 and 304 have no body, and say how long it would be", async () => {
    handler = (stream, headers) => {
      const status = Number(headers[":path"]?.slice(1));
      stream.respond({ ":status": status, ...(status === 200 ? { "content-length": "12" } : { etag: '"x"' }) }, { endStream: true });
    };
    for (const [method, status, length] of [
      ["HEAD", 200, "12"],
      ["GET", 204, undefined],
      ["GET", 304, undefined],
    ] as const) {
      const { headers, body } = await answerTo(open({ ":method": method, ":path": `/${status}` }));
      expect([headers[":status"], headers["content-length"], body.length]).toEqual([status, length, 0]);
    }
  });

  test("trailers travel both ways, without having been announced", async () => {
    const seen = Promise.withResolvers<IncomingHttpHeaders>();
    handler = (stream) => {
      stream.on("trailers", (fields: IncomingHttpHeaders) => seen.resolve(fields));
      stream.respond({ ":status": 200 }, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "x-answer": "done", "x-countersign-principal": "me" }));
      stream.pipe(stream);
    };
    const stream = client.request({ ":authority": "target", ":method": "POST" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "x-checksum": "abc" }));
    stream.end("body");
    const { body, trailers } = await answerTo(stream);
    expect(body.toString()).toBe("body");
    expect(trailers).toEqual(expect.objectContaining({ "x-answer": "done" }));
    expect(trailers).not.toHaveProperty("x-countersign-principal");
    expect(await seen.promise).toMatchObject({ "x-checksum": "abc" });
  });

  test("early hints come before the answer", async () => {
    handler = (stream) => {
      stream.additionalHeaders({ ":status": 103, link: "</style.css>; rel=preload" });
      stream.respond({ ":status": 200 }, { endStream: true });
    };
    const stream = open({});
    const informed: IncomingHttpHeaders[] = [];
    stream.on("headers", (fields: IncomingHttpHeaders) => informed.push(fields));
    expect((await answerTo(stream)).headers[":status"]).toBe(200);
    expect(informed).toMatchObject([{ ":status": 103, link: "</style.css>; rel=preload" }]);
  });

  test("a client that waits for 100 is told to go on", async () => {
    const stream = open({ ":method": "POST", expect: "100-continue" }, false);
    await once(stream, "continue");
    stream.end("body");
    expect((await answerTo(stream)).body.toString()).toBe("body");
  });

  test("an answer before the request is whole", async () => {
    handler = (stream) => stream.respond({ ":status": 413 }, { endStream: true });
    const stream = open({ ":method": "POST" }, false);
    stream.write(megabyte);
    expect((await answerTo(stream)).headers[":status"]).toBe(413);
  });

  test("a refusal is an ordinary answer", async () => {
    const { headers, body } = await answerTo(open({ ":authority": "guarded" }));
    expect(headers).toMatchObject({ ":status": 403, "x-countersign-reason": "no-allow" });
    expect(JSON.parse(body.toString())).toMatchObject({ reason: "no-allow" });
  });
});

describe("curl --http2-prior-knowledge", () => {
  const curl = async (...parts: string[]) => {
    const to = ["--connect-to", `target:80:${pair.outbound}`, "http://target/curl"];
    const { stdout } = await run("curl", ["-sS", "--http2-prior-knowledge", "--max-time", "30", ...parts, ...to], { maxBuffer: 2 ** 24 });
    return stdout;
  };

  test("gets, and posts a file", async () => {
    expect(await curl("-o", "/dev/null", "-w", "%{http_version} %{http_code}")).toBe("2 200");
    expect(await curl("--data-binary", `@${import.meta.filename}`)).toContain("curl --http2-prior-knowledge");
  });
});

describe("streams", () => {
  test("five hundred at once", async () => {
    const bodies = await Promise.all(
      Array.from({ length: 500 }, async (_, index) => {
        const stream = open({ ":method": "POST" }, false);
        stream.end(`stream ${index}`);
        return (await answerTo(stream)).body.toString();
      }),
    );
    expect(bodies).toEqual(bodies.map((_, index) => `stream ${index}`));
  });

  test("10 MiB both ways at once", async () => {
    const stream = open({ ":method": "POST" }, false);
    const answer = answerTo(stream);
    for (let index = 0; index < 10; index++) if (!stream.write(megabyte)) await once(stream, "drain");
    stream.end();
    expect((await answer).body.equals(Buffer.concat(Array.from({ length: 10 }, () => megabyte)))).toBe(true);
  });

  test("a reset by the client reaches the server", async () => {
    const code = Promise.withResolvers<number>();
    handler = (stream) => {
      stream.respond({ ":status": 200 });
      stream.on("close", () => code.resolve(stream.rstCode));
    };
    const stream = open({ ":method": "POST" }, false);
    await once(stream, "response");
    stream.close(constants.NGHTTP2_CANCEL);
    expect(await code.promise).toBe(constants.NGHTTP2_CANCEL);
  });

  test("a reset by the server is a 502 before its answer, and cuts it afterwards", async () => {
    handler = (stream) => stream.close(constants.NGHTTP2_INTERNAL_ERROR);
    expect((await answerTo(open({}))).headers).toMatchObject({ ":status": 502, "x-countersign-reason": "upstream-failed" });
    handler = (stream) => {
      stream.respond({ ":status": 200 });
      stream.write("part", () => stream.destroy(new Error("the application breaks off")));
    };
    await expect(answerTo(open({}))).rejects.toMatchObject({ code: "ERR_HTTP2_STREAM_ERROR" });
  });

  test("pings are answered", async () => {
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    client.ping((error, duration) => (error ? reject(error) : resolve(duration)));
    expect(await promise).toBeGreaterThanOrEqual(0);
  });

  test("windows that the client changes on the way are kept to", async () => {
    const narrow = connect(`http://${pair.outbound}`, { settings: { initialWindowSize: 100 } });
    const stream = narrow.request({ ":authority": "target", ":method": "POST" });
    const answer = answerTo(stream);
    stream.end(megabyte);
    narrow.settings({ initialWindowSize: 1_000_000, maxFrameSize: 65_536 });
    expect((await answer).body.equals(megabyte)).toBe(true);
    narrow.close();
  });
});

describe("flow control", () => {
  test("a client that does not read holds back the server, and no other stream", async () => {
    let written = 0;
    // Not a whole number of windows: Node's server cuts an answer whose last byte fills one that stays shut.
    const total = 24 * megabyte.length - 100;
    const part = megabyte.subarray(0, 16_384);
    const held = handler;
    handler = (stream) => {
      stream.respond({ ":status": 200 });
      const more = () => {
        while (written < total) {
          const next = part.subarray(0, total - written);
          written += next.length;
          if (!stream.write(next)) {
            stream.once("drain", more);
            return;
          }
        }
        stream.end();
      };
      more();
    };
    const slow = open({});
    await once(slow, "response");
    await until("the server has begun", () => written > 4 * part.length);
    handler = held;
    for (let index = 0; index < 50; index++) expect((await answerTo(open({}))).headers[":status"]).toBe(200);
    // Windows of three legs, and what sockets hold.
    expect(written).toBeLessThan(4 * megabyte.length);
    expect((await buffer(slow)).length).toBe(total);
  });
});

describe("the application's connections", () => {
  test("GOAWAY in the middle of load loses no call", async () => {
    let served = 0;
    handler = (stream, headers) => {
      if (++served % 40 === 0) for (const session of sessions) session.close();
      setImmediate(() => echo(stream, headers));
    };
    let failed = 0;
    await Promise.all(
      Array.from({ length: 20 }, async () => {
        for (let index = 0; index < 40; index++) {
          const stream = open({ ":method": "POST" }, false);
          stream.end("under load");
          const { headers, body } = await answerTo(stream);
          if (headers[":status"] !== 200 || body.toString() !== "under load") failed++;
        }
      }),
    );
    expect(failed).toBe(0);
    expect(served).toBe(800);
  });

  test("an application that takes few streams at once is given no more; the others wait", async () => {
    for (const session of sessions) session.close();
    await until("the connections have ended", () => [...sessions].every((session) => session.closed));
    let active = 0;
    let most = 0;
    application.updateSettings({ maxConcurrentStreams: 5 });
    handler = (stream) => {
      most = Math.max(most, ++active);
      setImmediate(() => {
        active--;
        stream.respond({ ":status": 200 }, { endStream: true });
      });
    };
    const answers = await Promise.all(Array.from({ length: 300 }, () => answerTo(open({}))));
    application.updateSettings({ maxConcurrentStreams: 1000 });
    expect(answers.every(({ headers }) => headers[":status"] === 200)).toBe(true);
    // As many connections as one application is given, or at the beginning what the RFC lets a client assume.
    expect(most).toBeLessThanOrEqual(140);
  });

  test("where nobody listens it is 503", async () => {
    expect((await answerTo(open({ ":authority": "absent" }))).headers).toMatchObject({
      ":status": 503,
      "x-countersign-reason": "upstream-refused",
    });
  });
});
