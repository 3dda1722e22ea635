import { describe, expect, test } from "vitest";
import { createField } from "../../../common/http/field.ts";
import { hmacSha256Hex } from "../../../common/sigv4/digest.ts";
import { stringToSign, type SignableRequest } from "../../../common/sigv4/canonical-request.ts";
import { orderForPresigned } from "../../../common/sigv4/header-order.ts";
import { emptyPayloadHash } from "../../../common/sigv4/payload-hash.ts";
import { parseQueryAuthorization } from "../../../common/sigv4/query-authorization.ts";
import { createSigningKey } from "../../../common/sigv4/signing-key.ts";
import { verifyRequest } from "../../../common/sigv4/verify.ts";

const digits = "0123456789abcdef".repeat(4);
const scopeText = "20260915/prod-example/orders.shop/aws4_request";
const valid = [
  "X-Amz-Algorithm=AWS4-HMAC-SHA256",
  "X-Amz-Credential=CSGNA234567ABCDEFGHI%2F20260915%2Fprod-example%2Forders.shop%2Faws4_request",
  "X-Amz-Date=20260915T120000Z",
  "X-Amz-Expires=900",
  "X-Amz-SignedHeaders=accept%3Bhost",
  "X-Amz-Security-Token=a%2Bb.c",
  `X-Amz-Signature=${digits}`,
];
const query = (...others: string[]) => [...valid, ...others].join("&");
const replaced = (name: string, ...by: string[]) => valid.flatMap((part) => (part.startsWith(`${name}=`) ? by : [part])).join("&");

