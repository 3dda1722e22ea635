/** What a Watch stream may say, and what becomes of one that says something else. */
import { status } from "@grpc/grpc-js";
import { afterEach, expect, test } from "vitest";
import type { WatchRequest } from "../../../common/gen/mesh/v1/mesh.ts";
import { coalesceMilliseconds } from "../../../control-plane/distribution/distributor.ts";
import { lostGraceMilliseconds } from "../../../control-plane/registry/registry.ts";
import { createFakeClock } from "../../fakes/clock.ts";
import { shop, startPlane, stopPlanes, watchMesh } from "../plane.ts";
import type { Watching } from "../plane.ts";

afterEach(stopPlanes);

const hello = (change: object = {}): WatchRequest => ({
  message: { $case: "hello", value: { instance: "instance-orders", inboundAddress: "127.0.0.1:1", version: "1", ...change } },
});
const ack: WatchRequest = { message: { $case: "ack", value: { revision: 1, error: "" } } };

test("a stream that does not say hello, says it twice, or says what it may not, ends", async () => {
  const plane = await startPlane();
  await plane.apply(shop);
  const orders = plane.connect(await plane.join("orders"));
  const codeAfter = async (...messages: readonly WatchRequest[]) => {
    const stream = orders.watch();
    const { promise, resolve } = Promise.withResolvers<number>();
    stream.on("data", () => undefined);
    stream.on("error", (error: { code: number }) => {
      resolve(error.code);
    });
    for (const message of messages) stream.write(message);
    return await promise;
  };
  expect(await codeAfter(ack)).toBe(status.INVALID_ARGUMENT);
  expect(await codeAfter({ message: undefined })).toBe(status.INVALID_ARGUMENT);
  expect(await codeAfter(hello(), hello())).toBe(status.INVALID_ARGUMENT);
  const changes = [
    { instance: "" },
    { instance: "short" },
    { instance: "a/../../b-c-d" },
    { instance: "x".repeat(65) },
    { inboundAddress: "nowhere" },
    { inboundAddress: "0.0.0.0:80" },
    { inboundAddress: "127.0.0.1:0" },
    { inboundAddress: `${"x".repeat(300)}:80` },
    { version: "x".repeat(65) },
  ];
  const codes = await Promise.all(changes.map((change) => codeAfter(hello(change))));
  expect(codes).toEqual(changes.map(() => status.INVALID_ARGUMENT));
  expect((await plane.admin.getStatus({})).sidecars).toEqual([]);
});

test("a stream that says nothing ends after a while", async () => {
  const clock = createFakeClock(Date.now());
  const plane = await startPlane({ clock });
  await plane.apply(shop);
  const orders = plane.connect(await plane.join("orders"));
  const stream = orders.watch();
  const { promise, resolve } = Promise.withResolvers<number>();
  stream.on("data", () => undefined);
  stream.on("error", (error: { code: number }) => {
    resolve(error.code);
  });
  // The second stream of the same connection has been answered, so the first has come too.
  await watchMesh(orders, "instance-orders").next();
  clock.advance(10_000);
  expect(await promise).toBe(status.DEADLINE_EXCEEDED);
});

test("a sidecar that ends its stream is no endpoint any more; one whose connection breaks is for a while", async () => {
  const clock = createFakeClock(Date.now());
  const plane = await startPlane({ clock });
  await plane.apply(shop);
  const watching = watchMesh(plane.connect(await plane.join("storefront")), "instance-storefront");
  const instances = (snapshot: Awaited<ReturnType<typeof watching.next>>) =>
    snapshot.destinations.find(({ name }) => name === "orders")?.endpoints.map(({ instance }) => instance) ?? [];
  const revision = async () => (await plane.admin.getStatus({})).revision;
  /** Does something that changes the store, and waits for the snapshot that says so. */
  const afterwards = async (action: () => void, wanted: readonly string[]) => {
    const before = await revision();
    action();
    await expect.poll(revision).toBeGreaterThan(before);
    clock.advance(coalesceMilliseconds);
    await watching.until((snapshot) => instances(snapshot).join() === wanted.join());
  };
  await watching.next();
  const orders = plane.connect(await plane.join("orders"));
  const streams = new Map<string, Watching>();
  const open = (instance: string) => () => void streams.set(instance, watchMesh(orders, instance, "127.0.0.1:1"));
  await afterwards(open("instance-a"), ["instance-a"]);
  await afterwards(() => streams.get("instance-a")?.stream.end(), []);
  await afterwards(open("instance-b"), ["instance-b"]);
  streams.get("instance-b")?.stream.cancel();
  await expect
    .poll(async () => (await plane.admin.getStatus({})).sidecars.map(({ instance }) => instance))
    .toEqual(["instance-storefront"]);
  await afterwards(open("instance-c"), ["instance-b", "instance-c"]);
  await afterwards(() => {
    clock.advance(lostGraceMilliseconds);
  }, ["instance-c"]);
});
