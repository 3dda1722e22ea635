/** What every store promises (`control-plane/store/store.ts`). Each implementation runs it against the real thing. */
import { array, assert, asyncProperty, constantFrom, record, uint8Array, uniqueArray } from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { StoreError } from "../../../control-plane/store/error.ts";
import { MAX_OPERATIONS, MAX_VALUE_BYTES } from "../../../control-plane/store/store.ts";
import type { Changes, Operation, Store } from "../../../control-plane/store/store.ts";

export interface StoreUnderTest {
  readonly store: Store;
  /** Closes the store and opens its data anew. */
  readonly reopen: () => Promise<Store>;
  /** Lets time pass for leases: at least that long. */
  readonly advance: (milliseconds: number) => Promise<void>;
  /** Closes what is open and removes the data. */
  readonly dispose: () => Promise<void>;
}

/** `keptRevisions`: how many commits at least, and at most half as many again, a watch may lag behind. */
export type OpenStore = (options: { readonly keptRevisions: number }) => Promise<StoreUnderTest>;

const bytes = (text: string) => Buffer.from(text);
const failsWith = (code: StoreError["code"]) => expect.objectContaining({ name: "StoreError", code });

function putOf(key: string, value: string, expectRevision?: number): Operation {
  return { kind: "put", key, value: bytes(value), ...(expectRevision === undefined ? {} : { expectRevision }) };
}

/** Reads that many commits, then ends the watch. */
async function take(store: Store, prefix: string, afterRevision: number, count: number): Promise<Changes[]> {
  const stop = new AbortController();
  const taken: Changes[] = [];
  for await (const changes of store.watch(prefix, afterRevision, stop.signal)) {
    taken.push(changes);
    if (taken.length === count) stop.abort();
  }
  return taken;
}

function textOf({ revision, changes }: Changes): string {
  const parts = changes.map((change) =>
    change.kind === "put" ? `${change.entry.key}=${Buffer.from(change.entry.value).toString()}` : `-${change.key}`,
  );
  return `${revision}: ${parts.join(" ")}`;
}

