import { beforeEach, describe, expect, test } from "vitest";
import { createResolver, systemLookup, type Resolver } from "../../../../sidecar/outbound/egress/resolver.ts";
import { createFakeClock, type FakeClock } from "../../../fakes/clock.ts";

interface Asked {
  readonly host: string;
  readonly answer: (...addresses: readonly string[]) => void;
  readonly fail: (code: string) => void;
}

let clock: FakeClock;
let asked: Asked[];
let outcomes: string[];
let resolver: Resolver;

beforeEach(() => {
  clock = createFakeClock();
  asked = [];
  outcomes = [];
  resolver = createResolver({
    lookup: (host) => {
      const { promise, resolve, reject } = Promise.withResolvers<readonly string[]>();
      asked.push({
        host,
        answer: (...addresses) => resolve(addresses),
        fail: (code) => reject(Object.assign(new Error(code), { code })),
      });
      return promise;
    },
    clock,
    onLookup: (outcome) => outcomes.push(outcome),
  });
});

/** Resolves once, with that answer. */
async function known(host: string, ...addresses: readonly string[]): Promise<void> {
  const resolving = resolver.resolve(host);
  asked.pop()?.answer(...addresses);
  await resolving;
}

describe("resolve", () => {
  test("gives every address in one form, once", async () => {
    const resolving = resolver.resolve("a.example");
    asked[0]?.answer("10.0.0.1", "::ffff:10.0.0.1", "2001:DB8:0::1", "fe80::1%eth0", "nonsense");
    await expect(resolving).resolves.toEqual(["10.0.0.1", "2001:db8::1", "fe80::1"]);
    expect(outcomes).toEqual(["found"]);
  });

  test("asks once for those who wait together, and not again for a while", async () => {
    const both = [resolver.resolve("a.example"), resolver.resolve("a.example")];
    expect(asked).toHaveLength(1);
    asked[0]?.answer("10.0.0.1");
    await expect(Promise.all(both)).resolves.toEqual([["10.0.0.1"], ["10.0.0.1"]]);
    clock.advance(29_999);
    await resolver.resolve("a.example");
    expect(asked).toHaveLength(1);
    clock.advance(1);
    const anew = resolver.resolve("a.example");
    expect(asked).toHaveLength(2);
    asked[1]?.answer("10.0.0.2");
    await expect(anew).resolves.toEqual(["10.0.0.2"]);
  });

  test.each([
    ["ENOTFOUND", "not-found"],
    ["ENODATA", "not-found"],
    ["EAI_AGAIN", "failed"],
  ])("%s is %s, and asked again soon", async (code, expected) => {
    const first = resolver.resolve("a.example");
    asked[0]?.fail(code);
    await expect(first).rejects.toMatchObject({ name: "ResolveError", code: expected });
    clock.advance(1999);
    await expect(resolver.resolve("a.example")).rejects.toMatchObject({ code: expected });
    expect(asked).toHaveLength(1);
    clock.advance(1);
    const second = resolver.resolve("a.example");
    asked[1]?.answer("10.0.0.1");
    await expect(second).resolves.toEqual(["10.0.0.1"]);
    expect(outcomes).toEqual([expected, "found"]);
  });

  test("a host without addresses is not there", async () => {
    const resolving = resolver.resolve("a.example");
    asked[0]?.answer();
    await expect(resolving).rejects.toMatchObject({ code: "not-found" });
  });

  test("does not wait for ever, and takes what comes late", async () => {
    const resolving = resolver.resolve("a.example");
    clock.advance(5000);
    await expect(resolving).rejects.toMatchObject({ code: "timeout" });
    // The look-up goes on, and a second one is not started beside it.
    const again = resolver.resolve("a.example");
    expect(asked).toHaveLength(1);
    asked[0]?.answer("10.0.0.1");
    await expect(again).resolves.toEqual(["10.0.0.1"]);
    expect(clock.pendingTimers()).toBe(0);
  });

  test("goes by the old answer while there is no new one", async () => {
    await known("a.example", "10.0.0.1");
    clock.advance(60_000);
    const slow = resolver.resolve("a.example");
    clock.advance(1000);
    await expect(slow).resolves.toEqual(["10.0.0.1"]);
    const failing = resolver.resolve("a.example");
    asked[0]?.fail("EAI_AGAIN");
    await expect(failing).resolves.toEqual(["10.0.0.1"]);
    clock.advance(600_000);
    const gone = resolver.resolve("a.example");
    asked[1]?.fail("EAI_AGAIN");
    await expect(gone).rejects.toMatchObject({ code: "failed" });
  });

  test("is bounded in what is under way", async () => {
    const waiting = Array.from({ length: 256 }, (_, index) => resolver.resolve(`${index}.example`));
    await expect(resolver.resolve("one.too.many")).rejects.toMatchObject({ code: "overloaded" });
    expect(asked).toHaveLength(256);
    for (const each of asked) each.answer("10.0.0.1");
    await Promise.all(waiting);
    const next = resolver.resolve("one.more");
    asked.at(-1)?.answer("10.0.0.1");
    await expect(next).resolves.toEqual(["10.0.0.1"]);
  });

  test("is bounded in what it remembers", async () => {
    for (let index = 0; index < 5000; index++) await known(`${index}.example`, "10.0.0.1");
    // The first has been forgotten: it is asked for anew.
    const first = resolver.resolve("0.example");
    expect(asked).toHaveLength(1);
    asked[0]?.answer(...Array.from({ length: 1000 }, (_, index) => `10.0.${index >> 8}.${index & 255}`));
    expect(await first).toHaveLength(64);
  });
});

describe("isAt", () => {
  test("an address of the answer is the host's", async () => {
    await known("a.example", "10.0.0.1", "10.0.0.2");
    await expect(resolver.isAt("a.example", "10.0.0.2")).resolves.toBe(true);
    expect(asked).toHaveLength(0);
  });

  test("asks anew before it says no, but not all the time", async () => {
    await known("a.example", "10.0.0.1");
    await expect(resolver.isAt("a.example", "10.0.0.9")).resolves.toBe(false);
    expect(asked).toHaveLength(0);
    clock.advance(1000);
    const second = resolver.isAt("a.example", "10.0.0.9");
    await expect.poll(() => asked.length).toBe(1);
    asked[0]?.answer("10.0.0.9");
    await expect(second).resolves.toBe(true);
  });

  test("what the host was seen at a while ago is still its", async () => {
    await known("a.example", "10.0.0.1");
    clock.advance(30_000);
    await known("a.example", "10.0.0.2");
    await expect(resolver.isAt("a.example", "10.0.0.1")).resolves.toBe(true);
    clock.advance(600_000);
    const late = resolver.isAt("a.example", "10.0.0.1");
    asked[0]?.answer("10.0.0.2");
    await expect(late).resolves.toBe(false);
  });

  test("rejects where nothing is known", async () => {
    const at = resolver.isAt("a.example", "10.0.0.1");
    asked[0]?.fail("ENOTFOUND");
    await expect(at).rejects.toMatchObject({ code: "not-found" });
  });
});

describe("systemLookup", () => {
  test("reads /etc/hosts, as applications do", async () => {
    const addresses = await systemLookup("localhost");
    expect(addresses.length).toBeGreaterThan(0);
    for (const address of addresses) expect(["127.0.0.1", "::1"]).toContain(address);
  });

  test("what getaddrinfo takes for an address comes out as one, to be checked", async () => {
    await expect(systemLookup("127.1")).resolves.toEqual(["127.0.0.1"]);
    await expect(systemLookup("0x7f000001")).resolves.toEqual(["127.0.0.1"]);
  });
});
