import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createReplayGuard, createSignatureCache, parseSequence } from "../../../sidecar/inbound/replay-window.ts";

const now = 1_790_000_000;
const instance = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const guardOptions = { maxCallers: 100, maxInstancesPerSession: 10, skewSeconds: 300 };

describe("parseSequence", () => {
  test.each([
    [`${instance}:0`, 0],
    [`${instance}:1`, 1],
    [`a2345678:${Number.MAX_SAFE_INTEGER}`, Number.MAX_SAFE_INTEGER],
    [`${"z".repeat(64)}:42`, 42],
  ])("takes %s", (text, number) => {
    expect(parseSequence(text)).toEqual({ instance: text.slice(0, text.indexOf(":")), number });
  });

  test.each([
    "",
    ":",
    "1",
    instance,
    `${instance}:`,
    ":1",
    "short12:1",
    `${"z".repeat(65)}:1`,
    `${instance}:01`,
    `${instance}:-1`,
    `${instance}:+1`,
    `${instance}:1.0`,
    `${instance}:1e3`,
    `${instance}:0x1`,
    `${instance}:9007199254740992`,
    `${instance}:99999999999999999`,
    `${instance}:1 `,
    ` ${instance}:1`,
    `${instance}:1\n`,
    `${instance}: 1`,
    `${instance}:1:2`,
    `${instance}:1,${instance}:2`,
    `ABCDEFG-IJKLM:1`,
    `${instance}:١`,
  ])("refuses %j", (text) => {
    expect(parseSequence(text)).toBeUndefined();
  });
});

