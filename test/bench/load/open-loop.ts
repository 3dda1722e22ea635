/**
 * An open loop: requests leave when they are due, whatever has become of those before them, and their time counts from when
 * they were due. A closed loop asks less of a peer that is slow, and so never sees what waits behind a slow answer
 * (coordinated omission). wrk and h2load cannot do it: the one has no fixed rate, the other sends once in 10 ms.
 *
 * A process of its own: `bin/node26 test/bench/load/open-loop.ts ORIGIN HOST RATE SECONDS SEED` prints an OpenLoopResult as JSON.
 */
import { connect, type Socket } from "node:net";
import { Worker } from "node:worker_threads";
import { BenchError } from "../errors.ts";
import { percentile } from "../statistics.ts";
import { poissonArrivals } from "./arrivals.ts";
import { milliseconds } from "./monotonic.ts";
import type { PacerData } from "./pacer.ts";
import { responseLength } from "./response-end.ts";

export interface OpenLoopResult {
  readonly requests: number;
  readonly p50Micros: number;
  readonly p99Micros: number;
  readonly p999Micros: number;
  /** How late the loop itself was in sending, at its 99th percentile: part of every latency. */
  readonly lateP99Micros: number;
  readonly connections: number;
}

/** As a client's pool has them; what finds none free waits for one, and its time goes on. */
const firstConnections = 32;
const mostConnections = 256;
/** For the last answers. */
const lastMs = 5000;
/** Not counted: connections are opened, and what was idle wakes up. */
const warmMs = 500;
/** For the thread to start. */
const leadMs = 200;

interface Connection {
  readonly socket: Socket;
  /** Index of the request under way, or -1. */
  request: number;
  received: Buffer;
}

const nothing = Buffer.alloc(0);

/** `due` in milliseconds from the start. Rejects at the first request that fails. */
async function runOpenLoop(port: number, host: string, due: Float64Array): Promise<OpenLoopResult> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const request = Buffer.from(`GET / HTTP/1.1\r\nhost: ${host}\r\n\r\n`, "latin1");
  const latencies = new Float64Array(due.length);
  const lateness = new Float64Array(due.length);
  const idle: Connection[] = [];
  let connections = 0;
  let sent = 0;
  let answered = 0;
  const sockets = new Set<Socket>();
  const start = milliseconds() + leadMs;

  function open(): Connection {
    const socket = connect({ port, host: "127.0.0.1", noDelay: true });
    const connection: Connection = { socket, request: -1, received: nothing };
    connections++;
    sockets.add(socket);
    socket.on("data", (chunk: Buffer) => receive(connection, chunk));
    socket.on("error", reject);
    socket.on("close", () => reject(new BenchError("bad-response", "the peer closed a connection")));
    return connection;
  }

  function send(connection: Connection): void {
    connection.request = sent++;
    connection.socket.write(request);
  }

  /** Sends what is due, as far as connections are free. */
  function sendDue(): void {
    const now = milliseconds() - start;
    while (sent < due.length && due[sent]! <= now) {
      const connection = idle.pop() ?? (connections < mostConnections ? open() : undefined);
      if (!connection) return;
      lateness[sent] = now - due[sent]!;
      send(connection);
    }
  }

  function receive(connection: Connection, chunk: Buffer): void {
    const bytes = connection.received.length === 0 ? chunk : Buffer.concat([connection.received, chunk]);
    try {
      const length = responseLength(bytes);
      if (length === undefined || bytes.length < length) {
        connection.received = bytes;
        return;
      }
      if (bytes.length > length || connection.request < 0) throw new BenchError("bad-response", "more came back than was asked for");
    } catch (error) {
      reject(error);
      return;
    }
    latencies[connection.request] = milliseconds() - start - due[connection.request]!;
    connection.request = -1;
    connection.received = nothing;
    idle.push(connection);
    if (++answered === due.length) resolve();
    else sendDue();
  }

  for (let index = 0; index < firstConnections; index++) idle.push(open());
  const data: PacerData = { start, due };
  const pacer = new Worker(new URL("./pacer.ts", import.meta.url), { workerData: data });
  pacer.on("message", sendDue);
  pacer.on("error", reject);
  const late = setTimeout(
    () =>
      reject(
        new BenchError(
          "bad-response",
          `${due.length - answered} of ${due.length} requests had no answer ${lastMs} ms after the last was due`,
        ),
      ),
    leadMs + (due.at(-1) ?? 0) + lastMs,
  );
  try {
    await promise;
  } finally {
    clearTimeout(late);
    await pacer.terminate();
    for (const socket of sockets) socket.removeAllListeners("close").destroy();
  }
  const counted = due.findIndex((at) => at >= warmMs);
  const micros = (times: Float64Array) =>
    times
      .subarray(counted)
      .map((time) => time * 1000)
      .sort();
  const taken = micros(latencies);
  return {
    requests: due.length,
    p50Micros: percentile(taken, 0.5),
    p99Micros: percentile(taken, 0.99),
    p999Micros: percentile(taken, 0.999),
    lateP99Micros: percentile(micros(lateness), 0.99),
    connections,
  };
}

async function main([origin = "", host = "", rate = "", seconds = "", seed = ""]: readonly string[]): Promise<number> {
  const { port, host: authority } = new URL(origin);
  const due = poissonArrivals(Number(rate), warmMs / 1000 + Number(seconds), Number(seed));
  try {
    const result = await runOpenLoop(Number(port), host === "" ? authority : host, due);
    process.stdout.write(`${JSON.stringify(result)}\n`);
    return 0;
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    return 1;
  }
}

process.exitCode = await main(process.argv.slice(2));
