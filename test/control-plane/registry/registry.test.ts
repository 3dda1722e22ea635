import { join } from "node:path";
import { pino } from "pino";
import { afterEach, expect, test } from "vitest";
import { fromString } from "../../../common/spiffe/id.ts";
import { endpointFromBytes, endpointKey, endpointPrefix } from "../../../control-plane/registry/endpoint.ts";
import { createRegistry, lostGraceMilliseconds, restartGraceMilliseconds } from "../../../control-plane/registry/registry.ts";
import { openSqliteStore } from "../../../control-plane/store/sqlite-store.ts";
import { createFakeClock } from "../../fakes/clock.ts";
import { createFolder, stopPlanes } from "../plane.ts";

afterEach(stopPlanes);

const endpoint = { spiffeId: fromString("spiffe://prod.example/ns/shop/sa/orders"), instance: "instance-a", address: "10.0.0.1:15006" };

function setUp() {
  const store = openSqliteStore({ path: join(createFolder(), "store.db") });
  const clock = createFakeClock();
  const open = (found: readonly (typeof endpoint)[] = []) => createRegistry({ store, clock, logger: pino({ level: "silent" }), found });
  const registered = async () => (await store.list(endpointPrefix)).entries.map(({ key, value }) => endpointFromBytes(key, value).address);
  return { store, clock, open, registered };
}

test("an orderly end takes an endpoint off at once", async () => {
  const { open, registered } = setUp();
  const joined = await open().join(endpoint);
  expect(await registered()).toEqual(["10.0.0.1:15006"]);
  await joined.leave("ended");
  expect(await registered()).toEqual([]);
});

test("a lost connection leaves it for a grace period, in which it may come back", async () => {
  const { open, registered, clock } = setUp();
  const registry = open();
  const first = await registry.join(endpoint);
  await first.leave("lost");
  clock.advance(lostGraceMilliseconds - 1);
  expect(await registered()).toHaveLength(1);
  const second = await registry.join({ ...endpoint, address: "10.0.0.2:15006" });
  clock.advance(lostGraceMilliseconds * 2);
  expect(await registered()).toEqual(["10.0.0.2:15006"]);
  await first.leave("ended");
  expect(await registered()).toEqual(["10.0.0.2:15006"]);
  await second.leave("lost");
  clock.advance(lostGraceMilliseconds);
  expect(await registered()).toEqual([]);
});

test("after a restart those found count as alive for a minute, and stay if they come back", async () => {
  const { open, registered, clock, store } = setUp();
  const other = { ...endpoint, instance: "instance-b", address: "10.0.0.3:15006" };
  const before = open();
  await before.join(endpoint);
  const left = await before.join(other);
  before.close();
  await left.leave("ended");
  expect(await registered()).toHaveLength(2);
  const after = open([endpoint, other]);
  clock.advance(restartGraceMilliseconds - 1);
  const { revision } = await store.list("");
  await after.join(endpoint);
  expect((await store.list("")).revision).toBe(revision);
  clock.advance(1);
  expect(await registered()).toEqual(["10.0.0.1:15006"]);
});

test("an endpoint's key holds its identity, so that no other can take its place", () => {
  const thief = fromString("spiffe://prod.example/ns/shop/sa/thief");
  expect(endpointKey(thief, endpoint.instance)).not.toBe(endpointKey(endpoint.spiffeId, endpoint.instance));
  const value = Buffer.from(JSON.stringify(endpoint));
  expect(() => endpointFromBytes(endpointKey(thief, endpoint.instance), value)).toThrow("it holds another endpoint");
});
