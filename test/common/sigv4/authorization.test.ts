import { describe, expect, test } from "vitest";
import { formatClaim, isSigned, parseAuthorization } from "../../../common/sigv4/authorization.ts";

const digits = "0123456789abcdef".repeat(4);
const credential = "Credential=CSGNA234567ABCDEFGHI/20260915/prod-example/orders.shop/aws4_request";
const signedHeaders = "SignedHeaders=host;x-amz-date";
const valid = `AWS4-HMAC-SHA256 ${credential}, ${signedHeaders}, Signature=${digits}`;

describe("parseAuthorization", () => {
  test.each([
    valid,
    `AWS4-HMAC-SHA256 ${credential},${signedHeaders},Signature=${digits}`,
    `AWS4-HMAC-SHA256 ${credential},  ${signedHeaders},\tSignature=${digits}`,
    `AWS4-HMAC-SHA256  ${signedHeaders}, ${credential}, Signature=${digits}`,
  ])("takes %s", (value) => {
    const parsed = parseAuthorization(value);
    expect(parsed).toEqual({
      claim: {
        accessKeyId: "CSGNA234567ABCDEFGHI",
        scope: { date: "20260915", region: "prod-example", service: "orders.shop" },
        scopeText: "20260915/prod-example/orders.shop/aws4_request",
        signedHeaders: "host;x-amz-date",
        signedNames: new Set(["host", "x-amz-date"]),
      },
      signature: digits,
    });
    // A caller that is known costs one lookup.
    expect(parseAuthorization(value).claim).toBe(parsed.claim);
  });

  test("reads what formatClaim writes", () => {
    const value = formatClaim("CSGNA234567ABCDEFGHI", "20260915/prod-example/orders.shop/aws4_request", "host;x-amz-date") + digits;
    expect(value).toBe(valid);
  });

  test("says which names are signed", () => {
    const parsed = parseAuthorization(valid);
    expect(["host", "x-amz-date", "accept", "HOST", "constructor", "__proto__"].map((name) => isSigned(parsed, name))).toEqual([
      true,
      true,
      false,
      false,
      false,
      false,
    ]);
  });

  const replaced = (from: string, to: string) => valid.replace(from, to);

  test.each([
    ["", "missing-authorization"],
    ["Basic dXNlcjpzZWNyZXQ=", "missing-authorization"],
    [`Bearer ${valid}`, "missing-authorization"],
    [` ${valid}`, "missing-authorization"],
    [`AWS AKID:${digits}`, "missing-authorization"],
    ["AWS4-HMAC-SHA256", "unsupported-algorithm"],
    ["AWS4-HMAC-SHA256\t", "unsupported-algorithm"],
    [replaced("SHA256", "SHA512"), "unsupported-algorithm"],
    [replaced("SHA256", "SHA1"), "unsupported-algorithm"],
    [replaced("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"), "unsupported-algorithm"],
    [replaced("AWS4-HMAC-SHA256", "aws4-hmac-sha256"), "unsupported-algorithm"],
    [replaced("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA256-PAYLOAD"), "unsupported-algorithm"],
    ["AWS4-HMAC-SHA256 ", "malformed-authorization"],
    [`AWS4-HMAC-SHA256 Signature=${digits}`, "malformed-authorization"],
    [`AWS4-HMAC-SHA256 , , Signature=${digits}`, "malformed-authorization"],
    [`AWS4-HMAC-SHA256 ${credential}, Signature=${digits}`, "malformed-authorization"],
    [`AWS4-HMAC-SHA256 ${signedHeaders}, Signature=${digits}`, "malformed-authorization"],
    [`AWS4-HMAC-SHA256 ${credential}, ${signedHeaders}`, "malformed-authorization"],
    [`AWS4-HMAC-SHA256 ${credential}, ${credential}, ${signedHeaders}, Signature=${digits}`, "malformed-authorization"],
    [`AWS4-HMAC-SHA256 ${credential}, ${signedHeaders}, ${signedHeaders}, Signature=${digits}`, "malformed-authorization"],
    [`AWS4-HMAC-SHA256 ${credential}, ${signedHeaders}, Signature=${digits}, Signature=${digits}`, "malformed-authorization"],
    [`AWS4-HMAC-SHA256 Signature=${digits}, ${credential}, ${signedHeaders}`, "malformed-authorization"],
    [`AWS4-HMAC-SHA256 ${credential}, ${signedHeaders}, Expires=1, Signature=${digits}`, "malformed-authorization"],
    [`AWS4-HMAC-SHA256 ${credential}, ${signedHeaders}, XSignature=${digits}`, "malformed-authorization"],
    [`AWS4-HMAC-SHA256 ${credential}, ${signedHeaders}, , Signature=${digits}`, "malformed-authorization"],
    [`AWS4-HMAC-SHA256 ${credential}; ${signedHeaders}; Signature=${digits}`, "malformed-authorization"],
    [`AWS4-HMAC-SHA256 ${credential} ${signedHeaders} Signature=${digits}`, "malformed-authorization"],
    [replaced("Credential", "credential"), "malformed-authorization"],
    [replaced("Credential=", "Credential ="), "malformed-authorization"],
    [replaced("Credential=", 'Credential="'), "malformed-authorization"],
    [`${valid} `, "malformed-authorization"],
    [`${valid},`, "malformed-authorization"],
    [valid.slice(0, -1), "malformed-authorization"],
    [`${valid}0`, "malformed-authorization"],
    [replaced(digits, digits.toUpperCase()), "malformed-authorization"],
    [replaced(digits, `g${digits.slice(1)}`), "malformed-authorization"],
    [replaced(digits, `\u0660${digits.slice(1)}`), "malformed-authorization"],
    [replaced("host;x-amz-date", ""), "malformed-authorization"],
    [replaced("host;x-amz-date", "x-amz-date"), "malformed-authorization"],
    [replaced("host;x-amz-date", "x-amz-date;host"), "malformed-authorization"],
    [replaced("host;x-amz-date", "host;host;x-amz-date"), "malformed-authorization"],
    [replaced("host;x-amz-date", "host;x-amz-date;x-amz-date"), "malformed-authorization"],
    [replaced("host;x-amz-date", "Host;x-amz-date"), "malformed-authorization"],
    [replaced("host;x-amz-date", "host;;x-amz-date"), "malformed-authorization"],
    [replaced("host;x-amz-date", ";host;x-amz-date"), "malformed-authorization"],
    [replaced("host;x-amz-date", "host;x-amz-date;"), "malformed-authorization"],
    [replaced("host;x-amz-date", "host; x-amz-date"), "malformed-authorization"],
    [replaced("host;x-amz-date", "host:x-amz-date"), "malformed-authorization"],
    [replaced("host;x-amz-date", "host;x-amz-date\n"), "malformed-authorization"],
    [replaced("host;x-amz-date", "authorization;host;x-amz-date"), "malformed-authorization"],
    [replaced("CSGNA234567ABCDEFGHI", ""), "malformed-authorization"],
    [replaced("CSGNA234567ABCDEFGHI", "a b"), "malformed-authorization"],
    [replaced("CSGNA234567ABCDEFGHI", "a/b"), "malformed-authorization"],
    [replaced("CSGNA234567ABCDEFGHI", "k".repeat(129)), "malformed-authorization"],
    [replaced("20260915", "2026091"), "malformed-authorization"],
    [replaced("20260915", "2026-9-15"), "malformed-authorization"],
    [replaced("/prod-example", ""), "malformed-authorization"],
    [replaced("prod-example", ""), "malformed-authorization"],
    [replaced("orders.shop", ""), "malformed-authorization"],
    [replaced("orders.shop", "orders shop"), "malformed-authorization"],
    [replaced("orders.shop", "orders/shop"), "malformed-authorization"],
    [replaced("/aws4_request", ""), "malformed-authorization"],
    [replaced("aws4_request", "aws4_request/"), "malformed-authorization"],
    [replaced("aws4_request", "aws5_request"), "wrong-scope"],
    [replaced("aws4_request", ""), "wrong-scope"],
  ])("refuses %j: %s", (value, code) => {
    expect(() => parseAuthorization(value)).toThrow(expect.objectContaining({ name: "SigV4Error", code }));
    expect(() => parseAuthorization(value)).toThrow(expect.objectContaining({ code }));
  });

  test("a claim that is known does not carry a bad signature", () => {
    expect(parseAuthorization(valid).signature).toBe(digits);
    expect(() => parseAuthorization(valid.slice(0, -64) + "Z".repeat(64))).toThrow(
      expect.objectContaining({ code: "malformed-authorization" }),
    );
  });
});
