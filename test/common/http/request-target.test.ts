import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  normalizeAuthority,
  normalizeTarget,
  RequestTargetError,
  type NormalizedTarget,
  type TargetOptions,
} from "../../../common/http/request-target.ts";

const strict = { allowEncodedSlashes: false };
const lenient = { allowEncodedSlashes: true };

describe("normalizeTarget", () => {
  test.each([
    ["/", "/", ""],
    ["/items/42", "/items/42", ""],
    ["/items/42/", "/items/42/", ""],
    ["/items?a=b&c=%2F", "/items", "a=b&c=%2F"],
    ["/items?", "/items", ""],
    ["/?a=b", "/", "a=b"],
    ["/items??a", "/items", "?a"],
    // The query stays as it is sent.
    ["/items?a=//b/../c&d=%7e%41\\|", "/items", "a=//b/../c&d=%7e%41\\|"],
    ["/a%20b?", "/a%20b", ""],
    // threats.md, row 16: all of these are one path to everybody.
    ["//admin", "/admin", ""],
    ["///admin//", "/admin/", ""],
    ["/%61dmin", "/admin", ""],
    ["/%61%64%6d%69%6E", "/admin", ""],
    ["/a/../admin", "/admin", ""],
    ["/a/./../admin", "/admin", ""],
    ["/a/%2e%2e/admin", "/admin", ""],
    ["/a/%2E./admin", "/admin", ""],
    ["/a//../admin", "/admin", ""],
    ["/../admin", "/admin", ""],
    ["/../../../admin", "/admin", ""],
    ["/./admin", "/admin", ""],
    ["/admin/.", "/admin", ""],
    ["/admin/./", "/admin/", ""],
    ["/admin/x/..", "/admin", ""],
    ["/admin/x/../", "/admin/", ""],
    ["/.", "/", ""],
    ["/..", "/", ""],
    ["/./", "/", ""],
    ["/x/..", "/", ""],
    ["/x/../", "/", ""],
    // Literal.
    ["/admin;x", "/admin;x", ""],
    ["/admin;x=1/y", "/admin;x=1/y", ""],
    ["/.../x", "/.../x", ""],
    ["/.well-known/x", "/.well-known/x", ""],
    ["/..x", "/..x", ""],
    ["/x..;y", "/x..;y", ""],
    // Escapes of what is reserved stay escapes; double encoding is not undone.
    ["/%2561dmin", "/%2561dmin", ""],
    ["/%252e%252e/admin", "/%252e%252e/admin", ""],
    ["/%252Fadmin", "/%252Fadmin", ""],
    ["/%3b%3f%23", "/%3B%3F%23", ""],
    ["/%c3%a9", "/%C3%A9", ""],
    ["/%7euser%5f%2d", "/~user_-", ""],
    ['/a|b^c{d}"<>`[]', '/a|b^c{d}"<>`[]', ""],
    ["/!$&'()*+,;=:@", "/!$&'()*+,;=:@", ""],
    ["/http://example.org/", "/http:/example.org/", ""],
  ])("%s is %s", (target, path, query) => {
    expect(normalizeTarget(target, strict)).toEqual({ path, query });
    expect(normalizeTarget(target, lenient)).toEqual({ path, query });
  });

  test.each([
    ["", "not-a-path"],
    ["*", "not-a-path"],
    ["admin", "not-a-path"],
    ["?x", "not-a-path"],
    ["http://example.org/", "not-a-path"],
    ["example.org:443", "not-a-path"],
    ["\\admin", "not-a-path"],
    ["/a\\b", "forbidden-character"],
    ["/a#b", "forbidden-character"],
    ["/a?b#c", "forbidden-character"],
    ["/a b", "forbidden-character"],
    ["/a?b c", "forbidden-character"],
    ["/a\tb", "forbidden-character"],
    ["/a\0", "forbidden-character"],
    ["/a?\0", "forbidden-character"],
    ["/a\r\nx", "forbidden-character"],
    ["/a\x7f", "forbidden-character"],
    ["/é", "forbidden-character"],
    ["/a?é", "forbidden-character"],
    ["/ሴ", "forbidden-character"],
    ["/%", "malformed-escape"],
    ["/%4", "malformed-escape"],
    ["/%4/", "malformed-escape"],
    ["/%zz", "malformed-escape"],
    ["/%4g", "malformed-escape"],
    ["/%u0061", "malformed-escape"],
    ["/%%41", "malformed-escape"],
    ["/a?%", "malformed-escape"],
    ["/a?%4", "malformed-escape"],
    ["/a?b=%4g", "malformed-escape"],
    ["/%?41", "malformed-escape"],
    ["/%00", "encoded-nul"],
    ["/admin%00.html", "encoded-nul"],
    ["/%5c", "encoded-backslash"],
    ["/..%5Cadmin", "encoded-backslash"],
    ["/..;/admin", "ambiguous-dot-segment"],
    ["/a/..;x=1/admin", "ambiguous-dot-segment"],
    ["/%2e%2E;/admin", "ambiguous-dot-segment"],
    ["/.;/admin", "ambiguous-dot-segment"],
  ])("%j is refused: %s", (target, code) => {
    for (const options of [strict, lenient]) {
      expect(() => normalizeTarget(target, options)).toThrow(expect.objectContaining({ name: "RequestTargetError", code }));
      // Again: a refusal is not remembered as anything else.
      expect(() => normalizeTarget(target, options)).toThrow(expect.objectContaining({ code }));
    }
  });

  test.each(["/admin%2f", "/admin%2F", "/a%2F..%2Fadmin", "/%2F"])("%s is refused unless the service allows escaped slashes", (target) => {
    expect(() => normalizeTarget(target, strict)).toThrow(expect.objectContaining({ code: "encoded-slash" }));
  });

  test("an escaped slash that is allowed stays escaped", () => {
    expect(normalizeTarget("/files/a%2fb//c", lenient).path).toBe("/files/a%2Fb/c");
    expect(normalizeTarget("/https:%2F%2Fexample.org", lenient).path).toBe("/https:%2F%2Fexample.org");
    expect(() => normalizeTarget("/files/a%2fb//c", strict)).toThrow(expect.objectContaining({ code: "encoded-slash" }));
  });

  test.each(["/files/..%2Fadmin", "/files/a%2F..%2Fadmin", "/files/a%2f%2e%2e", "/a%2F.;x"])("%s hides a dot segment", (target) => {
    expect(() => normalizeTarget(target, lenient)).toThrow(expect.objectContaining({ code: "ambiguous-dot-segment" }));
  });

  const piece = fc.constantFrom(
    ..."/ /. /.. // .. . ; %2e %2E %61 %25 %2f %7E %c3%A9 %41%zz a admin ? ?? % %4 # \\ = & + %00 | ~ !".split(" "),
  );
  const targets = fc.oneof(
    fc.array(piece, { maxLength: 12 }).map((pieces) => `/${pieces.join("")}`),
    fc.string({ unit: "binary-ascii" }).map((text) => `/${text}`),
  );

  function normalizedOrRefused(target: string, options: TargetOptions): NormalizedTarget | undefined {
    try {
      return normalizeTarget(target, options);
    } catch (error) {
      if (error instanceof RequestTargetError) return undefined;
      throw error;
    }
  }

  test("what it returns is canonical, and normalising it again changes nothing", () => {
    fc.assert(
      fc.property(targets, fc.boolean(), (target, allowEncodedSlashes) => {
        const options = { allowEncodedSlashes };
        const normalized = normalizedOrRefused(target, options);
        fc.pre(normalized !== undefined);
        const { path, query } = normalized;
        expect(path).toMatch(/^\/(?:[!"$&-.0-9:->@-[\]-~]|%[0-9A-F]{2}|\/(?!\/))*$/);
        expect(path).not.toMatch(/\/\.{0,2}\/|\/\.{1,2}(?:;|$)/);
        for (const [escape] of path.matchAll(/%../g))
          expect(decodeURIComponent(escape.replace(/%[89A-F].$/, "%21"))).not.toMatch(/[A-Za-z0-9\-._~\0\\]/);
        const again = query === "" ? path : `${path}?${query}`;
        expect(normalizeTarget(again, options)).toEqual(normalized);
      }),
      { numRuns: 1500, maxSkipsPerRun: 1000 },
    );
  });

  test("agrees with the WHATWG URL parser on plain dot segments, but for the slash after a last one", () => {
    const segment = fc.constantFrom("a", "b", ".", "..", "%2e", "%2E%2e", "x.y");
    fc.assert(
      fc.property(fc.array(segment, { minLength: 1, maxLength: 8 }), (segments) => {
        const target = `/${segments.join("/")}`;
        const withoutSlash = (path: string) => path.replace(/\/$/, "");
        expect(withoutSlash(normalizeTarget(target, strict).path)).toBe(withoutSlash(new URL(target, "http://h").pathname));
      }),
    );
  });
});

describe("normalizeAuthority", () => {
  test.each([
    ["orders.shop", "orders.shop", undefined],
    ["Orders.SHOP", "orders.shop", undefined],
    ["orders.shop.", "orders.shop", undefined],
    ["ORDERS.shop.:8080", "orders.shop", 8080],
    ["orders.shop:80", "orders.shop", 80],
    ["localhost:65535", "localhost", 65_535],
    ["my_service", "my_service", undefined],
    ["10.0.0.1:8080", "10.0.0.1", 8080],
    ["[::1]", "[::1]", undefined],
    ["[::1]:443", "[::1]", 443],
    ["[0:0:0:0:0:0:0:1]", "[::1]", undefined],
    ["[2001:DB8::A]:8080", "[2001:db8::a]", 8080],
    ["[::ffff:10.0.0.1]", "[::ffff:a00:1]", undefined],
    ["a".repeat(253), "a".repeat(253), undefined],
  ])("%s", (authority, host, port) => {
    expect(normalizeAuthority(authority)).toEqual({ host, port });
    const canonical = port === undefined ? host : `${host}:${port}`;
    expect(normalizeAuthority(canonical)).toEqual({ host, port });
  });

  test.each([
    "",
    ".",
    ":",
    ":80",
    "a:",
    "a:0",
    "a:080",
    "a:65536",
    "a:99999999",
    "a:80:80",
    "a:http",
    "a:+80",
    "a..b",
    ".a",
    "a..",
    "user@a",
    "user:secret@a",
    "a/b",
    "a?b",
    "a#b",
    "a\\b",
    "a b",
    " a",
    "a ",
    "a\0",
    "a\n",
    "a,b",
    "a%2eb",
    "é.example",
    "\u212a.example",
    "[::1",
    "::1",
    "[::1]x",
    "[::1]:",
    "[fe80::1%25eth0]",
    "[fe80::1%eth0]",
    "[1.2.3.4]",
    "[::g]",
    "[]",
    "[:]",
    "*",
    "a".repeat(254),
    "a".repeat(100_000),
  ])("%j is refused", (authority) => {
    expect(() => normalizeAuthority(authority)).toThrow(expect.objectContaining({ code: "malformed-authority" }));
  });
});
