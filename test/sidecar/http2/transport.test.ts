import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { Duplex } from "node:stream";
import { setImmediate as nextTurn } from "node:timers/promises";
import { afterEach, describe, expect, it } from "vitest";
import { createHttp2Connection, type Http2Handler, type Http2Limits } from "../../../sidecar/http2/connection.ts";
import type { Schedule } from "../../../sidecar/progress-watch.ts";
import { attachHttp2, type Http2Transport, type Http2TransportOptions } from "../../../sidecar/http2/transport.ts";
import { clientPreface, FrameFlag, FrameType } from "../../../sidecar/http2/frames.ts";
import { block, framesOf, get, headers, ping, record, settings, settingsAck, windowUpdate, type Recorder } from "./wire.ts";

const now = (): number => performance.now();
const head = { method: "GET", scheme: "https", authority: "a", path: "/" };
const opened: Socket[] = [];

afterEach(() => {
  for (const socket of opened.splice(0)) socket.destroy();
});

/** Both ends of a TCP connection. */
async function socketPair(): Promise<[Socket, Socket]> {
  const listener = createServer().listen(0);
  await once(listener, "listening");
  const near = connect((listener.address() as AddressInfo).port);
  const [far] = (await once(listener, "connection")) as [Socket];
  listener.close();
  if (near.connecting) await once(near, "connect");
  opened.push(near, far);
  return [near, far];
}

interface Side extends Recorder {
  readonly transport: Http2Transport;
  readonly closed: Promise<Error | undefined>;
}

function attach(
  role: "client" | "server",
  socket: Duplex,
  also: Partial<Http2Handler> = {},
  options: Http2TransportOptions = {},
  limits: Partial<Http2Limits> = {},
): Side {
  const recorder = record(also);
  const closed = Promise.withResolvers<Error | undefined>();
  const transport = attachHttp2(socket, recorder.handler, (handler) => createHttp2Connection({ role, handler, limits, now }), {
    onClose: (error) => closed.resolve(error),
    ...options,
  });
  return Object.assign(recorder, { transport, closed: closed.promise });
}

/** A socket whose writes are seen one by one, and are done when the test says so. */
function openEnded(highWaterMark = 1_000_000): { socket: Duplex; writes: Buffer[]; take: () => void } {
  const writes: Buffer[] = [];
  const waiting: (() => void)[] = [];
  const socket = new Duplex({
    writableHighWaterMark: highWaterMark,
    read() {},
    write(chunk: Buffer, _, done) {
      writes.push(chunk);
      waiting.push(() => done());
    },
  });
  return { socket, writes, take: () => waiting.shift()?.() };
}

/** Timers that run when the test lets time pass. */
function manualTime(): { schedule: Schedule; pass(ms: number): void; pending(): number } {
  let time = 0;
  const due = new Set<{ at: number; task: () => void }>();
  return {
    schedule(task, ms) {
      const entry = { at: time + ms, task };
      due.add(entry);
      return () => due.delete(entry);
    },
    pass(ms) {
      time += ms;
      for (const entry of due) {
        if (entry.at > time) continue;
        due.delete(entry);
        entry.task();
      }
    },
    pending: () => due.size,
  };
}

describe("writing", () => {
  it("puts everything of a turn into one write", async () => {
    const { socket, writes, take } = openEnded();
    const client = attach("client", socket);
    for (let i = 0; i < 20; i++) client.transport.connection.request(head, [], true);
    await nextTurn();
    await nextTurn();
    expect(writes).toHaveLength(1);
    take();
    expect(framesOf(writes[0]!.subarray(24)).filter(({ type }) => type === FrameType.HEADERS)).toHaveLength(20);
  });

  it("stops taking output while the socket is saturated, and goes on when it drains", async () => {
    const { socket, writes, take } = openEnded(100);
    const server = attach(
      "server",
      socket,
      {
        onRequest(stream) {
          server.transport.connection.respond(stream, 200, [], false);
        },
      },
      {},
      { outputHighWater: 20_000 },
    );
    await nextTurn();
    socket.push(
      Buffer.concat([
        clientPreface,
        settings([4, 10_000_000]),
        settingsAck,
        headers(1, block(...get)),
        Buffer.from([0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0x90, 0, 0]),
      ]),
    );
    await nextTurn();
    await nextTurn();
    const stream = server.streams.get(1)!;
    expect(writes).toHaveLength(1);
    expect(server.transport.connection.sendData(stream, Buffer.alloc(30_000), false)).toBe(true);
    expect(server.transport.connection.sendData(stream, Buffer.alloc(30_000), true)).toBe(false);
    await nextTurn();
    expect(writes).toHaveLength(1);
    for (let i = 0; i < 10; i++) {
      take();
      await nextTurn();
      await nextTurn();
    }
    const bodies = framesOf(Buffer.concat(writes)).filter(({ type }) => type === FrameType.DATA);
    expect(bodies.reduce((sum, { payload }) => sum + payload.length, 0)).toBe(60_000);
    expect(writes.length).toBeGreaterThan(2);
  });
});

