import { join } from "node:path";
import { pino } from "pino";
import { afterEach, expect, test, vi } from "vitest";
import { untilAborted } from "../../../common/runtime/tasks.ts";
import { whileLeading } from "../../../control-plane/kubernetes/leadership.ts";
import { openSqliteStore } from "../../../control-plane/store/sqlite-store.ts";
import type { Lease } from "../../../control-plane/store/store.ts";
import { createFakeClock } from "../../fakes/clock.ts";
import { createFolder, stopPlanes } from "../plane.ts";

afterEach(stopPlanes);

const logger = pino({ level: "silent" });

test("one leads; when it stops renewing another does, and what the first still writes fails", async () => {
  let time = 0;
  const store = openSqliteStore({ path: join(createFolder(), "store.db"), monotonicNow: () => time });
  const clocks = { a: createFakeClock(), b: createFakeClock() };
  const leases = new Map<string, Lease>();
  const ending = new AbortController();
  const contend = (name: "a" | "b") =>
    whileLeading({
      store,
      name: "work",
      clock: clocks[name],
      logger,
      signal: ending.signal,
      async lead(lease, signal) {
        leases.set(name, lease);
        await untilAborted(signal);
      },
    });
  const running = [contend("a")];
  await vi.waitFor(() => expect(leases.has("a")).toBe(true));
  running.push(contend("b"));
  await vi.waitFor(() => expect(clocks.b.pendingTimers()).toBe(1));
  // `a` is held up, as by a long pause of its machine: its clock does not move, and time goes on.
  time += 15_000;
  clocks.b.advance(5000);
  await vi.waitFor(() => expect(leases.has("b")).toBe(true));
  await expect(store.put("k", Buffer.from("old"), { lease: leases.get("a")! })).rejects.toMatchObject({ code: "lease-lost" });
  await expect(store.put("k", Buffer.from("new"), { lease: leases.get("b")! })).resolves.toBeGreaterThan(0);
  ending.abort();
  await Promise.allSettled(running);
  await store.close();
});
