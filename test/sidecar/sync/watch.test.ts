/** The stream of snapshots, with a control plane that says what a test wants. */
import { EventEmitter } from "node:events";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Snapshot, WatchRequest } from "../../../common/gen/mesh/v1/mesh.ts";
import { createLogging } from "../../../common/runtime/logger.ts";
import type { ControlPlane } from "../../../sidecar/sync/control-plane.ts";
import { createWatch, type Watch } from "../../../sidecar/sync/watch.ts";
import { createFakeClock, type FakeClock } from "../../fakes/clock.ts";

class FakeStream extends EventEmitter {
  readonly written: WatchRequest[] = [];
  ended = false;

  write(request: WatchRequest): boolean {
    this.written.push(request);
    return true;
  }

  end(): void {
    this.ended = true;
    this.emit("end");
  }

  /** Sends a snapshot and returns the answer to it. */
  offer(revision: number): unknown {
    this.emit("data", { snapshot: { revision } as Snapshot });
    return this.written.at(-1)?.message;
  }
}

let clock: FakeClock;
let streams: FakeStream[];
let applied: number[];
let connected: boolean[];
let watch: Watch;
let controller: AbortController;
let running: Promise<void>;
const alarms: string[] = [];

beforeEach(() => {
  clock = createFakeClock();
  streams = [];
  applied = [];
  connected = [];
  alarms.length = 0;
  controller = new AbortController();
  const open = () => {
    const stream = new FakeStream();
    streams.push(stream);
    return stream;
  };
  const { logger } = createLogging({
    name: "test",
    level: "error",
    destination: { write: (line: string) => void alarms.push((JSON.parse(line) as { msg: string }).msg) },
  });
  watch = createWatch({
    controlPlane: () => ({ mesh: { watch: open } }) as unknown as ControlPlane,
    hello: { instance: "instance1", inboundAddress: "127.0.0.1:1", version: "1" },
    apply({ revision }) {
      if (revision === 13) throw new Error("it cannot be used");
      applied.push(revision);
    },
    onConnected: (is) => void connected.push(is),
    clock,
    random: () => 0.5,
    log: logger,
  });
  running = watch.run(controller.signal);
});
afterEach(async () => {
  controller.abort();
  await running;
});

const settled = () => new Promise(setImmediate);
const ack = (revision: number, error = "") => ({ $case: "ack", value: { revision, error } });

test("it says hello, applies what comes and acknowledges it", () => {
  const [stream] = streams;
  expect(stream?.written[0]?.message).toMatchObject({ $case: "hello", value: { instance: "instance1" } });
  expect(stream?.offer(1)).toEqual(ack(1));
  expect(stream?.offer(2)).toEqual(ack(2));
  expect(applied).toEqual([1, 2]);
  expect(connected).toEqual([true]);
});

test("a snapshot older than the one held is refused with an alarm, on a later stream too", async () => {
  expect(streams[0]?.offer(7)).toEqual(ack(7));
  expect(streams[0]?.offer(6)).toEqual(ack(6, "older than revision 7"));
  streams[0]?.emit("error", new Error("gone"));
  await settled();
  clock.advance(10_000);
  await settled();
  expect(streams).toHaveLength(2);
  expect(streams[1]?.offer(5)).toEqual(ack(5, "older than revision 7"));
  expect(streams[1]?.offer(7)).toEqual(ack(7));
  expect(applied).toEqual([7, 7]);
  expect(alarms.filter((each) => each.includes("older"))).toHaveLength(2);
});

test("one that cannot be used is told, and the next one counts", () => {
  expect(streams[0]?.offer(13)).toEqual(ack(13, "it cannot be used"));
  expect(streams[0]?.offer(14)).toEqual(ack(14));
  expect(applied).toEqual([14]);
});

test("a stream that ends is opened again after a pause, which grows", async () => {
  const pauses: number[] = [];
  for (let round = 1; round <= 4; round++) {
    streams.at(-1)?.emit("error", new Error("gone"));
    await settled();
    let pause = 0;
    while (streams.length === round) {
      clock.advance(50);
      pause += 50;
      await settled();
    }
    pauses.push(pause);
  }
  expect(pauses).toEqual(pauses.toSorted((a, b) => a - b));
  expect(pauses.at(-1)).toBeGreaterThan(pauses[0] ?? 0);
  // Said once, however often it fails.
  expect(connected).toEqual([false]);
});

test("with a new certificate the old stream ends when the new one works, and what it still says is not heard", async () => {
  streams[0]?.offer(1);
  watch.reconnect();
  await settled();
  expect(streams).toHaveLength(2);
  expect(streams[0]?.ended).toBe(false);
  streams[0]?.offer(2);
  expect(applied).toEqual([1]);
  streams[1]?.offer(3);
  expect(streams[0]?.ended).toBe(true);
  expect(applied).toEqual([1, 3]);
  // Nobody took it for a loss.
  expect(connected).not.toContain(false);
});

test("told to stop, it says goodbye", async () => {
  controller.abort();
  await running;
  expect(streams[0]?.ended).toBe(true);
});
