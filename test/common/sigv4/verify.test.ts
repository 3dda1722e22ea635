import { hash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { createField, type Field } from "../../../common/http/field.ts";
import { isSigned, parseAuthorization } from "../../../common/sigv4/authorization.ts";
import { canonicalRequest, type SignableRequest } from "../../../common/sigv4/canonical-request.ts";
import { orderForSigning } from "../../../common/sigv4/header-order.ts";
import { emptyPayloadHash } from "../../../common/sigv4/payload-hash.ts";
import { createRequestSigner } from "../../../common/sigv4/sign.ts";
import { createSigningKey } from "../../../common/sigv4/signing-key.ts";
import { verifyRequest } from "../../../common/sigv4/verify.ts";

const scope = { date: "20260915", region: "prod-example", service: "orders.shop" };
const key = createSigningKey("secret", scope.date, scope.region, scope.service);
const sign = createRequestSigner({ accessKeyId: "CSGNA234567ABCDEFGHI", signingKey: key, ...scope });

const fields = [
  createField("accept", "application/json"),
  createField("x-tag", "one"),
  createField("user-agent", "curl"),
  createField("x-tag", "two"),
  createField("content-length", "4"),
  createField("connection", "keep-alive"),
  createField("x-amz-date", "20260915T120000Z"),
  createField("x-amz-content-sha256", hash("sha256", "body")),
  createField("x-amz-security-token", "token"),
  createField("x-countersign-sequence", "ABCDEFGHIJ:1"),
  createField("x-countersign-audience", "KLMNOPQRST"),
];
const request: SignableRequest = {
  method: "POST",
  path: "/items/42",
  query: "a=1&b=2",
  host: createField("host", "orders.shop"),
  fields,
  payloadHash: hash("sha256", "body"),
};
const value = sign(request);
const authorization = parseAuthorization(value);

const replace = (name: string, ...by: string[]) => [
  ...fields.filter((field) => field.name !== name),
  ...by.map((value) => createField(name, value)),
];
const withSignedHeaders = (names: string) => parseAuthorization(value.replace(/SignedHeaders=[^,]*/, `SignedHeaders=${names}`));

describe("a signed request", () => {
  test("signs what is to be signed, and says so", () => {
    expect(authorization.claim.signedHeaders).toBe(
      "accept;host;x-amz-content-sha256;x-amz-date;x-amz-security-token;x-countersign-audience;x-countersign-sequence;x-tag",
    );
    expect(isSigned(authorization, "x-tag")).toBe(true);
    expect(isSigned(authorization, "user-agent")).toBe(false);
  });

  test("joins duplicates in order of arrival", () => {
    expect(canonicalRequest(request, orderForSigning(fields))).toBe(
      `POST
/items/42
a=1&b=2
accept:application/json
host:orders.shop
x-amz-content-sha256:${hash("sha256", "body")}
x-amz-date:20260915T120000Z
x-amz-security-token:token
x-countersign-audience:KLMNOPQRST
x-countersign-sequence:ABCDEFGHIJ:1
x-tag:one,two

${authorization.claim.signedHeaders}
${hash("sha256", "body")}`,
    );
  });

  test("verifies, and says where what it needs to be judged by is", () => {
    const order = verifyRequest(request, authorization, key);
    const at = (position: number) => fields[position]?.value;
    expect([order.date, order.contentSha256, order.securityToken, order.sequence, order.audience].map(at)).toEqual([
      "20260915T120000Z",
      hash("sha256", "body"),
      "token",
      "ABCDEFGHIJ:1",
      "KLMNOPQRST",
    ]);
  });

  test.each<[string, readonly Field[]]>([
    ["fields that proxies change are changed", replace("user-agent", "Mozilla")],
    ["one is added", [...fields, createField("x-forwarded-for", "10.0.0.1"), createField("traceparent", "00-1-2-01")]],
    ["the body is framed anew", replace("content-length")],
    ["hop-by-hop fields are taken off", replace("connection")],
    ["an unsigned field is added", [...fields, createField("x-new", "1")]],
    ["fields come in another order, each name's own kept", [...fields].sort((a, b) => b.name.localeCompare(a.name))],
    ["it carries its Authorization among the fields", [...fields, createField("authorization", value)]],
  ])("still verifies when %s", (_, changed) => {
    expect(verifyRequest({ ...request, fields: changed }, authorization, key).text).toBe(authorization.claim.signedHeaders);
  });
});

// threats.md, row 7.
describe("a request that was altered after signing", () => {
  test.each<[string, Partial<SignableRequest>]>([
    ["method", { method: "PUT" }],
    ["method's case", { method: "post" }],
    ["path", { path: "/items/43" }],
    ["path's case", { path: "/Items/42" }],
    ["path's end", { path: "/items/42/" }],
    ["path, escaped once less", { path: "/items/4%32" }],
    ["query's value", { query: "a=1&b=3" }],
    ["query's name", { query: "a=1&c=2" }],
    ["query, a parameter added", { query: "a=1&b=2&c=3" }],
    ["query, one dropped", { query: "a=1" }],
    ["query, all dropped", { query: "" }],
    ["query, an empty parameter added", { query: "a=1&b=2&b" }],
    ["path and query joined", { path: "/items/42?a=1", query: "b=2" }],
    ["host", { host: createField("host", "inventory.shop") }],
    ["host's port", { host: createField("host", "orders.shop:8080") }],
    ["host's case", { host: createField("host", "Orders.shop") }],
    ["body", { payloadHash: hash("sha256", "other") }],
    ["body, dropped", { payloadHash: emptyPayloadHash }],
    ["body, unsigned", { payloadHash: "UNSIGNED-PAYLOAD" }],
    ["header's value", { fields: replace("accept", "text/html") }],
    ["header's value's case", { fields: replace("accept", "Application/json") }],
    ["duplicates' order", { fields: replace("x-tag", "two", "one") }],
    ["duplicates, one dropped", { fields: replace("x-tag", "one") }],
    ["duplicates, one added", { fields: replace("x-tag", "one", "two", "three") }],
    ["date", { fields: replace("x-amz-date", "20260915T120001Z") }],
    ["token", { fields: replace("x-amz-security-token", "other") }],
    ["declared hash", { fields: replace("x-amz-content-sha256", "UNSIGNED-PAYLOAD") }],
    ["sequence", { fields: replace("x-countersign-sequence", "ABCDEFGHIJ:2") }],
    ["audience", { fields: replace("x-countersign-audience", "other-one") }],
  ])("in its %s is refused", (_, change) => {
    expect(() => verifyRequest({ ...request, ...change }, authorization, key)).toThrow(
      expect.objectContaining({ name: "SigV4Error", code: "signature-mismatch" }),
    );
  });

  test.each<[string, readonly Field[], string]>([
    ["a signed header dropped", replace("accept"), "missing-signed-header"],
    ["the date dropped", replace("x-amz-date"), "missing-signed-header"],
    ["an x-amz-* header added", [...fields, createField("x-amz-meta-role", "admin")], "unsigned-amz-header"],
    ["a second date", [...fields, createField("x-amz-date", "20260915T120000Z")], "duplicate-header"],
    ["a second token", [...fields, createField("x-amz-security-token", "token")], "duplicate-header"],
    ["a second body hash", [...fields, createField("x-amz-content-sha256", "UNSIGNED-PAYLOAD")], "duplicate-header"],
    ["a second sequence", [...fields, createField("x-countersign-sequence", "ABCDEFGHIJ:2")], "duplicate-header"],
    ["a second audience", [...fields, createField("x-countersign-audience", "other-one")], "duplicate-header"],
    ["a second host", [...fields, createField("host", "orders.shop")], "duplicate-header"],
  ])("%s: %s", (_, changed, code) => {
    expect(() => verifyRequest({ ...request, fields: changed }, authorization, key)).toThrow(expect.objectContaining({ code }));
  });

  test.each([
    [
      "accept;host;user-agent;x-amz-content-sha256;x-amz-date;x-amz-security-token;x-countersign-audience;x-countersign-sequence;x-tag",
      "signature-mismatch",
    ],
    ["host;x-amz-content-sha256;x-amz-date;x-amz-security-token;x-countersign-audience;x-countersign-sequence;x-tag", "signature-mismatch"],
    ["accept;host;x-amz-content-sha256;x-amz-date;x-countersign-audience;x-countersign-sequence;x-tag", "unsigned-amz-header"],
    ["accept;host;x-amz-content-sha256;x-amz-date;x-amz-security-token;x-countersign-sequence;x-tag", "unsigned-amz-header"],
    ["accept;host;x-amz-content-sha256;x-amz-date;x-amz-security-token;x-countersign-audience;x-tag", "unsigned-amz-header"],
    ["accept;host;x-amz-content-sha256;x-amz-security-token;x-countersign-audience;x-countersign-sequence;x-tag", "unsigned-amz-header"],
    ["host", "unsigned-amz-header"],
    ["accept;host;x-absent;x-amz-date", "missing-signed-header"],
    ["constructor;host", "missing-signed-header"],
  ])("SignedHeaders made %s: %s", (names, code) => {
    expect(() => verifyRequest(request, withSignedHeaders(names), key)).toThrow(expect.objectContaining({ code }));
  });

  test("another key, and a key for another scope, give another signature", () => {
    const keys = [
      createSigningKey("secrets", scope.date, scope.region, scope.service),
      createSigningKey("secret", "20260916", scope.region, scope.service),
      createSigningKey("secret", scope.date, "other-example", scope.service),
      createSigningKey("secret", scope.date, scope.region, "inventory.shop"),
    ];
    for (const other of keys) {
      expect(() => verifyRequest(request, authorization, other)).toThrow(expect.objectContaining({ code: "signature-mismatch" }));
    }
    const elsewhere = parseAuthorization(value.replace("orders.shop", "inventory.shop"));
    expect(() => verifyRequest(request, elsewhere, key)).toThrow(expect.objectContaining({ code: "signature-mismatch" }));
  });

  test("every digit of the signature counts", () => {
    for (let index = 0; index < 64; index++) {
      const digit = authorization.signature[index] === "0" ? "1" : "0";
      const signature = authorization.signature.slice(0, index) + digit + authorization.signature.slice(index + 1);
      expect(() => verifyRequest(request, { claim: authorization.claim, signature }, key)).toThrow(
        expect.objectContaining({ code: "signature-mismatch" }),
      );
    }
    verifyRequest(request, authorization, key);
  });

  test.each(["", "00", "zz".repeat(32), "0".repeat(62)])("a signature %j does not pass on the bytes of the last good one", (signature) => {
    verifyRequest(request, authorization, key);
    for (const cut of [signature, authorization.signature.slice(0, 62) + signature.slice(0, 1)]) {
      expect(() => verifyRequest(request, { claim: authorization.claim, signature: cut }, key)).toThrow(
        expect.objectContaining({ code: "signature-mismatch" }),
      );
    }
  });
});

describe("what is not ASCII", () => {
  const latin1Fields = [...fields, createField("x-name", "caf\u00e9"), createField("x-raw", "\u0080\u00ff")];

  test("is signed as the bytes of the wire", () => {
    const text = canonicalRequest({ ...request, fields: latin1Fields }, orderForSigning(latin1Fields));
    const signed = sign({ ...request, fields: latin1Fields });
    verifyRequest({ ...request, fields: latin1Fields }, parseAuthorization(signed), key);
    expect(text).toContain("x-name:caf\u00e9\n");
  });

  test("is not confused with its UTF-8", () => {
    const asUtf8 = latin1Fields.map((field) => (field.name === "x-name" ? createField("x-name", "caf\u00c3\u00a9") : field));
    const signed = parseAuthorization(sign({ ...request, fields: latin1Fields }));
    expect(() => verifyRequest({ ...request, fields: asUtf8 }, signed, key)).toThrow(
      expect.objectContaining({ code: "signature-mismatch" }),
    );
  });
});

describe("the signer", () => {
  test("refuses a request without a date, or of another day than its key", () => {
    expect(() => sign({ ...request, fields: replace("x-amz-date") })).toThrow(expect.objectContaining({ code: "missing-date" }));
    expect(() => sign({ ...request, fields: replace("x-amz-date", "20260916T000000Z") })).toThrow(
      expect.objectContaining({ code: "scope-date-mismatch" }),
    );
  });

  test("signs requests of different shapes in turn", () => {
    const other = { ...request, fields: replace("accept") };
    for (const each of [request, other, request, other]) verifyRequest(each, parseAuthorization(sign(each)), key);
    expect(sign(other)).toContain("SignedHeaders=host;x-amz-content-sha256;");
    expect(sign(request)).toBe(value);
  });
});
