import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  forControlPlane,
  forDevice,
  forOperator,
  forTrustDomain,
  forWorkload,
  fromString,
  identityOf,
  pathOf,
  trustDomainOf,
} from "../../../common/spiffe/id.ts";
import { trustDomainFromString } from "../../../common/spiffe/trust-domain.ts";

const prod = trustDomainFromString("prod.example");

describe("fromString", () => {
  test.each([
    "spiffe://prod.example",
    "spiffe://prod.example/ns/shop/sa/orders",
    "spiffe://prod.example/control-plane",
    "spiffe://a/b",
    "spiffe://1.2.3.4/service",
    "spiffe://under_score-and.dot/A_b-c.d/..../.hidden/9",
    "spiffe://prod.example/...",
    `spiffe://${"t".repeat(255)}/x`,
    `spiffe://td/${"p".repeat(2048 - "spiffe://td/".length)}`,
  ])("takes %s", (text) => {
    const id = fromString(text);
    expect(id).toBe(text);
    expect(`spiffe://${trustDomainOf(id)}${pathOf(id)}`).toBe(text);
  });

  test.each([
    ["", "empty"],
    ["s", "wrong-scheme"],
    ["spiffe", "wrong-scheme"],
    ["spiffe:", "wrong-scheme"],
    ["spiffe:/", "wrong-scheme"],
    ["spiffe:/td/x", "wrong-scheme"],
    ["spiffe:td/x", "wrong-scheme"],
    ["SPIFFE://td/x", "wrong-scheme"],
    ["Spiffe://td/x", "wrong-scheme"],
    ["http://td/x", "wrong-scheme"],
    ["spiffes://td/x", "wrong-scheme"],
    [" spiffe://td/x", "wrong-scheme"],
    ["\u0000spiffe://td/x", "wrong-scheme"],
    ["//td/x", "wrong-scheme"],
    ["td/x", "wrong-scheme"],
    ["spiffe://", "missing-trust-domain"],
    ["spiffe:///", "missing-trust-domain"],
    ["spiffe:///x", "missing-trust-domain"],
    ["spiffe://Prod.example/x", "bad-trust-domain-character"],
    ["spiffe://td:80/x", "bad-trust-domain-character"],
    ["spiffe://td:/x", "bad-trust-domain-character"],
    ["spiffe://user@td/x", "bad-trust-domain-character"],
    ["spiffe://user:secret@td/x", "bad-trust-domain-character"],
    ["spiffe://@td/x", "bad-trust-domain-character"],
    ["spiffe://t%64/x", "bad-trust-domain-character"],
    ["spiffe://t d/x", "bad-trust-domain-character"],
    ["spiffe://td\u0000/x", "bad-trust-domain-character"],
    ["spiffe://td?query", "bad-trust-domain-character"],
    ["spiffe://td#fragment", "bad-trust-domain-character"],
    ["spiffe://[::1]/x", "bad-trust-domain-character"],
    ["spiffe://td\\x", "bad-trust-domain-character"],
    ["spiffe://tdé/x", "bad-trust-domain-character"],
    ["spiffe://td\n/x", "bad-trust-domain-character"],
    ["spiffe://td\n", "bad-trust-domain-character"],
    ["spiffe://*.example/x", "bad-trust-domain-character"],
    [`spiffe://${"t".repeat(256)}/x`, "trust-domain-too-long"],
    ["spiffe://td/", "trailing-slash"],
    ["spiffe://td//", "trailing-slash"],
    ["spiffe://td/x/", "trailing-slash"],
    ["spiffe://td//x", "empty-segment"],
    ["spiffe://td/x//y", "empty-segment"],
    ["spiffe://td/.", "dot-segment"],
    ["spiffe://td/..", "dot-segment"],
    ["spiffe://td/./x", "dot-segment"],
    ["spiffe://td/x/../y", "dot-segment"],
    ["spiffe://td/x/..", "dot-segment"],
    ["spiffe://td/%2e%2e/y", "bad-path-character"],
    ["spiffe://td/x%2Fy", "bad-path-character"],
    ["spiffe://td/x%00", "bad-path-character"],
    ["spiffe://td/x\u0000", "bad-path-character"],
    ["spiffe://td/x?query", "bad-path-character"],
    ["spiffe://td/x#fragment", "bad-path-character"],
    ["spiffe://td/x;y", "bad-path-character"],
    ["spiffe://td/x y", "bad-path-character"],
    ["spiffe://td/x ", "bad-path-character"],
    ["spiffe://td/x\n", "bad-path-character"],
    ["spiffe://td/x\r\nHost:", "bad-path-character"],
    ["spiffe://td/x~", "bad-path-character"],
    ["spiffe://td/x:y", "bad-path-character"],
    ["spiffe://td/x@y", "bad-path-character"],
    ["spiffe://td/*", "bad-path-character"],
    ["spiffe://td/x\\y", "bad-path-character"],
    ["spiffe://td/é", "bad-path-character"],
    ["spiffe://td/е", "bad-path-character"],
    ["spiffe://td/x\u200b", "bad-path-character"],
    [`spiffe://td/${"p".repeat(2049 - "spiffe://td/".length)}`, "too-long"],
  ])("refuses %j: %s", (text, code) => {
    expect(() => fromString(text)).toThrow(expect.objectContaining({ name: "SpiffeIdError", code }));
  });

  test("accepts exactly what the specification's grammar accepts", () => {
    const grammar = /^spiffe:\/\/[a-z0-9._-]{1,255}(?:\/(?!\.{1,2}(?:\/|$))[A-Za-z0-9._-]+)*$/;
    const piece = fc.constantFrom("spiffe://", "td", "/", "..", ".", "x", "A", "%2e", "?", "\n", ":", "_", "-", "");
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), fc.boolean(), (pieces, schemeFirst) => {
        const text = (schemeFirst ? "spiffe://" : "") + pieces.join("");
        let accepted = true;
        try {
          fromString(text);
        } catch {
          accepted = false;
        }
        expect(accepted).toBe(grammar.test(text));
      }),
      { numRuns: 2000 },
    );
  });
});

