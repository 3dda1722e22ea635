import * as fc from "fast-check";
import { expect, test } from "vitest";
import { createRecentCache } from "../../../common/http/recent-cache.ts";

test("keeps what is in use, however much else comes by", () => {
  const cache = createRecentCache<string>(10, 100);
  cache.set("used", "value");
  for (let index = 0; index < 1000; index++) {
    cache.set(`other${index}`, "x");
    expect(cache.get("used")).toBe("value");
  }
});

test("holds at most twice its limit, the youngest among them", () => {
  const cache = createRecentCache<string>(10, 100);
  for (let index = 0; index < 1000; index++) cache.set(`key${index}`, "x");
  const held = Array.from({ length: 1000 }, (_, index) => `key${index}`).filter((key) => cache.get(key) !== undefined);
  expect(held.length).toBeGreaterThanOrEqual(10);
  expect(held.length).toBeLessThanOrEqual(20);
  expect(held.at(-1)).toBe("key999");
});

test("does not keep keys that are too long", () => {
  const cache = createRecentCache<string>(10, 5);
  cache.set("12345", "kept");
  cache.set("123456", "not kept");
  expect(cache.get("12345")).toBe("kept");
  expect(cache.get("123456")).toBeUndefined();
});

test("never gives a key another's value", () => {
  const keys = fc.constantFrom("a", "b", "c", "d", "e", "__proto__", "constructor", "toString");
  fc.assert(
    fc.property(fc.array(fc.tuple(keys, fc.boolean()), { maxLength: 100 }), (steps) => {
      const cache = createRecentCache<string>(2, 100);
      const written = new Map<string, string>();
      for (const [index, [key, writes]] of steps.entries()) {
        if (writes) {
          cache.set(key, `${index}`);
          written.set(key, `${index}`);
        }
        expect([undefined, written.get(key)]).toContain(cache.get(key));
        expect(writes ? cache.get(key) : "read").toBe(writes ? `${index}` : "read");
      }
    }),
  );
});
