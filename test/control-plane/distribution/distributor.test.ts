import { expect, test } from "vitest";
import type { Snapshot } from "../../../common/gen/mesh/v1/mesh.ts";
import { fromString } from "../../../common/spiffe/id.ts";
import { coalesceMilliseconds, createDistributor } from "../../../control-plane/distribution/distributor.ts";
import type { MeshState } from "../../../control-plane/resources/mesh-state.ts";
import { createFakeClock } from "../../fakes/clock.ts";
import { stateFromYaml } from "../mesh-state.ts";

const orders = { spiffeId: fromString("spiffe://prod.example/ns/shop/sa/orders"), address: "10.0.0.1" };
const service = (port: number) =>
  `{ apiVersion: countersign.dev/v1, kind: Service, metadata: { name: orders, namespace: shop }, spec: { ports: [{ port: ${port} }] } }`;

function setUp() {
  const clock = createFakeClock();
  let state = stateFromYaml(service(1), [], 10);
  const listeners = new Set<(state: MeshState) => void>();
  const view = {
    current: () => state,
    atLeast: () => Promise.resolve(state),
    subscribe(listener: (state: MeshState) => void) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    run: () => Promise.resolve(),
  };
  const distributor = createDistributor({ view, clock, published: () => ({ bundles: [], sessionJwks: "{}" }), onPush: () => undefined });
  const change = (port: number, revision: number) => {
    state = stateFromYaml(service(port), [], revision);
    for (const listener of listeners) listener(state);
  };
  const watch = () => {
    const sent: Snapshot[] = [];
    const subscription = distributor.subscribe({ ...orders, send: (snapshot) => void sent.push(snapshot) });
    const seen = () => sent.map(({ revision, served }) => [revision, served[0]?.ports[0]?.port]);
    return { seen, subscription };
  };
  return { clock, change, watch, distributor };
}

test("changes close together make one snapshot, and what changes nothing makes none", () => {
  const { clock, change, watch } = setUp();
  const { seen, subscription } = watch();
  expect(seen()).toEqual([[10, 1]]);
  subscription.ready();
  change(2, 11);
  change(3, 12);
  expect(seen()).toHaveLength(1);
  clock.advance(coalesceMilliseconds);
  expect(seen()).toEqual([
    [10, 1],
    [12, 3],
  ]);
  subscription.ready();
  change(3, 13);
  change(4, 14);
  change(3, 15);
  clock.advance(coalesceMilliseconds);
  expect(seen()).toHaveLength(2);
});

test("a slow sidecar gets only the newest when it can take more", () => {
  const { clock, change, watch } = setUp();
  const { seen, subscription } = watch();
  for (const port of [2, 3, 4]) {
    change(port, 10 + port);
    clock.advance(coalesceMilliseconds);
  }
  expect(seen()).toEqual([[10, 1]]);
  subscription.ready();
  expect(seen()).toEqual([
    [10, 1],
    [14, 4],
  ]);
  subscription.ready();
  expect(seen()).toHaveLength(2);
});

test("nothing is sent after the end", () => {
  const { clock, change, watch, distributor } = setUp();
  const { seen, subscription } = watch();
  subscription.close();
  change(2, 11);
  clock.advance(coalesceMilliseconds);
  distributor.close();
  change(3, 12);
  expect(seen()).toHaveLength(1);
  expect(clock.pendingTimers()).toBe(0);
});

test("the settled revision is one that every holder of the present content has", () => {
  const { clock, change, watch, distributor } = setUp();
  const first = watch();
  change(1, 20);
  const second = watch();
  // The second sidecar was sent the same content at a later revision; the first will be sent nothing.
  expect([first.seen(), second.seen()]).toEqual([[[10, 1]], [[20, 1]]]);
  expect(distributor.settledRevision(orders)).toBe(10);
  change(2, 21);
  expect(distributor.settledRevision(orders)).toBe(21);
  clock.advance(coalesceMilliseconds);
  first.subscription.ready();
  expect(first.seen().at(-1)).toEqual([21, 2]);
});

test("a large mesh is served in turns, and a change on the way reaches those already served", () => {
  const { clock, change, watch } = setUp();
  const watchers = Array.from({ length: 40 }, () => watch());
  for (const { subscription } of watchers) subscription.ready();
  change(2, 11);
  clock.advance(coalesceMilliseconds - 1);
  expect(watchers.every(({ seen }) => seen().length === 1)).toBe(true);
  clock.advance(1);
  for (const { subscription } of watchers) subscription.ready();
  expect(watchers.map(({ seen }) => seen().at(-1))).toEqual(watchers.map(() => [11, 2]));
  change(3, 12);
  clock.advance(coalesceMilliseconds);
  expect(watchers.map(({ seen }) => seen().at(-1))).toEqual(watchers.map(() => [12, 3]));
});