describe("parseQueryAuthorization", () => {
  test("reads what AWS's signers write", () => {
    expect(parseQueryAuthorization(query())).toEqual({
      authorization: {
        claim: {
          accessKeyId: "CSGNA234567ABCDEFGHI",
          scope: { date: "20260915", region: "prod-example", service: "orders.shop" },
          scopeText,
          signedHeaders: "accept;host",
          signedNames: new Set(["accept", "host"]),
        },
        signature: digits,
      },
      amzDate: "20260915T120000Z",
      expiresSeconds: 900,
      securityToken: "a+b.c",
      contentSha256: undefined,
      signedQuery: valid.slice(0, -1).join("&"),
      applicationQuery: "",
    });
  });

  test("leaves the application its own parameters, as they were sent and in their order", () => {
    const own = ["b=2", "a=%7e", "", "flag", "X-Amz-Meta-Note=1", "a=1&=&"];
    const parsed = parseQueryAuthorization([own[0], ...valid.toReversed(), ...own.slice(1)].join("&"));
    expect(parsed.applicationQuery).toBe(own.join("&"));
    expect(parsed.signedQuery).toBe([own[0], ...valid.slice(0, -1).toReversed(), ...own.slice(1)].join("&"));
  });

  test.each(["X-Amz-Content-Sha256", "x-amz-content-sha256", "X-AMZ-CONTENT-SHA256"])("reads %s, which SDKs spell as they like", (name) => {
    expect(parseQueryAuthorization(query(`${name}=UNSIGNED-PAYLOAD`))).toMatchObject({
      contentSha256: "UNSIGNED-PAYLOAD",
      applicationQuery: "",
    });
  });

  test("takes slashes and semicolons unescaped, and a token that is not there", () => {
    const raw = replaced("X-Amz-Security-Token").replaceAll("%2F", "/").replaceAll("%3B", ";");
    expect(parseQueryAuthorization(raw)).toMatchObject({ securityToken: "", authorization: { claim: { scopeText } } });
  });

  test.each(["1", "604800"])("takes a life of %s seconds", (seconds) => {
    expect(parseQueryAuthorization(replaced("X-Amz-Expires", `X-Amz-Expires=${seconds}`)).expiresSeconds).toBe(Number(seconds));
  });

  test.each(["", "0", "-1", "+1", "01", "1.5", "1e3", " 1", "1%20", "0x1", "604801", "1000000", "9".repeat(30), "\u0661"])(
    "refuses a life of %j",
    (seconds) => {
      expect(() => parseQueryAuthorization(replaced("X-Amz-Expires", `X-Amz-Expires=${seconds}`))).toThrow(
        expect.objectContaining({ name: "SigV4Error", code: "malformed-authorization" }),
      );
    },
  );

  const names = valid.map((part) => part.slice(0, part.indexOf("=")));

  test.each(names)("refuses %s twice, the same or another, spelt this way or that", (name) => {
    const part = valid.find((each) => each.startsWith(`${name}=`)) ?? "";
    const twins = [part, `${name}=x`, name, `${name}=`, part.toLowerCase(), part.toUpperCase(), part.replace("X-Amz", "X%2DAmz")];
    for (const twin of twins) {
      for (const text of [query(twin), `${twin}&${query()}`]) {
        expect(() => parseQueryAuthorization(text)).toThrow(expect.objectContaining({ code: "malformed-authorization" }));
      }
    }
  });

  test("refuses the body's hash twice", () => {
    expect(() => parseQueryAuthorization(query("X-Amz-Content-Sha256=a", "x-amz-content-sha256=a"))).toThrow(
      expect.objectContaining({ code: "malformed-authorization" }),
    );
  });

  test.each(names)("refuses %s spelt otherwise", (name) => {
    const part = valid.find((each) => each.startsWith(`${name}=`)) ?? "";
    const value = part.slice(name.length);
    for (const spelling of [
      name.toLowerCase(),
      name.toUpperCase(),
      name.replace("Amz", "amz"),
      name.replace("-", "%2D"),
      `%58${name.slice(1)}`,
    ]) {
      expect(() => parseQueryAuthorization(replaced(name, spelling + value))).toThrow(
        expect.objectContaining({ code: "malformed-authorization" }),
      );
    }
  });

  test.each(names.filter((name) => name !== "X-Amz-Security-Token"))("refuses a signature without %s, or with nothing in it", (name) => {
    for (const parts of [[], [name], [`${name}=`]]) {
      expect(() => parseQueryAuthorization(replaced(name, ...parts))).toThrow(expect.objectContaining({ code: "malformed-authorization" }));
    }
  });

  test.each([
    ["X-Amz-Algorithm", "AWS4-HMAC-SHA1", "unsupported-algorithm"],
    ["X-Amz-Algorithm", "AWS4-ECDSA-P256-SHA256", "unsupported-algorithm"],
    ["X-Amz-Algorithm", "aws4-hmac-sha256", "unsupported-algorithm"],
    ["X-Amz-Algorithm", "AWS4-HMAC-SHA256%20", "unsupported-algorithm"],
    ["X-Amz-Credential", `a/20260915/prod-example/orders.shop/aws5_request`, "wrong-scope"],
    ["X-Amz-Credential", scopeText, "malformed-authorization"],
    ["X-Amz-Credential", `/${scopeText}`, "malformed-authorization"],
    ["X-Amz-Credential", `a b/${scopeText}`, "malformed-authorization"],
    ["X-Amz-Credential", `a%00/${scopeText}`, "malformed-authorization"],
    ["X-Amz-Credential", `a%252F${scopeText}`, "malformed-authorization"],
    ["X-Amz-SignedHeaders", "accept", "malformed-authorization"],
    ["X-Amz-SignedHeaders", "host;accept", "malformed-authorization"],
    ["X-Amz-SignedHeaders", "host;host", "malformed-authorization"],
    ["X-Amz-SignedHeaders", "Host", "malformed-authorization"],
    ["X-Amz-SignedHeaders", "accept,host", "malformed-authorization"],
    ["X-Amz-SignedHeaders", "authorization;host", "malformed-authorization"],
    ["X-Amz-Signature", digits.slice(1), "malformed-authorization"],
    ["X-Amz-Signature", `${digits}0`, "malformed-authorization"],
    ["X-Amz-Signature", digits.toUpperCase(), "malformed-authorization"],
    ["X-Amz-Signature", `${digits.slice(1)}%00`, "malformed-authorization"],
    ["X-Amz-Security-Token", "%", "malformed-query"],
    ["X-Amz-Security-Token", "%4", "malformed-query"],
    ["X-Amz-Security-Token", "%zz", "malformed-query"],
  ])("refuses %s=%s: %s", (name, value, code) => {
    expect(() => parseQueryAuthorization(replaced(name, `${name}=${value}`))).toThrow(
      expect.objectContaining({ name: "SigV4Error", code }),
    );
  });
});

