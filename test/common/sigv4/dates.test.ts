import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { formatAmzDate, parseAmzDate } from "../../../common/sigv4/amz-date.ts";
import { checkDate, checkPresignedDate } from "../../../common/sigv4/check-date.ts";
import { checkScope, formatScope, parseScope } from "../../../common/sigv4/scope.ts";

describe("x-amz-date", () => {
  test("reads what it writes, for every second of these centuries", () => {
    fc.assert(
      fc.property(fc.integer({ min: -2_000_000_000, max: 7_000_000_000 }), (epochSeconds) => {
        const text = formatAmzDate(epochSeconds);
        expect(text).toMatch(/^\d{8}T\d{6}Z$/);
        expect(parseAmzDate(text)).toBe(epochSeconds);
        expect(new Date(epochSeconds * 1000).toISOString().replaceAll(/[-:]|\.000/g, "")).toBe(text);
      }),
    );
  });

  test("AWS's example", () => {
    expect(parseAmzDate("20150830T123600Z")).toBe(Date.UTC(2015, 7, 30, 12, 36) / 1000);
    expect(parseAmzDate("20240229T235959Z")).toBe(Date.UTC(2024, 1, 29, 23, 59, 59) / 1000);
  });

  test.each([
    "",
    "20150830",
    "20150830T123600",
    "20150830T123600z",
    "20150830t123600Z",
    "20150830 123600Z",
    "2015-08-30T12:36:00Z",
    "20150830T123600+0000",
    "20150830T123600.000Z",
    " 20150830T123600Z",
    "20150830T123600Z ",
    "20150830T123600Z\n",
    "20150830T123600Z,20150830T123600Z",
    "20151330T123600Z",
    "20150030T123600Z",
    "20150832T123600Z",
    "20150800T123600Z",
    "20150229T123600Z",
    "20150830T243600Z",
    "20150830T126000Z",
    "20150830T123660Z",
    "00000000T000000Z",
    "00500101T000000Z",
    "Sun, 30 Aug 2015 12:36:00 GMT",
    "1440938160",
    "٢٠١٥٠٨٣٠T١٢٣٦٠٠Z",
  ])("%j is refused", (text) => {
    expect(() => parseAmzDate(text)).toThrow(expect.objectContaining({ code: "malformed-date" }));
    expect(() => parseAmzDate(text)).toThrow(expect.objectContaining({ code: "malformed-date" }));
  });
});

describe("checkDate", () => {
  const scope = { date: "20150830", region: "r", service: "s" };
  const signed = Date.UTC(2015, 7, 30, 12, 36) / 1000;

  test.each([0, 1, 300, -1, -300])("takes a request %i s old", (age) => {
    expect(checkDate("20150830T123600Z", scope, signed + age)).toBe(signed);
  });

  test.each([
    [301, "request-expired"],
    [86_400, "request-expired"],
    [Number.NaN, "request-expired"],
    [-301, "request-in-future"],
    [-86_400, "request-in-future"],
  ])("refuses one %i s old: %s", (age, code) => {
    expect(() => checkDate("20150830T123600Z", scope, signed + age)).toThrow(expect.objectContaining({ code }));
  });

  test("takes another skew", () => {
    expect(checkDate("20150830T123600Z", scope, signed + 10, 10)).toBe(signed);
    expect(() => checkDate("20150830T123600Z", scope, signed + 11, 10)).toThrow(expect.objectContaining({ code: "request-expired" }));
  });

  test("holds the scope to the request's own day, at midnight too", () => {
    const midnight = Date.UTC(2015, 7, 31) / 1000;
    expect(checkDate("20150830T235959Z", scope, midnight + 60)).toBe(midnight - 1);
    expect(() => checkDate("20150831T000000Z", scope, midnight)).toThrow(expect.objectContaining({ code: "scope-date-mismatch" }));
    expect(() => checkDate("20150830T123600Z", { ...scope, date: "20150831" }, signed)).toThrow(
      expect.objectContaining({ code: "scope-date-mismatch" }),
    );
  });

  test("a malformed date is malformed before it is anything else", () => {
    expect(() => checkDate("yesterday", scope, signed)).toThrow(expect.objectContaining({ code: "malformed-date" }));
  });
});

describe("the date of a signature in the query", () => {
  const scope = { date: "20150830", region: "us-east-1", service: "service" };
  const signed = Date.UTC(2015, 7, 30, 12, 36, 0) / 1000;
  const check = (age: number, scopeDate = scope.date) =>
    checkPresignedDate("20150830T123600Z", { ...scope, date: scopeDate }, signed + age, 3600, 300);

  test.each([0, 1, 301, 3600, -1, -300])("is good %i s later", (age) => {
    expect(check(age)).toBe(signed);
  });

  test.each([
    [3601, "request-expired"],
    [Number.NaN, "request-expired"],
    [-301, "request-in-future"],
  ])("is not %i s later: %s", (age, code) => {
    expect(() => check(age)).toThrow(expect.objectContaining({ name: "SigV4Error", code }));
  });

  test("is of the scope's day, whatever the day it is used on", () => {
    const late = Date.UTC(2015, 7, 30, 23, 59, 59) / 1000;
    expect(checkPresignedDate("20150830T235959Z", scope, late + 3600, 3600)).toBe(late);
    expect(() => check(0, "20150831")).toThrow(expect.objectContaining({ code: "scope-date-mismatch" }));
  });
});

describe("the credential scope", () => {
  test("reads what it writes", () => {
    const scope = { date: "20260915", region: "prod-example", service: "orders.shop" };
    expect(formatScope(scope)).toBe("20260915/prod-example/orders.shop/aws4_request");
    expect(parseScope(formatScope(scope))).toEqual(scope);
    checkScope(scope, "prod-example", "orders.shop");
  });

  test.each([
    ["another-region", "orders.shop"],
    ["prod-example", "inventory.shop"],
    ["Prod-example", "orders.shop"],
    ["prod-example", "orders.shop2"],
    ["", ""],
  ])("is not good for region %j, service %j", (region, service) => {
    expect(() => {
      checkScope({ date: "20260915", region: "prod-example", service: "orders.shop" }, region, service);
    }).toThrow(expect.objectContaining({ code: "wrong-scope" }));
  });
});
