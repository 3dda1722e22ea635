import { describe, expect, it } from "vitest";
import { policyFromValue, type PolicyDocument } from "../../../common/policy/document.ts";
import { contextFromEntries } from "../../../common/policy/request-context.ts";
import { evaluateTrust, type TrustRequest } from "../../../common/policy/trust.ts";

const orders = "spiffe://a.example/ns/shop/sa/orders";
const allow = { Effect: "Allow", Action: "sts:AssumeRole" };
const trust = (...Statement: readonly object[]): PolicyDocument => policyFromValue({ Version: "2012-10-17", Statement }, "trust");
const request = (changes: Partial<TrustRequest> = {}): TrustRequest => ({
  action: "sts:AssumeRole",
  spiffeId: orders,
  context: contextFromEntries([["aws:SourceIp", "10.0.0.1"]]),
  ...changes,
});

describe("trust policies", () => {
  it("let in whom they name, and say by which statement", () => {
    const document = trust(
      { ...allow, Principal: { SPIFFE: "spiffe://a.example/ns/shop/sa/stock" } },
      { Sid: "Orders", ...allow, Principal: { SPIFFE: orders } },
    );
    expect(evaluateTrust(document, request())).toEqual({
      decision: "allow",
      reason: "trust-policy",
      statement: { policy: "", sid: "Orders", index: 1 },
      error: undefined,
    });
    expect(evaluateTrust(document, request({ spiffeId: `${orders}2` }))).toMatchObject({ decision: "deny", reason: "no-allow" });
    expect(evaluateTrust(document, request({ action: "sts:TagSession" }))).toMatchObject({ decision: "deny", reason: "no-allow" });
  });

  it("prefer a Deny", () => {
    const document = trust(
      { ...allow, Action: "sts:*", Principal: "*" },
      { Effect: "Deny", Action: "*", Principal: "*", Condition: { NotIpAddress: { "aws:SourceIp": "10.0.0.0/8" } } },
    );
    expect(evaluateTrust(document, request())).toMatchObject({ decision: "allow", statement: { index: 0 } });
    const outside = request({ context: contextFromEntries([["aws:SourceIp", "192.168.0.1"]]) });
    expect(evaluateTrust(document, outside)).toMatchObject({ decision: "deny", reason: "explicit-deny", statement: { index: 1 } });
  });

  it("know the session from which a role is assumed", () => {
    const document = trust({ ...allow, Principal: { AWS: "arn:mesh:iam:a.example:shop:role/checkout" } });
    const session = {
      roleArn: "arn:mesh:iam:a.example:shop:role/checkout",
      sessionArn: "arn:mesh:sts:a.example:shop:assumed-role/checkout/one",
    };
    expect(evaluateTrust(document, request({ session }))).toMatchObject({ decision: "allow" });
    expect(evaluateTrust(document, request())).toMatchObject({ decision: "deny" });
  });

  it("take the source identity from the certificate alone", () => {
    const document = trust({ ...allow, Principal: "*", Condition: { StringEquals: { "mesh:SourceIdentity": orders } } });
    const context = contextFromEntries([["mesh:SourceIdentity", orders]]);
    expect(evaluateTrust(document, request({ context }))).toMatchObject({ decision: "allow" });
    expect(evaluateTrust(document, request({ context, spiffeId: "spiffe://a.example/ns/shop/sa/thief" }))).toMatchObject({
      decision: "deny",
    });
  });

  it("deny when they cannot be evaluated", () => {
    const document = trust({ ...allow, Principal: "*", Condition: { StringEquals: { "aws:SourceIp": "10.0.0.1" } } });
    const failure = new Error("no such key");
    const context = {
      get: () => {
        throw failure;
      },
    };
    expect(evaluateTrust(document, request({ context }))).toEqual({
      decision: "deny",
      reason: "evaluation-failed",
      statement: undefined,
      error: failure,
    });
  });

  it("deny when they are empty", () => {
    expect(evaluateTrust(trust(), request())).toMatchObject({ decision: "deny", reason: "no-allow" });
  });
});
