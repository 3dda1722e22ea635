import { describe, expect, test } from "vitest";
import { createInterned, type Interned } from "../../../sidecar/http1/interned.ts";
import { bytes } from "./recording.ts";

function find<Value>(cache: Interned<Value>, text: string, hash: number): Value | undefined {
  // Not at the start of its memory, nor aligned.
  const buffer = bytes(`???${text}!`);
  return cache.find(buffer, 3, 3 + text.length, hash);
}

function offer<Value>(cache: Interned<Value>, text: string, hash: number, value: Value): void {
  cache.offer(bytes(text), 0, text.length, hash, value);
}

function keep<Value>(cache: Interned<Value>, text: string, hash: number, value: Value): void {
  offer(cache, text, hash, value);
  offer(cache, text, hash, value);
}

describe("interned", () => {
  test("keeps what is offered for the second time", () => {
    const cache = createInterned<string>({ maxEntries: 10, maxBytes: 100, maxKeyBytes: 50 });
    offer(cache, "accept: x", 7, "first");
    expect(find(cache, "accept: x", 7)).toBeUndefined();
    offer(cache, "accept: x", 7, "second");
    expect(find(cache, "accept: x", 7)).toBe("second");
  });

  test("another text of the same hash is not found", () => {
    const cache = createInterned<string>({ maxEntries: 10, maxBytes: 1000, maxKeyBytes: 50 });
    const text = "authorization: me";
    keep(cache, text, 7, "me");
    for (let at = 0; at < text.length; at++) {
      expect(find(cache, `${text.slice(0, at)}!${text.slice(at + 1)}`, 7)).toBeUndefined();
      expect(find(cache, text.slice(0, at), 7)).toBeUndefined();
    }
    expect(find(cache, `${text}!`, 7)).toBeUndefined();
    expect(find(cache, text, 7)).toBe("me");
  });

  test("texts of the same hash take turns", () => {
    const cache = createInterned<string>({ maxEntries: 10, maxBytes: 1000, maxKeyBytes: 50 });
    keep(cache, "one", 7, "1");
    keep(cache, "two", 7, "2");
    expect(find(cache, "one", 7)).toBeUndefined();
    expect(find(cache, "two", 7)).toBe("2");
  });

  test("keys over the longest are not kept", () => {
    const cache = createInterned<string>({ maxEntries: 10, maxBytes: 1000, maxKeyBytes: 5 });
    keep(cache, "12345", 1, "kept");
    keep(cache, "123456", 2, "not kept");
    expect(find(cache, "12345", 1)).toBe("kept");
    expect(find(cache, "123456", 2)).toBeUndefined();
  });

  test.each([
    { bound: "entries", bounds: { maxEntries: 4, maxBytes: 1000, maxKeyBytes: 50 } },
    { bound: "bytes", bounds: { maxEntries: 1000, maxBytes: 16, maxKeyBytes: 50 } },
  ])("beyond $bound what was not used in two generations goes, what is used stays", ({ bounds }) => {
    const cache = createInterned<number>(bounds);
    const name = (index: number) => String(1000 + index);
    keep(cache, name(0), 0, 0);
    for (let index = 1; index < 100; index++) {
      keep(cache, name(index), index, index);
      expect(find(cache, name(0), 0)).toBe(0);
      expect(find(cache, name(index), index)).toBe(index);
    }
    const left = Array.from({ length: 100 }, (_, index) => find(cache, name(index), index));
    expect(left.filter((value) => value !== undefined).length).toBeLessThanOrEqual(8);
    expect(find(cache, name(1), 1)).toBeUndefined();
  });
});