describe("the end of the socket", () => {
  it("resets every open stream, whoever ends it", async () => {
    for (const how of ["end", "destroy"] as const) {
      const [near, far] = await socketPair();
      const client = attach("client", near);
      client.transport.connection.request(head, [], true);
      client.transport.connection.request(head, [], true);
      far[how]();
      far.resume();
      await client.closed;
      expect(client.events.filter(({ event }) => event === "reset")).toEqual([
        { event: "reset", id: 1, code: "INTERNAL_ERROR", byPeer: true },
        { event: "reset", id: 3, code: "INTERNAL_ERROR", byPeer: true },
      ]);
      expect(client.transport.connection.canRequest()).toBe(false);
    }
  });

  it("is brought about by destroy, with its error", async () => {
    const [near] = await socketPair();
    const client = attach("client", near);
    client.transport.connection.request(head, [], true);
    const error = new Error("enough");
    client.transport.destroy(error);
    expect(await client.closed).toBe(error);
    expect(client.events).toEqual([{ event: "reset", id: 1, code: "INTERNAL_ERROR", byPeer: true }]);
  });

  it("follows a broken rule: GOAWAY is the last thing the peer reads", async () => {
    const [near, far] = await socketPair();
    const server = attach("server", near);
    const read: Buffer[] = [];
    far.on("data", (chunk: Buffer) => read.push(chunk));
    far.write(Buffer.concat([clientPreface, settings(), ping(0, Buffer.alloc(7))]));
    await once(far, "end");
    const frames = framesOf(Buffer.concat(read));
    expect(frames.at(-1)).toMatchObject({ type: FrameType.GOAWAY });
    expect(await server.closed).toMatchObject({ code: "FRAME_SIZE_ERROR" });
  });

  it("does not wait for a peer that breaks a rule and reads nothing", async () => {
    const time = manualTime();
    const { socket } = openEnded(10);
    const server = attach("server", socket, {}, { schedule: time.schedule });
    await nextTurn();
    socket.push(Buffer.from("GET / HTTP/1.1\r\n\r\n00000000"));
    await nextTurn();
    expect(server.events).toEqual([{ event: "fatal", code: "PROTOCOL_ERROR" }]);
    time.pass(10_000);
    expect(await server.closed).toMatchObject({ code: "PROTOCOL_ERROR" });
    expect(time.pending()).toBe(0);
  });
});