describe("the replay guard", () => {
  test("agrees with a set of everything seen, within the window", () => {
    const numbers = fc.array(
      fc.oneof(
        { weight: 6, arbitrary: fc.integer({ min: -8, max: 8 }) },
        { weight: 3, arbitrary: fc.integer({ min: -1100, max: 1100 }) },
        { weight: 1, arbitrary: fc.integer({ min: -5000, max: 100_000 }) },
      ),
      { maxLength: 400 },
    );
    const starts = fc.constantFrom(0, 1, 31, 1023, 1024, 2 ** 31 - 5, 2 ** 32 - 3, 2 ** 52);
    fc.assert(
      fc.property(starts, numbers, (start, steps) => {
        const guard = createReplayGuard(guardOptions);
        const seen = new Set<number>();
        let highest = -1;
        for (const step of steps) {
          const number = Math.max(0, (highest < 0 ? start : highest) + step);
          const expected = seen.has(number) || number <= highest - 1024 ? "replayed" : "fresh";
          expect(guard.admit("session", { instance, number }, now, now)).toBe(expected);
          if (expected === "fresh") {
            seen.add(number);
            highest = Math.max(highest, number);
          }
        }
        expect(guard.callers).toBeLessThanOrEqual(1);
      }),
      { numRuns: 150 },
    );
  });

  test("takes the largest number there is, and each of the window below it once", () => {
    const guard = createReplayGuard(guardOptions);
    const top = Number.MAX_SAFE_INTEGER;
    const admit = (number: number) => guard.admit("session", { instance, number }, now, now);
    expect(admit(top)).toBe("fresh");
    for (let back = 1; back < 1024; back++) expect(admit(top - back)).toBe("fresh");
    for (let back = 0; back < 1030; back++) expect(admit(top - back)).toBe("replayed");
  });

  test("keeps sessions and instances apart", () => {
    const guard = createReplayGuard(guardOptions);
    expect(guard.admit("one", { instance: "instance1", number: 7 }, now, now)).toBe("fresh");
    expect(guard.admit("one", { instance: "instance2", number: 7 }, now, now)).toBe("fresh");
    expect(guard.admit("two", { instance: "instance1", number: 7 }, now, now)).toBe("fresh");
    expect(guard.admit("one", { instance: "instance1", number: 7 }, now, now)).toBe("replayed");
    expect(guard.callers).toBe(3);
  });

  test("names from the wire are ordinary names", () => {
    const guard = createReplayGuard(guardOptions);
    expect(guard.admit("__proto__", { instance: "constructor", number: 1 }, now, now)).toBe("fresh");
    expect(guard.admit("__proto__", { instance: "constructor", number: 1 }, now, now)).toBe("replayed");
  });

  test("refuses new callers when full, serves the known ones, and makes room only when nothing old can come again", () => {
    const guard = createReplayGuard({ maxCallers: 2, maxInstancesPerSession: 10, skewSeconds: 300 });
    const admit = (session: string, number: number, date: number, at: number) => guard.admit(session, { instance, number }, date, at);
    expect(admit("one", 1, now, now)).toBe("fresh");
    expect(admit("two", 1, now + 100, now)).toBe("fresh");
    expect(admit("three", 1, now, now)).toBe("full");
    expect(admit("one", 2, now, now)).toBe("fresh");
    expect(admit("one", 2, now, now)).toBe("replayed");
    // A request of `one` is good up to and including this second.
    expect(admit("three", 1, now + 300, now + 300)).toBe("full");
    expect(admit("three", 1, now + 302, now + 302)).toBe("fresh");
    expect(admit("two", 1, now + 100, now + 302)).toBe("replayed");
    expect(guard.callers).toBe(2);
  });

  test("one session cannot fill the memory for all", () => {
    const guard = createReplayGuard({ maxCallers: 100, maxInstancesPerSession: 3, skewSeconds: 300 });
    const verdicts = Array.from({ length: 5 }, (_, index) => guard.admit("greedy", { instance: `instance${index}`, number: 1 }, now, now));
    expect(verdicts).toEqual(["fresh", "fresh", "fresh", "full", "full"]);
    expect(guard.admit("other", { instance, number: 1 }, now, now)).toBe("fresh");
  });

  test("a clock that is set back makes no request of a forgotten caller fresh", () => {
    const guard = createReplayGuard(guardOptions);
    const request = { instance, number: 5 };
    expect(guard.admit("session", request, now, now)).toBe("fresh");
    expect(guard.admit("later", request, now + 1000, now + 1000)).toBe("fresh");
    expect(guard.callers).toBe(1);
    expect(guard.admit("session", request, now, now + 200)).toBe("replayed");
    expect(guard.admit("session", { instance, number: 6 }, now + 1, now + 200)).toBe("fresh");
  });

  test("a clock that was far ahead does not leave it full", () => {
    const guard = createReplayGuard({ maxCallers: 2, maxInstancesPerSession: 10, skewSeconds: 300 });
    const admit = (session: string, at: number) => guard.admit(session, { instance, number: 1 }, at, at);
    expect(admit("one", now + 100_000)).toBe("fresh");
    expect(admit("two", now)).toBe("fresh");
    expect(admit("three", now + 301)).toBe("full");
    expect(admit("three", now + 302)).toBe("fresh");
  });

  test("a caller that stays is never forgotten", () => {
    const guard = createReplayGuard(guardOptions);
    for (let second = 0; second < 2000; second += 50) {
      expect(guard.admit("session", { instance, number: second }, now + second, now + second)).toBe("fresh");
      expect(guard.admit(`passing${second}`, { instance, number: 1 }, now + second, now + second)).toBe("fresh");
      expect(guard.admit("session", { instance, number: second }, now + second, now + second)).toBe("replayed");
    }
    expect(guard.callers).toBeLessThan(12);
  });

  test("no request passes twice, whatever the order, the dates and the clock", () => {
    const step = fc.record({
      session: fc.constantFrom("one", "two", "three", "four"),
      number: fc.integer({ min: 0, max: 30 }),
      age: fc.integer({ min: -10, max: 10 }),
      elapsed: fc.integer({ min: -15, max: 25 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const guard = createReplayGuard({ maxCallers: 3, maxInstancesPerSession: 2, skewSeconds: 10 });
        const passed = new Map<string, { number: number; date: number }>();
        let clock = now;
        for (const { session, number, age, elapsed } of steps) {
          clock += elapsed;
          const date = clock - age;
          if (guard.admit(session, { instance, number }, date, clock) === "fresh")
            passed.set(`${session} ${number} ${date}`, { number, date });
          for (const [request, { number, date }] of passed) {
            if (Math.abs(clock - date) > 10) continue;
            const [session = ""] = request.split(" ");
            expect(guard.admit(session, { instance, number }, date, clock)).not.toBe("fresh");
          }
        }
      }),
      { numRuns: 200 },
    );
  });
});

describe("the signature cache", () => {
  const signatureOf = (number: number) => number.toString(16).padStart(64, "0");
  const options = { maxSignatures: 3, skewSeconds: 300 };

  test("passes a signature once", () => {
    const cache = createSignatureCache(options);
    expect(cache.admit(signatureOf(1), now, now)).toBe("fresh");
    expect(cache.admit(signatureOf(1), now, now)).toBe("replayed");
    expect(cache.admit(signatureOf(2), now, now)).toBe("fresh");
    expect(cache.signatures).toBe(2);
  });

  test("remembers for as long as the date is good, to the second, and not much longer", () => {
    const cache = createSignatureCache(options);
    expect(cache.admit(signatureOf(1), now, now - 300)).toBe("fresh");
    expect(cache.admit(signatureOf(1), now, now + 300)).toBe("replayed");
    expect(cache.admit(signatureOf(2), now + 400, now + 400)).toBe("fresh");
    expect(cache.signatures).toBe(1);
  });

  test("refuses when full, and recovers with time", () => {
    const cache = createSignatureCache(options);
    for (const number of [1, 2, 3]) expect(cache.admit(signatureOf(number), now, now)).toBe("fresh");
    expect(cache.admit(signatureOf(4), now, now)).toBe("full");
    expect(cache.admit(signatureOf(2), now, now)).toBe("replayed");
    expect(cache.admit(signatureOf(4), now + 360, now + 360)).toBe("fresh");
    expect(cache.signatures).toBe(1);
  });

  test("takes a late request for as long as its date is good", () => {
    // The last second of its minute, so that the minute is as old as it can be.
    const late = 60 * Math.floor(now / 60) + 59;
    const cache = createSignatureCache({ maxSignatures: 10, skewSeconds: 300 });
    expect(cache.admit(signatureOf(1), late, late)).toBe("fresh");
    expect(cache.admit(signatureOf(2), late + 300, late + 300)).toBe("fresh");
    expect(cache.admit(signatureOf(3), late, late + 300)).toBe("fresh");
    expect(cache.admit(signatureOf(1), late, late + 300)).toBe("replayed");
  });

  test("a clock that is set back makes no forgotten signature fresh", () => {
    const cache = createSignatureCache(options);
    expect(cache.admit(signatureOf(1), now, now)).toBe("fresh");
    expect(cache.admit(signatureOf(2), now + 1000, now + 1000)).toBe("fresh");
    expect(cache.admit(signatureOf(1), now, now)).toBe("replayed");
  });

  test("no signature passes twice, whatever the dates and the clock", () => {
    const step = fc.record({ age: fc.integer({ min: -300, max: 300 }), elapsed: fc.integer({ min: -400, max: 500 }), pick: fc.nat() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
        const cache = createSignatureCache({ maxSignatures: 20, skewSeconds: 300 });
        const passed: { signature: string; date: number }[] = [];
        let clock = now;
        for (const [index, { age, elapsed, pick }] of steps.entries()) {
          clock += elapsed;
          const fresh = { signature: signatureOf(index), date: clock - age };
          if (cache.admit(fresh.signature, fresh.date, clock) === "fresh") passed.push(fresh);
          const old = passed[pick % Math.max(passed.length, 1)];
          const twice = old !== undefined && Math.abs(clock - old.date) <= 300 && cache.admit(old.signature, old.date, clock) === "fresh";
          expect(twice).toBe(false);
        }
        expect(cache.signatures).toBeLessThanOrEqual(20);
      }),
    );
  });
});
