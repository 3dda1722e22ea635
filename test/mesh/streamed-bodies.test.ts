/** Bodies that are longer than what is hashed whole, or of unknown length, through both sidecars: signed and verified part by part. */
import { hash } from "node:crypto";
import { once } from "node:events";
import { createServer, request as httpRequest, type ClientRequest, type IncomingMessage, type ServerResponse } from "node:http";
import { connect, type Socket } from "node:net";
import { buffer, text } from "node:stream/consumers";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { addressOf, call, sendPlain } from "./clients.ts";
import { until } from "./harness.ts";
import { startPair, type Pair } from "./pair.ts";

const megabyte = Buffer.alloc(1024 * 1024, "0123456789abcdef");
const tenMegabytes = Buffer.concat(Array.from({ length: 10 }, (_, index) => Buffer.alloc(megabyte.length, `${index} part `)));

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

/** Answers with what it has read and how it was framed. */
const digest: Handler = (request, response) => {
  void buffer(request).then((body) => {
    const { "content-length": length = "", "transfer-encoding": coding = "" } = request.headers;
    response.end(JSON.stringify({ size: body.length, sha256: hash("sha256", body), length, coding, trailers: request.trailers }));
  });
};
let handler: Handler = digest;
const application = createServer((request, response) => {
  request.on("error", () => undefined);
  response.on("error", () => undefined);
  handler(request, response);
});

let pair: Pair;
beforeAll(async () => {
  pair = await startPair(application);
});
afterAll(async () => pair?.mesh.stop());
beforeEach(() => {
  handler = digest;
});

/** An upload under way. */
function upload(headers: Readonly<Record<string, string>>): ClientRequest {
  const { host, port } = addressOf(pair.outbound);
  const sent = httpRequest({ host, port, method: "POST", headers: { host: "target", ...headers }, agent: false });
  sent.on("error", () => undefined);
  return sent;
}

async function answerTo(sent: ClientRequest): Promise<IncomingMessage> {
  const [response] = (await once(sent, "response")) as [IncomingMessage];
  return response;
}

function digestOf(body: Buffer): object {
  return { size: body.length, sha256: hash("sha256", body) };
}

test.each([65_537, 100_000, megabyte.length, 10 * megabyte.length])("%i bytes arrive as they were, with their length", async (size) => {
  const body = tenMegabytes.subarray(0, size);
  const answer = await call(pair.outbound, { host: "target", method: "PUT", body });
  expect(answer.status).toBe(200);
  expect(JSON.parse(answer.body.toString())).toMatchObject({ ...digestOf(body), length: String(size), coding: "" });
});

test.each([65_537, 10 * megabyte.length])("%i bytes of unknown length arrive as they were", async (size) => {
  const body = tenMegabytes.subarray(0, size);
  const sent = upload({});
  sent.flushHeaders();
  for (let at = 0; at < size; at += 100_000) if (!sent.write(body.subarray(at, at + 100_000))) await once(sent, "drain");
  sent.end();
  expect(JSON.parse(await text(await answerTo(sent)))).toMatchObject({ ...digestOf(body), length: "", coding: "chunked" });
});

describe("both ways at once", () => {
  test("10 MiB echoed while they are uploaded", async () => {
    handler = (request, response) => void request.pipe(response);
    const sent = upload({ "content-length": String(tenMegabytes.length) });
    sent.end(tenMegabytes);
    expect((await buffer(await answerTo(sent))).equals(tenMegabytes)).toBe(true);
  });

  test("part by part: each is sent when the last has come back", async () => {
    handler = (request, response) => {
      response.flushHeaders();
      request.pipe(response);
    };
    const sent = upload({});
    sent.flushHeaders();
    const response = await answerTo(sent);
    for (let index = 0; index < 100; index++) {
      sent.write(`part ${index}`);
      const [part] = (await once(response, "data")) as [Buffer];
      expect(part.toString()).toBe(`part ${index}`);
    }
    sent.end();
    response.resume();
    await once(response, "end");
  });
});

describe("an application that is slow, or does not read", () => {
  test("holds its client back, and no other call", async () => {
    const reading = Promise.withResolvers<void>();
    handler = (request, response) => {
      if (request.method === "GET") response.end("quick");
      else void reading.promise.then(() => digest(request, response));
    };
    const { host, port } = addressOf(pair.outbound);
    const socket = connect({ host, port });
    const total = 64 * megabyte.length;
    socket.write(`POST / HTTP/1.1\r\nHost: target\r\nContent-Length: ${total}\r\nConnection: close\r\n\r\n`);
    let sent = 0;
    const all = (async () => {
      for (; sent < total; sent += megabyte.length) if (!socket.write(megabyte)) await once(socket, "drain");
    })();
    await until("the upload has begun", () => sent > 0);
    for (let index = 0; index < 50; index++) expect((await call(pair.outbound, { host: "target" })).body.toString()).toBe("quick");
    // What kernels keep for three connections, and the windows between.
    expect(sent).toBeLessThan(32 * megabyte.length);
    reading.resolve();
    const answer = text(socket);
    await all;
    expect(await answer).toContain(`"size":${total}`);
  });

  test("may answer before it has read all, again and again: the answer arrives, and what is left of the upload is let go of", async () => {
    handler = (_request, response) => {
      response.writeHead(413, { connection: "close" });
      response.end("too much");
    };
    // Together more than the windows of the connection that all of them share.
    for (let round = 0; round < 30; round++) {
      const sent = upload({ "content-length": String(tenMegabytes.length) });
      sent.end(tenMegabytes);
      const response = await answerTo(sent);
      expect(response.statusCode).toBe(413);
      expect(await text(response)).toBe("too much");
      sent.destroy();
    }
    handler = digest;
    const answer = await call(pair.outbound, { host: "target", method: "PUT", body: tenMegabytes });
    expect(JSON.parse(answer.body.toString())).toMatchObject(digestOf(tenMegabytes));
  });

  test("may answer while the whole upload is on its way: the client's connection goes on", async () => {
    const { host, port } = addressOf(pair.outbound);
    const socket = connect({ host, port });
    handler = (request, response) => {
      if (request.method === "GET") response.end("last");
      else response.end("enough");
    };
    const body = megabyte.subarray(0, 300_000);
    let heard = "";
    socket.on("data", (chunk: Buffer) => (heard += chunk.toString()));
    for (let round = 1; round <= 30 && !socket.closed; round++) {
      socket.write(`POST / HTTP/1.1\r\nHost: target\r\nContent-Length: ${body.length}\r\n\r\n`);
      socket.write(body);
      await until("the answer has come, or the connection has ended", () => heard.split("enough").length > round || socket.readableEnded);
      if (socket.readableEnded) break;
    }
    expect(heard).toContain("enough");
    socket.destroy();
    // Whether or not it may be used again is for timing to say; others are not concerned.
    expect((await call(pair.outbound, { host: "target" })).body.toString()).toBe("last");
  });
});

