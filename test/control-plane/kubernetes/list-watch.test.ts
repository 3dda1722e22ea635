import { pino } from "pino";
import * as fc from "fast-check";
import { afterEach, expect, test, vi } from "vitest";
import { systemClock } from "../../../common/runtime/clock.ts";
import type { Clock } from "../../../common/runtime/clock.ts";
import { createKubernetesClient } from "../../../control-plane/kubernetes/client.ts";
import { createListWatch } from "../../../control-plane/kubernetes/list-watch.ts";
import type { ListWatch, ListWatchTimes } from "../../../control-plane/kubernetes/list-watch.ts";
import { createFakeClock } from "../../fakes/clock.ts";
import { startApiServer } from "./api-server.ts";
import type { ApiObject, ApiServer } from "./api-server.ts";

const things = "/api/v1/things";
const times: ListWatchTimes = {
  watchSeconds: 60,
  idleMilliseconds: 20_000,
  relistMilliseconds: 3_600_000,
  backoffBaseMilliseconds: 1,
  backoffMaximumMilliseconds: 5,
};
const stops: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const stop of stops.splice(0).toReversed()) await stop();
});

interface Copy {
  readonly server: ApiServer;
  readonly watch: ListWatch<string>;
  readonly errors: string[];
  /** Until the copy is what the server holds. */
  readonly same: () => Promise<void>;
}

async function copy(
  changed: Partial<ListWatchTimes> = {},
  prepare: (server: ApiServer) => void = () => {},
  clocks: { readonly requests?: Clock; readonly waits?: Clock } = {},
): Promise<Copy> {
  const server = await startApiServer();
  stops.push(server.close);
  prepare(server);
  const client = await createKubernetesClient(server.kubeconfig, clocks.requests ?? systemClock);
  stops.push(client.close);
  const errors: string[] = [];
  const watch = createListWatch({
    name: "things",
    path: things,
    client,
    parse(value) {
      const { value: text } = value as { value?: unknown };
      if (typeof text !== "string") throw new TypeError("no value");
      return text;
    },
    onChange: () => {},
    onError: (code) => errors.push(code),
    clock: clocks.waits ?? systemClock,
    random: clocks.waits === undefined ? Math.random : () => 1,
    logger: pino({ level: "silent" }),
    times: { ...times, ...changed },
  });
  const ending = new AbortController();
  const running = watch.run(ending.signal);
  stops.push(async () => {
    ending.abort();
    await running.catch(() => undefined);
  });
  const wanted = () =>
    server
      .objects(things)
      .map(({ metadata, value }) => [`${metadata.namespace ?? ""}/${metadata.name}`, value])
      .sort(([a], [b]) => (String(a) < String(b) ? -1 : 1));
  const same = () =>
    vi.waitFor(() => expect([...(watch.objects() ?? [["nothing yet", ""]])]).toEqual(wanted()), { timeout: 10_000, interval: 5 });
  return { server, watch, errors, same };
}

const thing = (name: string, value: string, more: object = {}): ApiObject => ({ metadata: { name, namespace: "shop", ...more }, value });

test("a list of several pages, then every change", async () => {
  const { server, same, watch } = await copy({}, (server) => {
    for (let index = 0; index < 8; index += 1) server.put(things, thing(`t${index}`, "old"));
  });
  await same();
  expect(watch.objects()?.size).toBe(8);
  server.put(things, thing("t3", "new"));
  server.put(things, thing("t9", "new"));
  server.remove(things, "shop", "t0");
  await same();
});

test("history that is no longer kept means a new list, of pages too", async () => {
  const { server, same, errors } = await copy();
  await same();
  await vi.waitFor(() => expect(server.openWatches()).toBe(1));
  server.fail(/watch=true/, { kind: "status", status: 503 });
  server.endWatches();
  for (let index = 0; index < 8; index += 1) server.put(things, thing(`t${index}`, "x"));
  server.compact();
  await same();
  expect(errors).not.toContain("internal");
});

test("bookmarks move the version along, so that a quiet watch outlives a compaction", async () => {
  const { server, same } = await copy({}, (server) => {
    server.put(things, thing("a", "1"));
  });
  await same();
  await vi.waitFor(() => expect(server.openWatches()).toBe(1));
  const listed = () => server.requests.filter((request) => !request.includes("watch=true")).length;
  const before = listed();
  server.compact();
  server.bookmark();
  server.endWatches();
  await vi.waitFor(() => expect(server.openWatches()).toBe(1));
  server.put(things, thing("a", "2"));
  await same();
  expect(listed()).toBe(before);
});

