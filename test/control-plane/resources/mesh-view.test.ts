import { join } from "node:path";
import { pino } from "pino";
import { afterEach, expect, test } from "vitest";
import { createMeshView } from "../../../control-plane/resources/mesh-view.ts";
import { openSqliteStore } from "../../../control-plane/store/sqlite-store.ts";
import type { Store } from "../../../control-plane/store/store.ts";
import { createFolder, stopPlanes } from "../plane.ts";

afterEach(stopPlanes);

const logger = pino({ level: "silent" });
const mesh = JSON.stringify({ apiVersion: "countersign.dev/v1", kind: "Mesh", spec: { trustDomain: "prod.example" } });
const bundle = JSON.stringify({ trustDomain: "prod.example", sequence: 1, authorities: ["AAAA"] });
const workload = (name: string) => JSON.stringify({ apiVersion: "countersign.dev/v1", kind: "Workload", metadata: { name }, spec: {} });
const put = (store: Store, key: string, text: string) => store.put(key, Buffer.from(text));

async function meshStore(keptRevisions?: number): Promise<Store> {
  const store = openSqliteStore({ path: join(createFolder(), "store.db"), ...(keptRevisions === undefined ? {} : { keptRevisions }) });
  await put(store, "resources/Mesh/default/mesh", mesh);
  await put(store, "distribution/bundle", bundle);
  return store;
}

test("the state follows the store, and whoever wrote can wait for it", async () => {
  const store = await meshStore();
  const view = await createMeshView(store, logger);
  const controller = new AbortController();
  const running = view.run(controller.signal);
  const seen: number[] = [];
  const stop = view.subscribe(({ revision }) => seen.push(revision));
  const made = await put(store, "resources/Workload/default/a", workload("a"));
  expect([...(await view.atLeast(made)).workloads.keys()]).toEqual(["default/a"]);
  const gone = await store.delete("resources/Workload/default/a");
  expect((await view.atLeast(gone)).workloads.size).toBe(0);
  expect(await view.atLeast(made)).toBe(view.current());
  stop();
  await view.atLeast(await put(store, "elsewhere", "x"));
  expect(seen).toEqual([made, gone]);
  controller.abort(new Error("stop"));
  await running;
  await store.close();
});

test("a view that lags behind what the store keeps reads it whole again", async () => {
  const store = await meshStore(4);
  const view = await createMeshView(store, logger);
  await put(store, "resources/Workload/default/a", workload("a"));
  let last = 0;
  for (let index = 0; index < 20; index++) last = await put(store, "elsewhere", String(index));
  const controller = new AbortController();
  const running = view.run(controller.signal);
  expect((await view.atLeast(last)).workloads.size).toBe(1);
  controller.abort(new Error("stop"));
  await running;
  await store.close();
});

test.each([
  ["no JSON", "resources/Workload/default/a", "{"],
  ["another resource", "resources/Workload/default/b", workload("a")],
  ["a field of a later version", "resources/Workload/default/a", workload("a").replace("{}", '{"later":1}')],
  ["no endpoint", "endpoints/prod.example/ns/shop/sa/a/instance-1", "{}"],
  ["no bundle", "distribution/bundle", "{}"],
])("an entry that cannot be read is not passed over: %s", async (_name, key, text) => {
  const store = await meshStore();
  await put(store, key, text);
  await expect(createMeshView(store, logger)).rejects.toMatchObject({ code: "unreadable-entry" });
  await store.close();
});

test("a store without a Mesh is no mesh's", async () => {
  const store = await meshStore();
  await store.delete("resources/Mesh/default/mesh");
  await expect(createMeshView(store, logger)).rejects.toMatchObject({ code: "incomplete", message: "the store holds no Mesh" });
  await store.close();
});
