/** When a process says that it can take no more, and when it says that it can again. */
import { Registry } from "prom-client";
import { beforeEach, describe, expect, test } from "vitest";
import { createLogging } from "../../common/runtime/logger.ts";
import { createOverload, type MemoryUse, type Overload } from "../../sidecar/overload.ts";
import { createFakeClock, type FakeClock } from "../fakes/clock.ts";

const intervalMs = 250;
let clock: FakeClock;
let registry: Registry;
let memory: MemoryUse[];
let events: string[];
let overload: Overload;
let stopping: AbortController;
let watching: Promise<unknown>;

beforeEach(() => {
  clock = createFakeClock();
  registry = new Registry();
  memory = [{ used: 10, limit: 100 }];
  events = [];
  const log = createLogging({
    name: "test",
    level: "info",
    destination: { write: (line) => void events.push((JSON.parse(line) as { event: string }).event) },
  }).logger;
  overload = createOverload({ memory: () => memory, monotonic: clock.now, clock, registry, log });
  stopping = new AbortController();
  watching = overload.watchForever(stopping.signal).catch((error: unknown) => error);
});

/** Lets it look once more; the event loop is late by `lagMs` at that. */
async function look(lagMs = 0): Promise<string> {
  clock.jump(lagMs > 0 ? intervalMs + lagMs : 0);
  clock.advance(lagMs > 0 ? 0 : intervalMs);
  // What waits for the timer is a few promises behind it.
  for (let turn = 0; turn < 5; turn++) await Promise.resolve();
  return overload.shedding() ? (overload.accepting() ? "sheds" : "closed") : "open";
}

async function filled(used: number): Promise<string> {
  memory = [{ used, limit: 100 }];
  return await look();
}

describe("memory", () => {
  test("over 90 % sheds, over 95 % closes, and each is relieved five points lower", async () => {
    const course: [number, string][] = [
      [89, "open"],
      [90, "sheds"],
      [86, "sheds"],
      [89, "sheds"],
      [84, "open"],
      [89, "open"],
      [94, "sheds"],
      [95, "closed"],
      [91, "closed"],
      [89, "sheds"],
      [95, "closed"],
      [10, "open"],
      [300, "closed"],
      [0, "open"],
    ];
    for (const [used, state] of course) expect(`${used}: ${await filled(used)}`).toBe(`${used}: ${state}`);
    expect(events).toEqual(["shedding", "relieved", "shedding", "relieved", "shedding", "relieved"]);
  });

  test("of any kind counts, and one without a limit does not", async () => {
    memory = [
      { used: 1e12, limit: 0 },
      { used: 1, limit: 100 },
      { used: 96, limit: 100 },
    ];
    expect(await look()).toBe("closed");
    memory = [{ used: 1e12, limit: 0 }];
    expect(await look()).toBe("open");
    memory = [];
    expect(await look()).toBe("open");
  });
});

describe("an event loop that is late", () => {
  test("by half a second three times in a row sheds, until it has caught up", async () => {
    expect(await look(600)).toBe("open");
    expect(await look(600)).toBe("open");
    expect(await look(600)).toBe("sheds");
    expect(await look(300)).toBe("sheds");
    expect(await look(100)).toBe("open");
  });

  test("once, as after a suspend, does not", async () => {
    expect(await look(3_600_000)).toBe("open");
    expect(await look()).toBe("open");
    expect(await look(3_600_000)).toBe("open");
    expect(await look(600)).toBe("open");
    expect(await look()).toBe("open");
  });

  test("does not close: connections that are made now are answered later", async () => {
    for (let turn = 0; turn < 10; turn++) await look(5000);
    expect(overload.accepting()).toBe(true);
    expect(overload.shedding()).toBe(true);
  });
});

test("metrics show what it saw", async () => {
  await filled(96);
  await look(400);
  const text = await registry.metrics();
  const lines = text.split("\n").filter((line) => !line.startsWith("#"));
  expect(lines).toEqual(
    expect.arrayContaining([
      "countersign_overload_shedding 1",
      "countersign_overload_accepting 0",
      "countersign_overload_memory_ratio 0.96",
      "countersign_overload_lag_seconds 0.4",
    ]),
  );
});

test("watching ends with its signal, and leaves no timer", async () => {
  const over = new Error("over");
  stopping.abort(over);
  expect(await watching).toBe(over);
  expect(clock.pendingTimers()).toBe(0);
});
