import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createOperationRouter, type OperationTemplate } from "../../../common/policy/operations.ts";

const operation = (name: string, route: string, resource: string): OperationTemplate => {
  const [method = "", path = ""] = route.split(" ");
  return { name, method, path, resource };
};

const shop = [
  operation("GetItem", "GET /items/{id}", "item/{id}"),
  operation("PutItem", "PUT /items/{id}", "item/{id}"),
  operation("NewestItem", "GET /items/newest", "item/newest"),
  operation("ListItems", "GET /items", "item/*"),
  operation("ListAll", "GET /items/", "items/"),
  operation("GetPart", "GET /items/{id}/parts/{part}", "part/{part}/of/{id}/{part}"),
  operation("NewestParts", "GET /items/newest/parts", "parts/newest"),
  operation("Root", "GET /", "root"),
  operation("Tenants", "GET /{tenant}/users", "{tenant}"),
];

describe("operations", () => {
  const router = createOperationRouter("orders", shop, { strict: false });

  it.each([
    ["GET", "/items/42", "orders:GetItem", "item/42"],
    ["PUT", "/items/42", "orders:PutItem", "item/42"],
    ["GET", "/items/newest", "orders:NewestItem", "item/newest"],
    ["PUT", "/items/newest", "orders:PutItem", "item/newest"],
    ["GET", "/items/newer", "orders:GetItem", "item/newer"],
    ["GET", "/items/new", "orders:GetItem", "item/new"],
    ["GET", "/items", "orders:ListItems", "item/*"],
    ["GET", "/items/", "orders:ListAll", "items/"],
    ["GET", "/items/a/parts/b", "orders:GetPart", "part/b/of/a/b"],
    // The literal leads nowhere, so the parameter is tried.
    ["GET", "/items/newest/parts/b", "orders:GetPart", "part/b/of/newest/b"],
    ["GET", "/items/newest/parts", "orders:NewestParts", "parts/newest"],
    ["GET", "/items/users", "orders:GetItem", "item/users"],
    ["GET", "/acme/users", "orders:Tenants", "acme"],
    ["GET", "/", "orders:Root", "root"],
    // Values stand as they are in the path.
    ["GET", "/items/a%20b", "orders:GetItem", "item/a%20b"],
    ["GET", "/items/*", "orders:GetItem", "item/*"],
    ["GET", "/items/{id}", "orders:GetItem", "item/{id}"],
    ["GET", "/items/$&", "orders:GetItem", "item/$&"],
    // Not declared.
    ["POST", "/items/42", "orders:POST", "/items/42"],
    ["get", "/items/42", "orders:get", "/items/42"],
    ["HEAD", "/items/42", "orders:HEAD", "/items/42"],
    ["PURGE", "/items/42", "orders:PURGE", "/items/42"],
    ["GET", "/items/42/", "orders:GET", "/items/42/"],
    ["GET", "/items/42;x", "orders:GetItem", "item/42;x"],
    ["GET", "/Items/42", "orders:GET", "/Items/42"],
    ["GET", "/items/a//parts/b", "orders:GET", "/items/a//parts/b"],
    ["GET", "/items//parts/b", "orders:GET", "/items//parts/b"],
    ["GET", "//users", "orders:GET", "//users"],
    ["GET", "", "orders:GET", ""],
    ["constructor", "/__proto__", "orders:constructor", "/__proto__"],
  ])("%s %s is %s on %s", (method, path, action, resource) => {
    expect(router.match(method, path)).toEqual({ action, resource });
  });

  it("has nothing for what a strict service did not declare", () => {
    const strict = createOperationRouter("orders", shop, { strict: true });
    expect(strict.match("GET", "/items/42")).toEqual({ action: "orders:GetItem", resource: "item/42" });
    for (const [method, path] of [
      ["POST", "/items/42"],
      ["GET", "/other"],
      ["GET", "/items/42/"],
      ["get", "/items/42"],
    ] as const) {
      expect(strict.match(method, path)).toBeUndefined();
    }
  });

  it.each([
    [[operation("GetA", "GET /a/{x}", "a"), operation("GetB", "GET /a/{y}", "b")], "conflicting-operations"],
    [[operation("GetA", "GET /a", "a"), operation("GetB", "GET /a", "b")], "conflicting-operations"],
    [[operation("Get", "GET /a", "a")], "invalid-operation"],
    [[operation("connect", "GET /a", "a")], "invalid-operation"],
    [[operation("", "GET /a", "a")], "invalid-operation"],
    [[operation("Get*", "GET /a", "a")], "invalid-operation"],
    [[operation("GetA", "G(T /a", "a")], "invalid-operation"],
    [[operation("GetA", "GET a", "a")], "invalid-operation"],
    [[operation("GetA", "GET /a?b", "a")], "invalid-operation"],
    [[operation("GetA", "GET /ä", "a")], "invalid-operation"],
    [[operation("GetA", "GET /{x}.json", "a")], "invalid-operation"],
    [[operation("GetA", "GET /v{x}", "a")], "invalid-operation"],
    [[operation("GetA", "GET /{x}{y}", "a")], "invalid-operation"],
    [[operation("GetA", "GET /{x", "a")], "invalid-operation"],
    [[operation("GetA", "GET /x}", "a")], "invalid-operation"],
    [[operation("GetA", "GET /{}", "a")], "invalid-operation"],
    [[operation("GetA", "GET /{x}/{x}", "a")], "invalid-operation"],
    [[operation("GetA", "GET /{x}", "a/{y}")], "invalid-operation"],
    [[operation("GetA", "GET /{x}", "a/{x")], "invalid-operation"],
    [[operation("GetA", "GET /{x}", "a}")], "invalid-operation"],
    [[operation("GetA", "GET /a", "")], "invalid-operation"],
    [[operation("GetA", "GET /a", "a\nb")], "invalid-operation"],
  ])("refuses %j: %s", (operations, code) => {
    expect(() => createOperationRouter("orders", operations, { strict: false })).toThrow(
      expect.objectContaining({ name: "PolicyError", code }),
    );
  });

  it("tells parameters of one shape apart by method", () => {
    const router = createOperationRouter(
      "orders",
      [operation("GetA", "GET /a/{x}/{y}", "{x}-{y}"), operation("PutA", "PUT /a/{b}/{a}", "{a}-{b}")],
      { strict: true },
    );
    expect(router.match("GET", "/a/1/2")?.resource).toBe("1-2");
    expect(router.match("PUT", "/a/1/2")?.resource).toBe("2-1");
  });

  it("does not slow down on paths made to lead astray", () => {
    const templates = Array.from({ length: 16 }, (_, index) =>
      operation(`Op${index}`, `GET /${Array.from({ length: 16 }, (_, at) => (at < index ? "a" : `{p${at}}`)).join("/")}/end`, "x"),
    );
    const router = createOperationRouter("orders", templates, { strict: true });
    expect(router.match("GET", "/a".repeat(16))).toBeUndefined();
    expect(router.match("GET", "/a".repeat(30_000))).toBeUndefined();
    expect(router.match("GET", `${"/a".repeat(16)}/end`)?.action).toBe("orders:Op15");
  });

  it("agrees with trying every template, the most literal first", () => {
    const segment = fc.constantFrom("a", "ab", "b", "{p}", "{p}");
    const template = fc
      .tuple(fc.constantFrom("GET", "PUT"), fc.array(segment, { minLength: 1, maxLength: 4 }))
      .map(([method, segments]) => ({
        method,
        segments: segments.map((text, at) => (text === "{p}" ? `{p${at}}` : text)),
      }));
    const shapeOf = ({ method, segments }: { method: string; segments: readonly string[] }): string =>
      `${method} ${segments.map((text) => (text.startsWith("{") ? "{}" : text)).join("/")}`;
    const templates = fc.uniqueArray(template, { selector: shapeOf, maxLength: 12 });
    const path = fc.array(fc.constantFrom("a", "ab", "abc", "b", ""), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(templates, fc.constantFrom("GET", "PUT"), path, (templates, method, segments) => {
        const operations = templates.map((one, index) => ({
          name: `Op${index}`,
          method: one.method,
          path: `/${one.segments.join("/")}`,
          resource: `r/${one.segments.join(",")}`,
        }));
        const router = createOperationRouter("s", operations, { strict: true });
        const rank = (one: { segments: readonly string[] }): string =>
          one.segments.map((text) => (text.startsWith("{") ? "1" : "0")).join("");
        const [best] = templates
          .filter((one) => one.method === method && one.segments.length === segments.length)
          .filter((one) => one.segments.every((text, at) => (text.startsWith("{") ? segments[at] !== "" : text === segments[at])))
          .sort((a, b) => (rank(a) < rank(b) ? -1 : 1));
        const expected = best && { action: `s:Op${templates.indexOf(best)}`, resource: `r/${segments.join(",")}` };
        expect(router.match(method, `/${segments.join("/")}`)).toEqual(expected);
      }),
      { numRuns: 3000 },
    );
  });
});