describe("uploads that are cut", () => {
  test.each([
    ["is reset", (socket: Socket) => socket.resetAndDestroy()],
    ["is closed", (socket: Socket) => socket.end()],
  ])("by the client, whose connection %s: the application sees that it is not whole", async (_, leave) => {
    const began = Promise.withResolvers<void>();
    const ended = Promise.withResolvers<boolean>();
    handler = (request) => {
      request.once("data", () => began.resolve());
      request.on("close", () => ended.resolve(request.complete));
    };
    const { host, port } = addressOf(pair.outbound);
    const socket = connect({ host, port });
    socket.on("error", () => undefined);
    socket.resume();
    socket.write(`POST / HTTP/1.1\r\nHost: target\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n`);
    await began.promise;
    leave(socket);
    expect(await ended.promise).toBe(false);
  });

  test("by the application: 502", async () => {
    handler = (request) => void request.once("data", () => request.socket.destroy());
    const sent = upload({ "content-length": String(tenMegabytes.length) });
    sent.end(tenMegabytes);
    const response = await answerTo(sent);
    expect([response.statusCode, response.headers["x-countersign-reason"]]).toEqual([502, "upstream-failed"]);
    response.resume();
    sent.destroy();
  });

  test("by the application, behind the head of its answer: that is cut", async () => {
    handler = (request, response) => {
      response.flushHeaders();
      request.once("data", () => request.socket.destroy());
    };
    const sent = upload({ "content-length": String(tenMegabytes.length) });
    const failed = Promise.withResolvers<void>();
    sent.on("response", (response) => {
      response.on("error", () => failed.resolve());
      response.resume();
      sent.end(tenMegabytes);
    });
    sent.write("begin");
    await expect(failed.promise).resolves.toBeUndefined();
  });

  test("where none listens: 503", async () => {
    const sent = upload({ host: "absent", "content-length": String(tenMegabytes.length) });
    sent.end(tenMegabytes);
    const response = await answerTo(sent);
    expect([response.statusCode, response.headers["x-countersign-reason"]]).toEqual([503, "upstream-refused"]);
    response.resume();
    sent.destroy();
  });

  test("refused by policy: 403", async () => {
    const sent = upload({ host: "guarded", "content-length": String(tenMegabytes.length) });
    sent.end(tenMegabytes);
    const response = await answerTo(sent);
    expect([response.statusCode, response.headers["x-countersign-reason"]]).toEqual([403, "no-allow"]);
    response.resume();
    sent.destroy();
  });
});

describe("HTTP/1.1's own", () => {
  const post = "POST / HTTP/1.1\r\nHost: target\r\n";
  const last = "GET /last HTTP/1.1\r\nHost: target\r\nConnection: close\r\n\r\n";

  test.each([
    ["announced", "Trailer: X-Checksum\r\n", "X-Checksum: abc\r\n", { "x-checksum": "abc" }],
    ["announced, and not sent", "Trailer: X-Checksum, X-Other\r\n", "X-Other: 1\r\n", { "x-other": "1" }],
    ["not announced", "", "X-Checksum: abc\r\nX-Checksum: def\r\n", { "x-checksum": "abc, def" }],
  ])("trailers %s", async (_, announced, trailers, expected) => {
    const answer = await sendPlain(
      pair.outbound,
      `${post}Connection: close\r\n${announced}Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n${trailers}\r\n`,
    );
    expect(JSON.parse(answer.slice(answer.indexOf("{"), answer.lastIndexOf("}") + 1))).toMatchObject({ size: 4, trailers: expected });
  });

  test("a client that waits for 100 is told to go on", async () => {
    const sent = upload({ expect: "100-continue", "content-length": String(megabyte.length) });
    sent.flushHeaders();
    await once(sent, "continue");
    sent.end(megabyte);
    expect(JSON.parse(await text(await answerTo(sent)))).toMatchObject(digestOf(megabyte));
  });

  test("a request behind an upload waits for its turn", async () => {
    const body = megabyte.toString();
    const answer = await sendPlain(
      pair.outbound,
      `${post}Content-Length: ${body.length}\r\n\r\n${body}${post}Transfer-Encoding: chunked\r\n\r\n5\r\nsmall\r\n0\r\n\r\n${last}`,
    );
    expect([...answer.matchAll(/"size":(\d+)/g)].map(([, size]) => Number(size))).toEqual([megabyte.length, 5, 0]);
  });
});