describe("builders and kinds", () => {
  test.each([
    [forWorkload(prod, "shop", "orders"), "/ns/shop/sa/orders", { kind: "workload", namespace: "shop", serviceAccount: "orders" }],
    [forDevice(prod, "tills", "SN-0042"), "/device/tills/SN-0042", { kind: "device", fleet: "tills", serial: "SN-0042" }],
    [forOperator(prod, "alice"), "/operator/alice", { kind: "operator", name: "alice" }],
    [forControlPlane(prod), "/control-plane", { kind: "control-plane" }],
    [forTrustDomain(prod), "", { kind: "trust-domain" }],
  ])("%s", (id, path, identity) => {
    expect(id).toBe(`spiffe://prod.example${path}`);
    expect(pathOf(id)).toBe(path);
    expect(trustDomainOf(id)).toBe(prod);
    expect(identityOf(id)).toEqual({ ...identity, trustDomain: prod });
    expect(fromString(id)).toBe(id);
  });

  test.each([
    "/ns/shop",
    "/ns/shop/sa",
    "/ns/shop/sa/orders/more",
    "/ns/shop/svc/orders",
    "/device/tills",
    "/device/tills/1/2",
    "/operator",
    "/operator/alice/bob",
    "/control-plane/x",
    "/Control-Plane",
    "/NS/shop/sa/orders",
    "/other",
  ])("%s is nobody of ours", (path) => {
    expect(identityOf(fromString(`spiffe://prod.example${path}`))).toEqual({ kind: "other", trustDomain: prod, path });
  });

  test.each([
    ["", "empty-segment"],
    ["..", "dot-segment"],
    ["shop/sa/admin", "bad-path-character"],
    ["shop%2Fsa", "bad-path-character"],
    ["/", "bad-path-character"],
  ])("a namespace %j cannot change the path", (namespace, code) => {
    expect(() => forWorkload(prod, namespace, "orders")).toThrow(expect.objectContaining({ code }));
    expect(() => forWorkload(prod, "shop", namespace)).toThrow(expect.objectContaining({ code }));
    expect(() => forDevice(prod, namespace, "1")).toThrow(expect.objectContaining({ code }));
    expect(() => forOperator(prod, namespace)).toThrow(expect.objectContaining({ code }));
  });

  test("an id over 2048 bytes cannot be built", () => {
    expect(() => forWorkload(prod, "n".repeat(1100), "s".repeat(1100))).toThrow(expect.objectContaining({ code: "too-long" }));
  });
});

describe("trustDomainFromString", () => {
  test.each(["prod.example", "a", "a_b-c.1", "t".repeat(255)])("takes %s", (name) => {
    expect(trustDomainFromString(name)).toBe(name);
  });

  test.each([
    ["", "missing-trust-domain"],
    ["Prod.example", "bad-trust-domain-character"],
    ["spiffe://prod.example", "bad-trust-domain-character"],
    ["prod.example/x", "bad-trust-domain-character"],
    ["prod.example:443", "bad-trust-domain-character"],
    ["prod.example\n", "bad-trust-domain-character"],
    ["t".repeat(256), "trust-domain-too-long"],
  ])("refuses %j: %s", (name, code) => {
    expect(() => trustDomainFromString(name)).toThrow(expect.objectContaining({ code }));
  });
});
