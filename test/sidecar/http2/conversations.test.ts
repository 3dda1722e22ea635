/** The codec against node:http2 on real sockets, in both roles, in generated conversations; then the same bytes in other cuts. */
import * as http2 from "node:http2";
import { createServer, connect, type AddressInfo, type Server, type Socket } from "node:net";
import { once } from "node:events";
import * as fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createHttp2Connection } from "../../../sidecar/http2/connection.ts";
import { attachHttp2 } from "../../../sidecar/http2/transport.ts";
import {
  conversation,
  digest,
  expectedOf,
  heardOn,
  partsOf,
  play,
  replay,
  sorted,
  withoutCuts,
  type Call,
  type Conversation,
  type Headers,
  type Heard,
  type Message,
} from "./conversation.ts";
import type { Event } from "./wire.ts";

const RUNS = 40;
const now = (): number => performance.now();
const portOf = (server: { address(): AddressInfo | string | null }): number => (server.address() as AddressInfo).port;

const toNode = (pairs: Headers): http2.OutgoingHttpHeaders => Object.fromEntries(pairs);
const fromNode = (headers: http2.IncomingHttpHeaders): Headers =>
  sorted(
    Object.entries(headers)
      .filter(([name]) => !name.startsWith(":") && name !== "host" && name !== "date")
      .map(([name, value]) => [name, String(value)] as const),
  );

/** Reads what a stream of node's carries. */
async function hear(stream: http2.Http2Stream, head: string, headers: http2.IncomingHttpHeaders): Promise<Heard> {
  const chunks: Buffer[] = [];
  let trailers: Headers = [];
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  stream.on("trailers", (fields: http2.IncomingHttpHeaders) => (trailers = fromNode(fields)));
  await once(stream, "end");
  return { head, headers: fromNode(headers), body: digest(Buffer.concat(chunks)), trailers };
}

function say(stream: http2.Http2Stream, message: Message): void {
  stream.on("wantTrailers", () => (stream as http2.ServerHttp2Stream).sendTrailers(toNode(message.trailers)));
  for (const part of partsOf(message.body)) stream.write(part);
  stream.end();
}

/** Plays the client of a conversation by node:http2. */
async function playNodeClient(port: number, { calls, settings }: Conversation): Promise<Heard[]> {
  const session = http2.connect(`http://localhost:${port}`, { settings, maxDeflateDynamicTableSize: settings.headerTableSize });
  const answers = calls.map(async ({ method, path, request }) => {
    const whole = request.body.length === 0 && request.trailers.length === 0;
    const stream = session.request(
      { ":method": method, ":path": path, ":authority": "orders.shop", ...toNode(request.headers) },
      { endStream: whole, waitForTrailers: request.trailers.length > 0 },
    );
    const answered = once(stream, "response") as Promise<[http2.IncomingHttpHeaders]>;
    if (!whole) say(stream, request);
    const [headers] = await answered;
    return hear(stream, String(headers[":status"]), headers);
  });
  const heard = await Promise.all(answers);
  session.close();
  await once(session, "close");
  return heard;
}

/** What both sides have heard in the end. */
function expectAllHeard(calls: readonly Call[], requests: readonly Heard[], responses: readonly Heard[]): void {
  expect(requests).toEqual(calls.map(({ method, path, request }) => expectedOf(`${method} ${path}`, request)));
  expect(responses).toEqual(calls.map(({ status, response }) => expectedOf(String(status), response)));
}

function cutsFrom(seed: number): () => number {
  let state = seed;
  return () => (((state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff) >>> 16) % 700) + 1;
}

/** Everything a socket receives, beside whoever reads it. */
function recordBytes(socket: Socket): Buffer[] {
  const received: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => received.push(Buffer.from(chunk)));
  return received;
}

describe("as a server of node's client", () => {
  let listener: Server;
  let current: Conversation;
  let finished: (result: { events: Event[]; received: Buffer; error: Error | undefined }) => void;

  beforeAll(async () => {
    listener = createServer((socket) => {
      const received = recordBytes(socket);
      const player = play("server", current.calls);
      const { limits } = current;
      const { connection } = attachHttp2(
        socket,
        player.handler,
        (handler) => createHttp2Connection({ role: "server", handler, limits, now }),
        {
          onClose: (error) => finished({ events: player.events, received: Buffer.concat(received), error }),
        },
      );
      player.begin(connection);
    }).listen(0);
    await once(listener, "listening");
  });
  afterAll(() => listener.close());

  it("hears and says every message, in any cut", async () => {
    await fc.assert(
      fc.asyncProperty(conversation, fc.integer({ min: 1 }), async (made, seed) => {
        current = made;
        const done = new Promise<Parameters<typeof finished>[0]>((resolve) => (finished = resolve));
        const responses = await playNodeClient(portOf(listener), made);
        const { events, received, error } = await done;
        expect(error).toBeUndefined();
        const requests = made.calls.map((_, i) => heardOn(events, 2 * i + 1));
        expectAllHeard(made.calls, requests, responses);
        const heard = withoutCuts(events);
        expect(replay("server", made, received, () => 1)).toEqual(heard);
        expect(replay("server", made, received, cutsFrom(seed))).toEqual(heard);
        expect(replay("server", made, received, () => Infinity)).toEqual(heard);
      }),
      { numRuns: RUNS },
    );
  });
});

describe("as a client of node's server", () => {
  async function playNodeServer({ calls, settings }: Conversation): Promise<{ server: http2.Http2Server; requests: Promise<Heard>[] }> {
    const requests: Promise<Heard>[] = [];
    const server = http2.createServer({ settings, maxDeflateDynamicTableSize: settings.headerTableSize });
    server.on("stream", (stream, headers) => {
      const { status, response } = calls[requests.length]!;
      const heard = hear(stream, `${String(headers[":method"])} ${String(headers[":path"])}`, headers);
      requests.push(heard);
      void heard.then(() => {
        (stream as http2.ServerHttp2Stream).respond({ ":status": status, ...toNode(response.headers) }, {
          waitForTrailers: response.trailers.length > 0,
          sendDate: false,
        } as http2.ServerStreamResponseOptions);
        say(stream, response);
      });
    });
    server.listen(0);
    await once(server, "listening");
    return { server, requests };
  }

  it("hears and says every message, in any cut", async () => {
    await fc.assert(
      fc.asyncProperty(conversation, fc.integer({ min: 1 }), async (made, seed) => {
        const { server, requests } = await playNodeServer(made);
        const socket = connect(portOf(server));
        await once(socket, "connect");
        const received = recordBytes(socket);
        const answered = Promise.withResolvers<void>();
        const player = play("client", made.calls, () => answered.resolve());
        const { limits } = made;
        const transport = attachHttp2(
          socket,
          player.handler,
          (handler) => createHttp2Connection({ role: "client", handler, limits, now }),
          {
            onClose: (error) => answered.reject(error ?? new Error("closed before the end")),
          },
        );
        player.begin(transport.connection);
        await answered.promise;
        const heard = withoutCuts(player.events);
        const bytes = Buffer.concat(received);
        await transport.close(5000);
        server.close();
        const responses = made.calls.map((_, i) => heardOn(player.events, 2 * i + 1));
        expectAllHeard(made.calls, await Promise.all(requests), responses);
        expect(replay("client", made, bytes, () => 1)).toEqual(heard);
        expect(replay("client", made, bytes, cutsFrom(seed))).toEqual(heard);
        expect(replay("client", made, bytes, () => Infinity)).toEqual(heard);
      }),
      { numRuns: RUNS },
    );
  });
});