describe("keepalive", () => {
  const silent = async (): Promise<{ time: ReturnType<typeof manualTime>; client: Side; far: Socket; sent: Buffer[] }> => {
    const [near, far] = await socketPair();
    const time = manualTime();
    const client = attach("client", near, {}, { schedule: time.schedule, keepaliveInterval: 1000, keepaliveTimeout: 100 });
    const sent: Buffer[] = [];
    far.on("data", (chunk: Buffer) => sent.push(chunk));
    return { time, client, far, sent };
  };

  it("ends a connection whose peer never says a word", async () => {
    const { time, client } = await silent();
    time.pass(100);
    expect((await client.closed)?.message).toBe("the peer says nothing within 100 ms");
    expect(time.pending()).toBe(0);
  });

  it("asks after silence, and ends the connection when nobody answers", async () => {
    const { time, client, far, sent } = await silent();
    far.write(settings());
    await once(far, "data");
    while (client.events.length === 0) await nextTurn();
    time.pass(100);
    time.pass(1000);
    while (!framesOf(Buffer.concat(sent).subarray(24)).some(({ type }) => type === FrameType.PING)) await once(far, "data");
    client.transport.connection.request(head, [], true);
    time.pass(100);
    expect((await client.closed)?.message).toBe("the peer does not answer within 100 ms");
    expect(client.events.at(-1)).toEqual({ event: "reset", id: 1, code: "INTERNAL_ERROR", byPeer: true });
  });

  it("goes on when it is answered", async () => {
    const { time, client, far, sent } = await silent();
    far.write(settings());
    while (client.events.length === 0) await nextTurn();
    time.pass(100);
    for (let round = 1; round <= 3; round++) {
      time.pass(1000);
      const pings = (): number => framesOf(Buffer.concat(sent).subarray(24)).filter(({ type }) => type === FrameType.PING).length;
      while (pings() < round) await once(far, "data");
      far.write(ping(FrameFlag.ACK));
      while (client.events.filter(({ event }) => event === "pong").length < round) await nextTurn();
      time.pass(100);
    }
    expect(client.transport.connection.isClosed()).toBe(false);
    expect(client.events.map(({ event }) => event)).toEqual(["settings", "pong", "pong", "pong"]);
  });

  it("does not ask a peer that talks", async () => {
    const { time, client, far, sent } = await silent();
    for (let round = 1; round <= 3; round++) {
      far.write(settings());
      while (client.events.length < round) await nextTurn();
      time.pass(round === 1 ? 100 : 1000);
    }
    await nextTurn();
    expect(framesOf(Buffer.concat(sent).subarray(24)).filter(({ type }) => type === FrameType.PING)).toEqual([]);
  });
});

describe("a peer that dawdles", () => {
  const serve = async (
    options: Http2TransportOptions = {},
  ): Promise<{ time: ReturnType<typeof manualTime>; server: Side; far: Socket; read: Buffer[] }> => {
    const [near, far] = await socketPair();
    const time = manualTime();
    const server = attach(
      "server",
      near,
      {},
      { schedule: time.schedule, keepaliveInterval: 0, stallTimeout: 0, frameTimeout: 1000, ...options },
    );
    const read: Buffer[] = [];
    far.on("data", (chunk: Buffer) => read.push(chunk));
    return { time, server, far, read };
  };
  const heard = async (server: Side, count: number): Promise<void> => {
    while (server.events.length < count) await nextTurn();
  };

  it.each<[what: string, bytes: Buffer, mark: number]>([
    ["its preface", clientPreface.subarray(0, 20), 1],
    ["its first SETTINGS", Buffer.concat([clientPreface, settings([4, 5]).subarray(0, 12)]), 1],
    ["a frame", Buffer.concat([clientPreface, settings(), ping().subarray(0, 16)]), 2],
    ["a field block", Buffer.concat([clientPreface, settings(), headers(1, block(...get).subarray(0, 20), 0)]), 3],
  ])("over %s is sent away", async (_, bytes, mark) => {
    const { time, server, far, read } = await serve();
    // Dripped in, so that it is never silent.
    for (const byte of bytes) far.write(Buffer.from([byte]));
    while (server.transport.connection.unfinished() !== mark) await nextTurn();
    // The watch may have begun with what came before.
    time.pass(1000);
    time.pass(1000);
    expect((await server.closed)?.message).toBe("a frame takes longer than 1000 ms");
    expect(framesOf(Buffer.concat(read)).at(-1)).toMatchObject({ type: FrameType.GOAWAY });
    expect(time.pending()).toBe(0);
  });

  it("is let through while it finishes what it begins", async () => {
    const { time, server, far } = await serve();
    far.write(Buffer.concat([clientPreface, settings(), ping().subarray(0, 10)]));
    await heard(server, 1);
    for (let round = 1; round <= 5; round++) {
      const unanswered = server.transport.connection.unfinished();
      far.write(Buffer.concat([ping().subarray(10), ping().subarray(0, 10)]));
      while (server.transport.connection.unfinished() === unanswered) await nextTurn();
      time.pass(1000);
    }
    far.write(Buffer.concat([ping().subarray(10), headers(1, block(...get))]));
    await heard(server, 2);
    time.pass(5000);
    expect(server.transport.connection.isClosed()).toBe(false);
    expect(time.pending()).toBe(0);
  });

  it("over reading its socket is given up, and its streams with it", async () => {
    const time = manualTime();
    const { socket, take, writes } = openEnded(1);
    const server = attach(
      "server",
      socket,
      {},
      { schedule: time.schedule, keepaliveInterval: 0, stallTimeout: 0, frameTimeout: 0, writeTimeout: 500 },
    );
    await nextTurn();
    socket.push(Buffer.concat([clientPreface, settings(), headers(1, block(...get))]));
    await heard(server, 2);
    // The first batch is taken in time, the second never.
    while (writes.length < 1) await nextTurn();
    take();
    socket.push(ping());
    while (writes.length < 2 || !socket.writableNeedDrain) await nextTurn();
    time.pass(500);
    expect(server.transport.connection.isClosed()).toBe(false);
    time.pass(500);
    expect((await server.closed)?.message).toBe("the peer has read nothing for 500 ms");
    expect(server.events.at(-1)).toEqual({ event: "reset", id: 1, code: "INTERNAL_ERROR", byPeer: true });
    expect(time.pending()).toBe(0);
  });

  it("over its windows loses the streams that wait for them, and no others", async () => {
    const { time, server, far } = await serve({ stallTimeout: 2000 });
    far.write(
      Buffer.concat([clientPreface, settings([4, 10]), headers(1, block(...get)), headers(3, block(...get)), headers(5, block(...get))]),
    );
    await heard(server, 4);
    const { connection } = server.transport;
    for (const stream of server.streams.values()) connection.respond(stream, 200, [], false);
    for (const id of [1, 3]) expect(connection.sendData(server.streams.get(id)!, Buffer.alloc(100), true)).toBe(false);
    time.pass(2000);
    far.write(windowUpdate(3, 10));
    await heard(server, 4);
    while (server.streams.get(3)!.sendWindow !== 0 || server.streams.get(3)!.queueOffset < 10) await nextTurn();
    time.pass(2000);
    expect(server.events.slice(4)).toEqual([{ event: "reset", id: 1, code: "CANCEL", byPeer: false }]);
    time.pass(4000);
    expect(server.events.slice(5)).toEqual([{ event: "reset", id: 3, code: "CANCEL", byPeer: false }]);
    expect(connection.streamCount()).toBe(1);
    server.transport.destroy();
    await server.closed;
    expect(time.pending()).toBe(0);
  });
});

