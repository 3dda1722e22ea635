import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { canonicalQuery, hasQueryAuthentication } from "../../../common/sigv4/canonical-query.ts";

describe("canonicalQuery", () => {
  test.each([
    ["", ""],
    ["a=b", "a=b"],
    ["a", "a="],
    ["a=", "a="],
    ["=a", "=a"],
    ["=", "="],
    ["b=2&a=1", "a=1&b=2"],
    ["a=2&a=1", "a=1&a=2"],
    ["a=10&a=9", "a=10&a=9"],
    ["B=1&a=1", "B=1&a=1"],
    ["a=b=c", "a=b%3Dc"],
    ["&&a=1&&", "a=1"],
    // By name and then value: as joined strings, `a-b=1` and `a1=1` would come before `a=1`.
    ["a-b=1&a=1&a1=1", "a=1&a-b=1&a1=1"],
    ["a%3D=1&a=2", "a=2&a%3D=1"],
    // By encoded name: `%E1…` before letters, though its bytes are greater.
    ["x=1&%E1%88%B4=2", "%E1%88%B4=2&x=1"],
    ["%61=%62", "a=b"],
    ["a=%7e%2d%2e%5f", "a=~-._"],
    ["a=%e1%88%b4", "a=%E1%88%B4"],
    ["a=%2f/%3a:", "a=%2F%2F%3A%3A"],
    ["a=b+c", "a=b%2Bc"],
    ["a=b%2Bc", "a=b%2Bc"],
    ["a=b%20c", "a=b%20c"],
    ["a=%2541", "a=%2541"],
    ["a=!*'()", "a=%21%2A%27%28%29"],
    ["a=b;c&d,e", "a=b%3Bc&d%2Ce="],
    ["__proto__=1&constructor=2&toString", "__proto__=1&constructor=2&toString="],
    ["\u00e9=1", "%E9=1"],
  ])("%j is %j", (query, canonical) => {
    expect(canonicalQuery(query)).toBe(canonical);
    expect(canonicalQuery(query)).toBe(canonical);
  });

  test.each(["%", "a=%", "a=%4", "a=%4g", "a=%zz", "%%41", "a=%u0041"])("%j is refused", (query) => {
    expect(() => canonicalQuery(query)).toThrow(expect.objectContaining({ name: "SigV4Error", code: "malformed-query" }));
  });

  test("is its own canonical form, whatever the order of the parts", () => {
    const part = fc.tuple(fc.string({ unit: "binary-ascii", maxLength: 6 }), fc.string({ unit: "binary-ascii", maxLength: 6 }));
    fc.assert(
      fc.property(fc.array(part, { maxLength: 8 }), (parts) => {
        const encoded = parts.map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`);
        const canonical = canonicalQuery(encoded.join("&"));
        expect(canonicalQuery(canonical)).toBe(canonical);
        expect(canonicalQuery(encoded.toReversed().join("&"))).toBe(canonical);
        const sorted = (query: string) => [...new URLSearchParams(query)].map((parameter) => JSON.stringify(parameter)).sort();
        expect(sorted(canonical)).toEqual(sorted(encoded.join("&")));
      }),
    );
  });
});

describe("hasQueryAuthentication", () => {
  test.each([
    "X-Amz-Signature=0",
    "X-Amz-Signature",
    "a=b&X-Amz-Algorithm=AWS4-HMAC-SHA256",
    "X-Amz-Credential=a&X-Amz-Credential=b",
    "x-amz-credential=a",
    "X%2DAmz%2DSignature=0",
    "%58-Amz-Signature=0",
    "%78-%61%6d%7a-signature=0",
  ])("%s does", (query) => {
    expect(hasQueryAuthentication(query)).toBe(true);
  });

  test.each(["", "a=X-Amz-Signature", "X-Amz-Signatures=0", "X-Amz-Date=0", "aX-Amz-Signature=0", "X-Amz-Meta=1", "X%252DAmz-Signature=0"])(
    "%j does not",
    (query) => {
      expect(hasQueryAuthentication(query)).toBe(false);
    },
  );
});