test.each([
  ["a list that is refused", /limit/, { kind: "status", status: 500 } as const],
  ["a list that is no JSON", /limit/, { kind: "garbage" } as const],
  ["a list that is cut off", /limit/, { kind: "cut", afterBytes: 0 } as const],
  ["a watch that is refused", /watch=true/, { kind: "status", status: 403 } as const],
  ["a watch that answers 410", /watch=true/, { kind: "status", status: 410 } as const],
  ["a watch that is no JSON", /watch=true/, { kind: "garbage" } as const],
  ["a watch that stalls", /watch=true/, { kind: "stall" } as const],
])("%s is got over", async (name, what, fault) => {
  const { server, same, errors } = await copy(name.includes("stall") ? { idleMilliseconds: 200 } : {}, (server) => {
    server.put(things, thing("a", "1"));
    server.fail(what, fault);
  });
  await same();
  server.put(things, thing("b", "2"));
  await same();
  expect(errors.filter((code) => code !== "timed-out")).not.toContain("internal");
});

test("a list that stalls is given up after its deadline", async () => {
  const requests = createFakeClock();
  const { server, same, errors } = await copy(
    {},
    (server) => {
      server.put(things, thing("a", "1"));
      server.fail(/limit/, { kind: "stall" });
    },
    { requests },
  );
  await vi.waitFor(() => expect(server.requests).toHaveLength(1));
  requests.advance(15_000);
  await same();
  expect(errors).toEqual(["timed-out"]);
});

test("while the API server is away, what was known stays", async () => {
  const { server, same, watch, errors } = await copy({}, (server) => {
    server.put(things, thing("a", "1"));
  });
  await same();
  server.down(true);
  await vi.waitFor(() => expect(errors.length).toBeGreaterThan(3));
  expect([...(watch.objects() ?? [])]).toEqual([["shop/a", "1"]]);
  server.put(things, thing("a", "2"));
  server.down(false);
  await same();
});

test("an API server that answers every watch with 410 is listed less and less often", async () => {
  const clock = createFakeClock();
  const { server } = await copy(
    { backoffBaseMilliseconds: 100, backoffMaximumMilliseconds: 10_000 },
    (server) => {
      for (let index = 0; index < 10; index += 1) server.fail(/watch=true/, { kind: "status", status: 410 });
    },
    { waits: clock },
  );
  for (let round = 0; round < 5; round += 1) {
    // One list and one watch a round, and then it waits.
    await vi.waitFor(() => expect([server.requests.length, clock.pendingTimers()]).toEqual([2 * round + 2, 1]));
    clock.advance(100 * 2 ** round - 1);
    expect(clock.pendingTimers()).toBe(1);
    clock.advance(1);
  }
});

test("an object that cannot be read is left out, and the others are not", async () => {
  const { server, watch } = await copy({}, (server) => {
    server.put(things, thing("a", "1"));
    server.put(things, { metadata: { name: "odd", namespace: "shop" } });
  });
  await vi.waitFor(() => expect([...(watch.objects() ?? [])]).toEqual([["shop/a", "1"]]));
  server.put(things, { metadata: { name: "a", namespace: "shop" } });
  await vi.waitFor(() => expect([...(watch.objects() ?? [])]).toEqual([]));
});

test("whatever happens on the way, the copy comes to be what the server holds", async () => {
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.record({ kind: fc.constant("put" as const), name: fc.integer({ min: 0, max: 6 }), value: fc.nat(99) }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant("remove" as const), name: fc.integer({ min: 0, max: 6 }) }) },
    fc.record({
      kind: fc.constantFrom("compact" as const, "end" as const, "bookmark" as const, "repeat" as const, "down" as const, "pause" as const),
    }),
    fc.record({ kind: fc.constant("fail" as const), status: fc.constantFrom(403, 410, 429, 500) }),
    fc.record({ kind: fc.constant("cut" as const), afterBytes: fc.nat(400) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
      const { server, same, errors } = await copy();
      for (const one of steps) {
        if (one.kind === "put") server.put(things, thing(`t${one.name}`, String(one.value)));
        else if (one.kind === "remove") server.remove(things, "shop", `t${one.name}`);
        else if (one.kind === "compact") server.compact();
        else if (one.kind === "end") server.endWatches();
        else if (one.kind === "bookmark") server.bookmark();
        else if (one.kind === "repeat") server.repeatEvents(true);
        else if (one.kind === "fail") server.fail(/things/, { kind: "status", status: one.status });
        else if (one.kind === "cut") {
          server.fail(/watch=true/, { kind: "cut", afterBytes: one.afterBytes });
          server.endWatches();
        } else if (one.kind === "pause") await same();
        else {
          server.down(true);
          server.down(false);
        }
      }
      await same();
      expect(errors).not.toContain("internal");
      for (const stop of stops.splice(0).toReversed()) await stop();
    }),
    { numRuns: 40 },
  );
}, 60_000);