const key = createSigningKey("secret", "20260915", "prod-example", "orders.shop");
const fields = [createField("accept", "text/plain")];
const unsigned: SignableRequest = {
  method: "GET",
  path: "/reports/7",
  query: [...valid.slice(0, -1), "format=csv"].join("&"),
  host: createField("host", "orders.shop"),
  fields,
  payloadHash: emptyPayloadHash,
};
const signature = hmacSha256Hex(key, stringToSign(unsigned, orderForPresigned(fields, "accept;host"), "20260915T120000Z", scopeText));
const presigned = `${unsigned.query}&X-Amz-Signature=${signature}`;

function verify(change: Partial<SignableRequest>, text = presigned): string {
  const parsed = parseQueryAuthorization(text);
  const request = { ...unsigned, ...change, query: parsed.signedQuery };
  const order = orderForPresigned(request.fields, parsed.authorization.claim.signedHeaders);
  verifyRequest(request, parsed.authorization, key, order, parsed.amzDate);
  return parsed.applicationQuery;
}

describe("a presigned request", () => {
  test("verifies, its parameters in any order and the signature among them", () => {
    expect(verify({})).toBe("format=csv");
    expect(verify({}, presigned.split("&").toReversed().join("&"))).toBe("format=csv");
    expect(verify({ fields: [...fields, createField("x-new", "1"), createField("user-agent", "curl")] })).toBe("format=csv");
  });

  test.each<[string, Partial<SignableRequest>]>([
    ["method", { method: "PUT" }],
    ["path", { path: "/reports/8" }],
    ["host", { host: createField("host", "inventory.shop") }],
    ["body", { payloadHash: "UNSIGNED-PAYLOAD" }],
    ["signed field", { fields: [createField("accept", "text/html")] }],
  ])("is refused with another %s", (_, change) => {
    expect(() => verify(change)).toThrow(expect.objectContaining({ code: "signature-mismatch" }));
  });

  test.each([
    ["a longer life", presigned.replace("Expires=900", "Expires=901")],
    ["another date", presigned.replace("T120000Z", "T120001Z")],
    ["another day, scope and all", presigned.replaceAll("20260915", "20260916")],
    ["another token", presigned.replace("a%2Bb.c", "a%2Bb.d")],
    ["no token", presigned.replace(/X-Amz-Security-Token=[^&]*&/, "")],
    ["another access key", presigned.replace("CSGNA2", "CSGNA3")],
    ["a parameter more", `${presigned}&admin=1`],
    ["a parameter less", presigned.replace("&format=csv", "")],
    ["another parameter", presigned.replace("format=csv", "format=pdf")],
    ["the body's hash put in", `${presigned}&X-Amz-Content-Sha256=UNSIGNED-PAYLOAD`],
    ["a signed header dropped", presigned.replace("accept%3B", "")],
  ])("is refused with %s", (_, text) => {
    expect(() => verify({}, text)).toThrow(expect.objectContaining({ code: "signature-mismatch" }));
  });

  test.each([
    ["x-amz-meta-role", "unsigned-amz-header"],
    ["x-amz-date", "unsigned-amz-header"],
    ["x-countersign-sequence", "unsigned-amz-header"],
  ])("is refused with an unsigned %s", (name, code) => {
    expect(() => verify({ fields: [...fields, createField(name, "1")] })).toThrow(expect.objectContaining({ code }));
  });

  test.each(["x-amz-date", "x-amz-security-token"])("is refused when a signed field says %s again", (name) => {
    const both = [...fields, createField(name, "20260915T120000Z")];
    expect(() => orderForPresigned(both, `accept;host;${name}`)).toThrow(expect.objectContaining({ code: "duplicate-header" }));
    expect(() => orderForPresigned(both, `accept;host;${name}`)).toThrow(expect.objectContaining({ code: "duplicate-header" }));
  });
});