export function describeStore(name: string, openStore: OpenStore): void {
  describe(`${name} keeps the store's promises`, () => {
    const keptRevisions = 40;
    let under: StoreUnderTest;
    let store: Store;

    beforeEach(async () => {
      under = await openStore({ keptRevisions });
      ({ store } = under);
    });
    afterEach(async () => {
      await under.dispose();
    });

    describe("keys and values", () => {
      test("what was put is got, byte for byte, with its revisions", async () => {
        const all = Buffer.from(Array.from({ length: 256 }, (_, octet) => octet));
        const first = await store.put("a/b", all);
        const second = await store.put("a/b", new Uint8Array(0));
        expect(second).toBeGreaterThan(first);
        expect(await store.get("a/b")).toEqual({ key: "a/b", value: new Uint8Array(0), revision: second, createdRevision: first });
        const third = await store.put("a/c", all);
        expect(Buffer.from((await store.get("a/c"))!.value)).toEqual(all);
        expect((await store.get("a/c"))!.createdRevision).toBe(third);
      });

      test("what was never put, or was deleted, is not there", async () => {
        expect(await store.get("a")).toBeUndefined();
        const made = await store.put("a", bytes("1"));
        const gone = await store.delete("a");
        expect(gone).toBeGreaterThan(made);
        expect(await store.get("a")).toBeUndefined();
        const again = await store.put("a", bytes("2"));
        expect((await store.get("a"))!.createdRevision).toBe(again);
      });

      test("deleting what is not there succeeds and is no commit", async () => {
        const revision = await store.put("a", bytes("1"));
        expect(await store.delete("b")).toBe(revision);
        expect((await store.list("")).revision).toBe(revision);
      });

      test("a value kept is not the caller's memory", async () => {
        const value = bytes("before");
        await store.put("a", value);
        value.fill(0);
        expect(Buffer.from((await store.get("a"))!.value).toString()).toBe("before");
      });

      test.each(["", "/", "/a", "a/", "a//b", "a b", "a\u0000b", "ä", "a\nb", "x".repeat(513)])("%j is no key", async (key) => {
        await expect(store.get(key)).rejects.toThrow(failsWith("invalid-operation"));
        await expect(store.put(key, bytes("1"))).rejects.toThrow(failsWith("invalid-operation"));
        await expect(store.acquireLease(key, 1000)).rejects.toThrow(failsWith("invalid-operation"));
      });

      test("names that JavaScript's objects know are ordinary keys", async () => {
        for (const key of ["__proto__", "constructor", "toString/hasOwnProperty"]) {
          expect(await store.get(key)).toBeUndefined();
          await store.put(key, bytes(key));
          expect(Buffer.from((await store.get(key))!.value).toString()).toBe(key);
        }
      });

      test("a value of 1 MiB is kept, one octet more is refused", async () => {
        await store.put("a", Buffer.alloc(MAX_VALUE_BYTES, 7));
        expect((await store.get("a"))!.value.length).toBe(MAX_VALUE_BYTES);
        await expect(store.put("a", Buffer.alloc(MAX_VALUE_BYTES + 1))).rejects.toThrow(failsWith("invalid-operation"));
      });
    });

    describe("lists", () => {
      test("holds the keys under the prefix, in order, and no neighbours", async () => {
        for (const key of ["a/b/2", "a/b/10", "a/b", "a/bc/1", "a/B/1", "b", "a/b/~"]) await store.put(key, bytes(key));
        const { entries, revision } = await store.list("a/b/");
        expect(entries.map(({ key }) => key)).toEqual(["a/b/10", "a/b/2", "a/b/~"]);
        expect(revision).toBe((await store.get("a/b/~"))!.revision);
        expect((await store.list("a/b")).entries.map(({ key }) => key)).toEqual(["a/b", "a/b/10", "a/b/2", "a/b/~", "a/bc/1"]);
        expect((await store.list("")).entries).toHaveLength(7);
        expect((await store.list("c")).entries).toEqual([]);
      });

      test("a prefix that starts no key is refused", async () => {
        await expect(store.list("a%")).rejects.toThrow(failsWith("invalid-operation"));
      });
    });

    describe("compare and set", () => {
      test("0 expects no key; a revision expects that very commit", async () => {
        const first = await store.put("a", bytes("1"), { expectRevision: 0 });
        await expect(store.put("a", bytes("2"), { expectRevision: 0 })).rejects.toThrow(failsWith("conflict"));
        const second = await store.put("a", bytes("2"), { expectRevision: first });
        await expect(store.put("a", bytes("3"), { expectRevision: first })).rejects.toThrow(failsWith("conflict"));
        await expect(store.delete("a", { expectRevision: first })).rejects.toThrow(failsWith("conflict"));
        await expect(store.delete("b", { expectRevision: first })).rejects.toThrow(failsWith("conflict"));
        await store.delete("a", { expectRevision: second });
        expect(await store.get("a")).toBeUndefined();
      });

      test("of many at once, one wins", async () => {
        const revision = await store.put("a", bytes("0"));
        const outcomes = await Promise.allSettled(
          Array.from({ length: 20 }, async (_, index) => store.put("a", bytes(`${index}`), { expectRevision: revision })),
        );
        expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
        const winner = outcomes.findIndex(({ status }) => status === "fulfilled");
        expect(Buffer.from((await store.get("a"))!.value).toString()).toBe(`${winner}`);
      });
    });

    describe("commits", () => {
      test("all operations have one revision", async () => {
        await store.put("gone", bytes("1"));
        const revision = await store.commit([putOf("a", "1"), putOf("b", "2"), { kind: "delete", key: "gone" }]);
        expect((await store.get("a"))!.revision).toBe(revision);
        expect((await store.get("b"))!.revision).toBe(revision);
        expect(await store.get("gone")).toBeUndefined();
      });

      test("one failed expectation leaves everything as it was", async () => {
        const before = await store.put("a", bytes("1"));
        const commit = store.commit([putOf("b", "2"), { kind: "delete", key: "a" }, putOf("c", "3", 99)]);
        await expect(commit).rejects.toThrow(failsWith("conflict"));
        expect(await store.list("")).toMatchObject({ revision: before, entries: [{ key: "a" }] });
      });

      test("a check guards without writing", async () => {
        const revision = await store.put("a", bytes("1"));
        await store.commit([{ kind: "check", key: "a", expectRevision: revision }, putOf("b", "2")]);
        expect((await store.get("a"))!.revision).toBe(revision);
        const commit = store.commit([{ kind: "check", key: "a", expectRevision: 0 }, putOf("b", "3")]);
        await expect(commit).rejects.toThrow(failsWith("conflict"));
        const unchanged = (await store.list("")).revision;
        expect(await store.commit([{ kind: "check", key: "a", expectRevision: revision }])).toBe(unchanged);
      });

      test("none, too many, or the same key twice are refused", async () => {
        const many = Array.from({ length: MAX_OPERATIONS + 1 }, (_, index) => putOf(`many/${index}`, "1"));
        for (const operations of [[], many, [putOf("a", "1"), putOf("a", "2")]]) {
          await expect(store.commit(operations)).rejects.toThrow(failsWith("invalid-operation"));
        }
        await store.commit(many.slice(1));
        expect((await store.list("many/")).entries).toHaveLength(MAX_OPERATIONS);
      });

      test("any sequence of commits ends as in a map", async () => {
        const operation = record({
          key: constantFrom("a", "a/b", "b", "c"),
          kind: constantFrom("put" as const, "delete" as const),
          value: uint8Array({ maxLength: 4 }),
          expect: constantFrom("none" as const, "right" as const, "wrong" as const),
        });
        const commits = array(uniqueArray(operation, { minLength: 1, maxLength: 3, selector: ({ key }) => key }), { maxLength: 12 });
        await assert(
          asyncProperty(commits, async (commits) => {
            for (const { key } of (await store.list("")).entries) await store.delete(key);
            const start = (await store.list("")).revision;
            const model = new Map<string, Uint8Array>();
            for (const operations of commits) {
              const asked: Operation[] = [];
              for (const { key, kind, value, expect } of operations) {
                const revision = (await store.get(key))?.revision ?? 0;
                const guard = expect === "none" ? {} : { expectRevision: expect === "right" ? revision : revision + 1000 };
                asked.push(kind === "put" ? { kind, key, value, ...guard } : { kind, key, ...guard });
              }
              const outcome = await store.commit(asked).then(
                () => "committed",
                (error: StoreError) => error.code,
              );
              const refused = operations.some(({ expect }) => expect === "wrong");
              expect(outcome).toBe(refused ? "conflict" : "committed");
              for (const { key, kind, value } of refused ? [] : operations) {
                if (kind === "put") model.set(key, value);
                else model.delete(key);
              }
            }
            const { revision, entries } = await store.list("");
            expect(new Map(entries.map(({ key, value }) => [key, Buffer.from(value)]))).toEqual(
              new Map([...model].map(([key, value]) => [key, Buffer.from(value)])),
            );
            expect(revision).toBeGreaterThanOrEqual(start);
          }),
          { numRuns: 30 },
        );
      });
    });

    describe("durability", () => {
      test("what was committed is there after the store is opened again, and revisions go on", async () => {
        await store.put("a", bytes("1"));
        const revision = await store.commit([putOf("b", "2"), { kind: "delete", key: "a" }]);
        store = await under.reopen();
        expect(await store.get("a")).toBeUndefined();
        expect(await store.get("b")).toMatchObject({ revision, createdRevision: revision });
        expect(await store.put("c", bytes("3"))).toBeGreaterThan(revision);
        expect((await take(store, "", 0, 3)).map(textOf)[1]).toBe(`${revision}: -a b=2`);
      });

      test("every call on a closed store says so", async () => {
        const watched = take(store, "", (await store.list("")).revision, 1);
        await store.close();
        await store.close();
        await expect(watched).rejects.toThrow(failsWith("store-closed"));
        await expect(store.get("a")).rejects.toThrow(failsWith("store-closed"));
        await expect(store.put("a", bytes("1"))).rejects.toThrow(failsWith("store-closed"));
        await expect(store.acquireLease("a", 1000)).rejects.toThrow(failsWith("store-closed"));
      });
    });

    describe("watches", () => {
      test("sees what came before and what comes after, in order, each commit whole", async () => {
        const start = await store.put("w/1", bytes("a"));
        const second = await store.commit([putOf("w/2", "b"), putOf("other", "x"), putOf("w/3", "c")]);
        const taking = take(store, "w/", start - 1, 4);
        await store.put("other", bytes("y"));
        const third = await store.delete("w/2");
        const fourth = await store.put("w/1", bytes("d"));
        expect((await taking).map(textOf)).toEqual([`${start}: w/1=a`, `${second}: w/2=b w/3=c`, `${third}: -w/2`, `${fourth}: w/1=d`]);
      });

      test("from the revision of a list, there is neither gap nor repetition", async () => {
        await store.put("w/1", bytes("a"));
        const { revision } = await store.list("w/");
        const writes = Promise.all(Array.from({ length: 30 }, async (_, index) => store.put(`w/${index}`, bytes(`${index}`))));
        const seen = await take(store, "w/", revision, 30);
        await writes;
        const revisions = seen.map((changes) => changes.revision);
        expect(new Set(revisions).size).toBe(30);
        expect(revisions).toEqual([...revisions].sort((a, b) => a - b));
      });

      test("many watch at once, each its own prefix", async () => {
        const takings = ["a/", "b/", ""].map(async (prefix) => take(store, prefix, 0, prefix === "" ? 2 : 1));
        const [first, second] = [await store.put("a/1", bytes("x")), await store.put("b/1", bytes("y"))];
        expect((await Promise.all(takings)).map((taken) => taken.map(textOf))).toEqual([
          [`${first}: a/1=x`],
          [`${second}: b/1=y`],
          [`${first}: a/1=x`, `${second}: b/1=y`],
        ]);
      });

      test("ends when its signal aborts, before and while it waits", async () => {
        const ended: string[] = [];
        for await (const changes of store.watch("", 0, AbortSignal.abort())) ended.push(textOf(changes));
        const stop = new AbortController();
        const waiting = (async () => {
          for await (const changes of store.watch("never/", 0, stop.signal)) ended.push(textOf(changes));
        })();
        stop.abort();
        await waiting;
        expect(ended).toEqual([]);
      });

      test("a watch that has seen everything outlives any number of commits elsewhere", async () => {
        const stop = new AbortController();
        const watch = store.watch("quiet/", 0, stop.signal)[Symbol.asyncIterator]();
        const next = watch.next();
        for (let index = 0; index < keptRevisions * 2; index++) await store.put("busy", bytes(`${index}`));
        const revision = await store.put("quiet/1", bytes("x"));
        expect((await next).value).toMatchObject({ revision });
        stop.abort();
        expect((await watch.next()).done).toBe(true);
      });

      test("a revision too old to go on from says so, and a list starts anew", async () => {
        const first = await store.put("a", bytes("first"));
        for (let index = 0; index < keptRevisions * 2; index++) await store.put("a", bytes(`${index}`));
        await expect(take(store, "", first, 1)).rejects.toThrow(failsWith("compacted"));
        const { revision } = await store.list("");
        const taking = take(store, "", revision, 1);
        const next = await store.put("a", bytes("next"));
        expect((await taking).map(textOf)).toEqual([`${next}: a=next`]);
      });
    });

    describe("leases", () => {
      test("one holds it until it is released", async () => {
        const lease = await store.acquireLease("ca/rotation", 10_000);
        expect(lease).toBeDefined();
        expect(await store.acquireLease("ca/rotation", 10_000)).toBeUndefined();
        expect(await store.acquireLease("other", 10_000)).toBeDefined();
        await store.put("a", bytes("1"), { lease: lease! });
        await lease!.release();
        const next = await store.acquireLease("ca/rotation", 10_000);
        expect(next!.token).toBeGreaterThan(lease!.token);
      });

      test("a write by a holder that lost it fails, and leaves nothing behind", async () => {
        const lost = (await store.acquireLease("l", 1000))!;
        await under.advance(1001);
        await expect(store.put("a", bytes("expired"), { lease: lost })).rejects.toThrow(failsWith("lease-lost"));
        const held = (await store.acquireLease("l", 10_000))!;
        await expect(store.commit([putOf("a", "late"), putOf("b", "late")], { lease: lost })).rejects.toThrow(failsWith("lease-lost"));
        await expect(store.delete("a", { lease: lost })).rejects.toThrow(failsWith("lease-lost"));
        await expect(lost.renew()).rejects.toThrow(failsWith("lease-lost"));
        await lost.release();
        await store.put("a", bytes("held"), { lease: held });
        expect((await store.list("")).entries.map(({ value }) => Buffer.from(value).toString())).toEqual(["held"]);
      });

      test("renewing keeps it, releasing ends it", async () => {
        const lease = (await store.acquireLease("l", 3000))!;
        await under.advance(2000);
        await lease.renew();
        await under.advance(2000);
        await store.put("a", bytes("1"), { lease });
        expect(await store.acquireLease("l", 3000)).toBeUndefined();
        await lease.release();
        await expect(store.put("a", bytes("2"), { lease })).rejects.toThrow(failsWith("lease-lost"));
        await expect(lease.renew()).rejects.toThrow(failsWith("lease-lost"));
      });

      test("tokens rise across a restart", async () => {
        const before = (await store.acquireLease("l", 1000))!;
        store = await under.reopen();
        await under.advance(1001);
        const after = (await store.acquireLease("l", 1000))!;
        expect(after.token).toBeGreaterThan(before.token);
        await expect(store.put("a", bytes("1"), { lease: before })).rejects.toThrow(failsWith("lease-lost"));
      });
    });
  });
}
