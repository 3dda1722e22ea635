/** Connections to a real application, and a client that cannot take everything at once. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, test, vi } from "vitest";
import type { Front } from "../../../sidecar/front/front.ts";

import { createExchange, type Exchange } from "../../../sidecar/inbound/exchange.ts";
import { createHttp1Pool } from "../../../sidecar/upstream/http1-pool.ts";
import type { Link } from "../../../sidecar/upstream/upstream.ts";
import { fromString } from "../../../common/spiffe/id.ts";

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

const peer = {
  spiffeId: fromString("spiffe://test.example/ns/shop/sa/caller"),
  trustDomain: "test.example",
  namespace: "shop",
  address: "127.0.0.1",
  serverName: "",
  target: undefined,
};
const head = { method: "GET", target: "/", authority: "target", scheme: "", fields: [], kinds: 0, contentLength: 0 };
const forwarded = { method: "GET", target: "/", authority: "target", fields: [], added: [], framing: -2 };

interface Upstream {
  readonly pool: Link<Exchange>;
  readonly connections: () => number;
  /** How many have been closed. */
  readonly closed: () => number;
}

interface PoolSettings {
  readonly idleMs?: number;
  readonly monotonic?: () => number;
  /** As the server announces it, in seconds; 0 for a server that says nothing. */
  readonly keptSeconds?: number;
}

async function poolFor(
  body: Buffer,
  { idleMs = 0, monotonic = () => performance.now(), keptSeconds = 5 }: PoolSettings = {},
): Promise<Upstream> {
  let connections = 0;
  let closed = 0;
  const server = createServer({ keepAliveTimeout: keptSeconds * 1000 }, (_request, response) => response.end(body));
  server.on("connection", (socket) => {
    connections++;
    socket.once("close", () => closed++);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const pool = createHttp1Pool({
    address: { host: "127.0.0.1", port: (server.address() as AddressInfo).port },
    idleMs,
    monotonic,
    withheld: 0,
    onResponse: () => undefined,
    onComplete: () => undefined,
    onFailure: (_exchange, reason, detail) => {
      throw new Error(`${reason}: ${detail}`);
    },
  });
  closing.push(() => {
    pool.close();
    server.closeAllConnections();
    server.close();
  });
  return { pool, connections: () => connections, closed: () => closed };
}

/** Resolves with the bytes of the answer; `room` is what `sendData` tells the pool. */
async function ask(pool: Link<Exchange>, room: (exchange: Exchange, end: boolean) => boolean): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>();
  let bytes = 0;
  const front: Front<Exchange> = {
    sendInformational: () => undefined,
    sendHead: () => undefined,
    sendData(exchange, chunk, end) {
      bytes += chunk.length;
      if (end) resolve(bytes);
      return room(exchange, end);
    },
    end: () => resolve(bytes),
    abort: () => undefined,
    resume: () => undefined,
  };
  const exchange = createExchange(front, undefined, peer, head, "h2", "");
  exchange.bodyEnded = true;
  pool.forward(exchange, forwarded);
  return await promise;
}

test("a connection whose last bytes found no room serves the next request", async () => {
  const { pool, connections } = await poolFor(Buffer.alloc(2000));
  expect(await ask(pool, () => false)).toBe(2000);
  expect(await ask(pool, () => true)).toBe(2000);
  expect(connections()).toBe(1);
});

test("nothing is read while there is no room, and reading goes on when there is", async () => {
  const { pool } = await poolFor(Buffer.alloc(3_000_000));
  let paused = 0;
  const resume = (exchange: Exchange) => setImmediate(() => exchange.upstream?.resume(exchange));
  const bytes = await ask(pool, (exchange) => {
    paused++;
    resume(exchange);
    return false;
  });
  expect(bytes).toBe(3_000_000);
  expect(paused).toBeGreaterThan(10);
});

test("a connection that is idle for too long is closed, and one in use is not", async () => {
  const { pool, connections, closed } = await poolFor(Buffer.alloc(3_000_000), { idleMs: 50 });
  const began = performance.now();
  const slowly = (exchange: Exchange) => {
    const wait = performance.now() - began < 200;
    if (wait) setTimeout(() => exchange.upstream?.resume(exchange), 10);
    return !wait;
  };
  expect(await ask(pool, slowly)).toBe(3_000_000);
  expect([connections(), closed()]).toEqual([1, 0]);
  await vi.waitFor(() => expect(closed()).toBe(1));
  expect(await ask(pool, () => true)).toBe(3_000_000);
  expect(connections()).toBe(2);
});

test("a connection that its upstream is about to close is not used again", async () => {
  let now = 0;
  const { pool, connections } = await poolFor(Buffer.alloc(100), { monotonic: () => now });
  await ask(pool, () => true);
  now += 3900;
  await ask(pool, () => true);
  expect(connections()).toBe(1);
  // Node's server says that it keeps it for five seconds.
  now += 4000;
  await ask(pool, () => true);
  expect(connections()).toBe(2);
});

test("of an upstream that says nothing of it a connection is good for ever", async () => {
  let now = 0;
  const { pool, connections } = await poolFor(Buffer.alloc(100), { monotonic: () => now, keptSeconds: 0 });
  await ask(pool, () => true);
  now += 1e9;
  await ask(pool, () => true);
  expect(connections()).toBe(1);
});
