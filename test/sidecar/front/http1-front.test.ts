/** Clients that take their time, at a real socket, under a clock of the test's own. */
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { afterEach, expect, test } from "vitest";
import type { CallSink, FrontCall } from "../../../sidecar/front/front.ts";
import { serveHttp1 } from "../../../sidecar/front/http1-front.ts";

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

interface Timer {
  readonly task: () => void;
  readonly ms: number;
}

/** A client of a front, and the timers that the front has set. */
async function client(): Promise<{ socket: Socket; timers: Set<Timer>; calls: FrontCall[]; ended: FrontCall[] }> {
  const timers = new Set<Timer>();
  const calls: FrontCall[] = [];
  const ended: FrontCall[] = [];
  const sink: CallSink<FrontCall> = {
    begin(_front, slot, head, _spoken, protocol) {
      const call = { head, slot, protocol, tunnel: false, bodyEnded: false, waiting: false, touched: false };
      calls.push(call);
      return call;
    },
    head: () => undefined,
    body: () => undefined,
    bodyEnd: () => undefined,
    readEnd: () => false,
    drained: () => undefined,
    cancel: (call) => void ended.push(call),
    malformed: () => undefined,
  };
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const front = serveHttp1(socket, sink, {
      headTimeout: 10,
      bodyTimeout: 20,
      schedule(task, ms) {
        const timer = { task, ms };
        timers.add(timer);
        return () => void timers.delete(timer);
      },
    });
    socket.on("data", (chunk: Buffer) => front.receive(chunk));
    socket.on("close", () => front.closed());
    socket.on("error", () => undefined);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
  closing.push(() => {
    socket.destroy();
    server.close();
  });
  await once(socket, "connect");
  return { socket, timers, calls, ended };
}

function expire(timers: Set<Timer>, ms: number): void {
  const due = [...timers].filter((timer) => timer.ms === ms);
  expect(due.length).toBeGreaterThan(0);
  for (const timer of due) {
    timers.delete(timer);
    timer.task();
  }
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

test("a head that does not come to its end is 408, and the end of the connection", async () => {
  const { socket, timers, calls } = await client();
  socket.write("GET / HTTP/1.1\r\nhost: x\r\n");
  await until(() => socket.bytesWritten === 25 && timers.size > 0);
  let text = "";
  socket.on("data", (chunk: Buffer) => (text += chunk.toString("latin1")));
  const end = once(socket, "end");
  // The connection itself was the first thing to wait for; the head that came meanwhile is the second.
  expire(timers, 10);
  if (timers.size > 0) expire(timers, 10);
  await end;
  expect(text).toMatch(/^HTTP\/1\.1 408 /);
  expect(calls).toEqual([]);
});

test("a body that stands still is 408, and its call is cancelled", async () => {
  const { socket, timers, calls, ended } = await client();
  socket.write("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nhalf");
  await until(() => calls.length === 1 && [...timers].some(({ ms }) => ms === 20));
  let text = "";
  socket.on("data", (chunk: Buffer) => (text += chunk.toString("latin1")));
  const end = once(socket, "end");
  expire(timers, 20);
  await end;
  expect(text).toMatch(/^HTTP\/1\.1 408 /);
  expect(ended).toEqual(calls);
});

test("a client that is whole and waits for its answer is waited for", async () => {
  const { socket, timers, calls } = await client();
  socket.write("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nbody");
  await until(() => calls.length === 1);
  for (const timer of timers) timer.task();
  expect([...timers].filter(({ ms }) => ms === 20)).toEqual([]);
  expect(socket.destroyed).toBe(false);
});
