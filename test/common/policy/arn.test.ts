import { describe, expect, it } from "vitest";
import { arnFromString, formatArn, formatRoleArn, formatSessionArn, roleFromArn, sessionFromArn } from "../../../common/policy/arn.ts";

const invalid = expect.objectContaining({ name: "PolicyError", code: "invalid-arn" });

describe("ARNs", () => {
  it("has the parts of policy.md", () => {
    const text = "arn:mesh:orders:prod.example:shop:/items/42:draft";
    const arn = arnFromString(text);
    expect(arn).toEqual({ service: "orders", trustDomain: "prod.example", namespace: "shop", resource: "/items/42:draft" });
    expect(formatArn(arn)).toBe(text);
  });

  it.each([
    "",
    "arn:aws:orders:prod.example:shop:x",
    "ARN:mesh:orders:prod.example:shop:x",
    "arn:mesh:orders:prod.example:shop",
    "arn:mesh:orders:prod.example:shop:",
    "arn:mesh::prod.example:shop:x",
    "arn:mesh:orders::shop:x",
    "arn:mesh:orders:prod.example::x",
    "arn:mesh:Orders:prod.example:shop:x",
    "arn:mesh:orders:Prod.example:shop:x",
    "arn:mesh:orders:prod.example:*:x",
  ])("refuses %j", (text) => {
    expect(() => arnFromString(text)).toThrow(invalid);
  });

  it("names roles", () => {
    const text = "arn:mesh:iam:prod.example:shop:role/service-linked/orders";
    const role = { trustDomain: "prod.example", namespace: "shop", role: "service-linked/orders" };
    expect(roleFromArn(text)).toEqual(role);
    expect(formatRoleArn(role)).toBe(text);
  });

  it("names sessions, whose role may have a path", () => {
    const text = "arn:mesh:sts:prod.example:shop:assumed-role/service-linked/orders/pod-7f@node";
    const session = { trustDomain: "prod.example", namespace: "shop", role: "service-linked/orders", session: "pod-7f@node" };
    expect(sessionFromArn(text)).toEqual(session);
    expect(formatSessionArn(session)).toBe(text);
  });

  it.each([
    "arn:mesh:sts:prod.example:shop:role/checkout",
    "arn:mesh:iam:prod.example:shop:user/checkout",
    "arn:mesh:iam:prod.example:shop:role/",
    "arn:mesh:iam:prod.example:shop:role//checkout",
    "arn:mesh:iam:prod.example:shop:role/*",
    "arn:mesh:iam:prod.example:shop:role/a b",
  ])("is no role: %j", (text) => {
    expect(() => roleFromArn(text)).toThrow(invalid);
  });

  it.each([
    "arn:mesh:iam:prod.example:shop:assumed-role/checkout/one",
    "arn:mesh:sts:prod.example:shop:assumed-role/checkout",
    "arn:mesh:sts:prod.example:shop:assumed-role/checkout/",
    "arn:mesh:sts:prod.example:shop:assumed-role/checkout/x",
    "arn:mesh:sts:prod.example:shop:assumed-role//one",
    `arn:mesh:sts:prod.example:shop:assumed-role/checkout/${"x".repeat(65)}`,
  ])("is no session: %j", (text) => {
    expect(() => sessionFromArn(text)).toThrow(invalid);
  });
});
