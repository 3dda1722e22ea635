import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createField, type Field } from "../../../common/http/field.ts";
import { absent, hostIndex, orderForSigning, orderForVerifying } from "../../../common/sigv4/header-order.ts";

const date = createField("x-amz-date", "20260915T120000Z");

function namesOf(fields: readonly Field[], positions: readonly number[]): string[] {
  return positions.map((position) => (position === hostIndex ? "host" : (fields[position]?.name ?? "")));
}

describe("orderForSigning", () => {
  test.each([
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "proxy-authorization",
    "proxy-anything",
    "expect",
    "user-agent",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-client-cert",
    "forwarded",
    "via",
    "traceparent",
    "tracestate",
    "baggage",
    "x-request-id",
    "authorization",
    "content-length",
  ])("leaves %s out", (name) => {
    expect(orderForSigning([createField(name, "x"), date]).text).toBe("host;x-amz-date");
  });

  test.each([
    "accept",
    "cookie",
    "content-type",
    "date",
    "x-amz-meta-a",
    "x-countersign-sequence",
    "x-countersign-audience",
    "constructor",
  ])("takes %s in", (name) => {
    expect(orderForSigning([date, createField(name, "x")]).text).toBe([name, "host", "x-amz-date"].sort().join(";"));
  });

  test("says where the fields are that a request is judged by", () => {
    const fields = ["x-countersign-audience", "x-amz-security-token", "accept", "x-amz-content-sha256"].map((name) =>
      createField(name, "x"),
    );
    expect(orderForSigning([...fields, date])).toMatchObject({
      audience: 0,
      securityToken: 1,
      contentSha256: 3,
      date: 4,
      sequence: absent,
      hasDuplicates: false,
    });
  });

  test("is one object for one sequence of names, whatever the values", () => {
    const first = orderForSigning([createField("accept", "a"), date]);
    expect(orderForSigning([createField("accept", "b"), date])).toBe(first);
    expect(orderForSigning([date, createField("accept", "b")])).not.toBe(first);
  });
});

describe("any sequence of names", () => {
  const names = fc.array(fc.constantFrom("a", "b", "b-c", "b1", "accept", "x-tag", "via", "constructor", "__proto__", "z"), {
    maxLength: 12,
  });

  test("is sorted by name and then arrival, the same each time, for signer and verifier alike", () => {
    fc.assert(
      fc.property(names, fc.nat(), (names, place) => {
        const fields = names.map((name) => createField(name, "x"));
        fields.splice(place % (fields.length + 1), 0, date);
        const order = orderForSigning(fields);
        const expected = ["host", ...fields.map((field) => field.name).filter((name) => name !== "via")].sort();
        expect(namesOf(fields, order.positions)).toEqual(expected);
        expect(order.text).toBe([...new Set(expected)].join(";"));
        expect(order.hasDuplicates).toBe(new Set(expected).size < expected.length);
        for (const [index, position] of order.positions.entries()) {
          const before = order.positions[index - 1];
          expect(expected[index] !== expected[index - 1] || (before ?? hostIndex) < position).toBe(true);
        }
        expect(orderForSigning(fields)).toBe(order);
        expect(orderForVerifying(fields, order.text)).toEqual(order);
      }),
    );
  });
});

function usedHeap(): number {
  setFlagsFromString("--expose-gc");
  runInNewContext("gc")();
  return process.memoryUsage().heapUsed;
}

test("names from hostile callers are forgotten again, and requests are ordered rightly throughout", () => {
  const usual = [createField("accept", "x"), date];
  const before = usedHeap();
  for (let round = 0; round < 600; round++) {
    const noise = Array.from({ length: 90 }, (_, index) => createField(`x-${round}-${index}-${"n".repeat(600)}`, "x"));
    const fields = [...noise, date];
    expect(orderForVerifying(fields, "host;x-amz-date").positions).toEqual([hostIndex, 90]);
    expect(orderForSigning(usual).text).toBe("accept;host;x-amz-date");
  }
  // 600 × 90 × 600 bytes of names went by.
  expect(usedHeap() - before).toBeLessThan(10 * 1024 * 1024);
});

test("a refusal is not remembered as anything else", () => {
  const fields = [createField("x-amz-meta-a", "x"), date];
  for (const _ of [1, 2]) {
    expect(() => orderForVerifying(fields, "host;x-amz-date")).toThrow(expect.objectContaining({ code: "unsigned-amz-header" }));
    expect(() => orderForVerifying([createField("accept", "x")], "accept;host")).toThrow(expect.objectContaining({ code: "missing-date" }));
    expect(orderForVerifying(fields, "host;x-amz-date;x-amz-meta-a").positions).toEqual([hostIndex, 1, 0]);
  }
});