describe("close", () => {
  it("lets open streams end, takes no new ones, and ends the socket on both sides", async () => {
    const [near, far] = await socketPair();
    const server = attach("server", near);
    const client = attach("client", far);
    client.transport.connection.request(head, [], true);
    while (server.streams.size === 0) await nextTurn();
    const done = server.transport.close(60_000);
    while (client.transport.connection.canRequest()) await nextTurn();
    expect(client.events).toContainEqual({ event: "goaway", last: 0x7fff_ffff, code: "NO_ERROR", debug: "" });
    expect(server.transport.connection.isClosed()).toBe(false);
    server.transport.connection.respond(server.streams.get(1)!, 204, [], true);
    await done;
    expect(await server.closed).toBeUndefined();
    expect(await client.closed).toBeUndefined();
    expect(client.events.filter(({ event }) => event === "response" || event === "reset")).toMatchObject([
      { event: "response", status: 204 },
    ]);
  });

  it("ends an idle client at once", async () => {
    const [near, far] = await socketPair();
    const server = attach("server", near);
    const client = attach("client", far);
    await client.transport.close(60_000);
    expect(await server.closed).toBeUndefined();
    expect(await client.transport.close(60_000)).toBeUndefined();
  });

  it("does not wait beyond its deadline", async () => {
    const [near, far] = await socketPair();
    const time = manualTime();
    const server = attach("server", near, {}, { schedule: time.schedule });
    const client = attach("client", far);
    client.transport.connection.request(head, [], true);
    while (server.streams.size === 0) await nextTurn();
    const done = server.transport.close(500);
    time.pass(500);
    await done;
    expect((await server.closed)?.message).toBe("streams were still open after 500 ms");
    expect(server.events.at(-1)).toEqual({ event: "reset", id: 1, code: "INTERNAL_ERROR", byPeer: true });
    expect(time.pending()).toBe(0);
  });
});
